"""What one estimate says about two arms: who is ahead, and whether that is decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlbench.rendering.quantity import known

Standing = Literal["decided", "equivalent", "non-inferior", "not decided", "unknown", "survivors only"]

WITHIN_MARGIN = "worse within margin"
# The verdicts that name a difference; higher and lower are those of metrics without a good direction.
DECIDED = frozenset({"improved", "worse", "regressed", WITHIN_MARGIN, "higher", "lower"})


@dataclass(frozen=True)
class Pair:
    """Two arms on one metric of one task.

    `ahead` and `behind` are the arms in the order of the metric's direction (of the raw value where there is no good
    direction), whether that is decided or not. `value`, `low` and `high` are the recorded b - a.
    """

    a: str
    b: str
    task: str
    metric: Mapping[str, Any]
    estimate: Mapping[str, Any]
    standing: Standing
    ahead: str
    behind: str

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return str(self.metric.get("unit") or "")

    @property
    def ranked(self) -> bool:
        """Whether the pair may order the two arms."""
        return self.standing == "decided" and self.metric.get("higher_is_better") is not None


@dataclass(frozen=True)
class Ranking:
    """The arm with the best value of a metric on a task, and what was found on the others against it.

    `beaten` and `tied` were compared with the leader; `uncompared` have a value, but no estimate against it.
    """

    leader: str
    beaten: tuple[str, ...]
    tied: tuple[str, ...]
    uncompared: tuple[str, ...]


def metrics(comparison: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(task, metric name) -> metric, primary metrics first, otherwise in the recorded order."""
    rows = sorted(comparison.get("metrics") or (), key=lambda metric: not metric.get("primary"))
    return {(metric["task"], metric["name"]): metric for metric in rows}


def tasks(comparison: Mapping[str, Any]) -> list[str]:
    """The tasks in the recorded order."""
    return list(dict.fromkeys(str(metric["task"]) for metric in comparison.get("metrics") or ()))


def arms(comparison: Mapping[str, Any]) -> list[str]:
    """The names of the arms in the recorded order."""
    return [str(arm["name"]) for arm in comparison.get("arms") or ()]


def primary_metrics(comparison: Mapping[str, Any], task: str) -> list[Mapping[str, Any]]:
    """The primary metrics of a task."""
    return [metric for (owner, _), metric in metrics(comparison).items() if owner == task and metric.get("primary")]


def scores(comparison: Mapping[str, Any]) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    """(arm, task, metric name) -> score."""
    return {(row["arm"], row["task"], row["metric"]): row for row in comparison.get("scores") or ()}


def pairs(comparison: Mapping[str, Any], primary: bool | None = None) -> Iterator[Pair]:
    """Every estimate as a pair, in the recorded order; only primary or only secondary ones where asked."""
    known_metrics = metrics(comparison)
    alpha = round(1 - float(comparison.get("confidence") or 0.95), 12)
    for estimate in comparison.get("estimates") or ():
        metric = known_metrics.get((estimate["task"], estimate["metric"]), {"name": estimate["metric"], "unit": ""})
        is_primary = bool(estimate.get("primary", metric.get("primary")))
        if primary is None or primary == is_primary:
            yield _pair(estimate, metric, alpha)


def ranking(comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any]) -> Ranking | None:
    """Who has the best value, and against whom that is decided; None where no arm has a value or none is better."""
    by_name, better = scores(comparison), metric.get("higher_is_better")
    found = {arm: by_name.get((arm, task, metric["name"]), {}).get("value") for arm in arms(comparison)}
    values = {arm: float(value) for arm, value in found.items() if value is not None and known(value)}
    if not values or better is None:
        return None
    leader = (max if better else min)(values, key=lambda arm: values[arm])
    against = {
        pair.a if pair.b == leader else pair.b: pair
        for pair in pairs(comparison)
        if pair.task == task and pair.metric["name"] == metric["name"] and leader in (pair.a, pair.b)
    }
    others = [arm for arm in values if arm != leader]
    beaten = [arm for arm in others if arm in against and against[arm].ranked and against[arm].ahead == leader]
    tied = [arm for arm in others if arm in against and arm not in beaten]
    return Ranking(leader, tuple(beaten), tuple(tied), tuple(arm for arm in others if arm not in against))


def _pair(estimate: Mapping[str, Any], metric: Mapping[str, Any], alpha: float) -> Pair:
    a, b, value = str(estimate["a"]), str(estimate["b"]), estimate.get("value")
    b_is_ahead = known(value) and (value < 0 if metric.get("higher_is_better") is False else value > 0)
    standing = _standing(estimate, alpha)
    ahead, behind = (b, a) if b_is_ahead else (a, b)
    return Pair(a, b, str(estimate["task"]), metric, estimate, standing, ahead, behind)


def _standing(estimate: Mapping[str, Any], alpha: float) -> Standing:
    verdict, p_value = str(estimate.get("verdict") or "").strip().lower(), estimate.get("p_adjusted")
    if estimate.get("survivors_only"):
        return "survivors only"
    if not known(estimate.get("value")):
        return "unknown"
    if verdict == "equivalent":
        return "equivalent"
    if verdict == "non-inferior":
        return "non-inferior"
    if verdict:
        if verdict in DECIDED and estimate["value"] != 0:
            return "decided"
        return "not decided" if known(estimate.get("low")) else "unknown"
    if not known(p_value):
        return "unknown"
    return "decided" if p_value < alpha and estimate["value"] != 0 else "not decided"
