"""gate.yaml: what must not get worse, and by how much it may. Declared before the candidate is looked at."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rlbench.comparison.arms import Arm
from rlbench.comparison.noise import (
    PROCESS_METRICS,
    Noise,
    ProcessMetric,
    is_measured,
    noise_floor,
    process_values,
    seed_values,
)
from rlbench.errors import InputError
from rlbench.records import Metric
from rlbench.registry import load, names, unknown
from rlbench.statistics import Estimand
from rlbench.yaml_file import YamlDocument, blame, read_yaml, validate

Direction = Literal["higher", "lower", "both"]
_HEAD = (
    "# A gate: by how much may each quantity get worse? Declare what you can tolerate, then run regress with it.",
    "# Suggested margins are what an identical recipe with as many seeds usually passes; smaller ones need more seeds.",
    "# A number is in the metric's unit (0.02 of a fraction is 2 points), '5 %' is a share of the baseline's value.",
)
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")


@dataclass(frozen=True)
class Margin:
    """The loss that is tolerable: in the metric's unit, or (`relative`) as a share of the baseline's value."""

    value: float
    relative: bool

    def __str__(self) -> str:
        return f"{100 * self.value:.6g} %" if self.relative else f"{self.value:.6g}"


@dataclass(frozen=True)
class Check:
    """One quantity that the gate judges; `direction` says what is better, `both` that it must stay as it is.

    `interleaved` is the user's word that the runs whose speed is compared were made in turns (ABBA).
    """

    metric: Metric | ProcessMetric
    margin: Margin
    direction: Direction
    interleaved: bool = False


@dataclass(frozen=True)
class Gate:
    """A checked gate file. Without `tasks` it covers all tasks of the baseline."""

    checks: tuple[Check, ...]
    estimand: Estimand | None = None
    tasks: tuple[str, ...] | None = None
    document: YamlDocument | None = None

    @contextmanager
    def blaming(self, *key: str | int) -> Iterator[None]:
        """Name file and line of a key in an InputError that is raised inside."""
        with blame(self.document, *key):
            yield


def _margin(value: Any) -> Margin:
    if not isinstance(value, bool):
        share = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
        try:
            # YAML 1.1 reads 1e-2 as a text
            number = float(share[1]) / 100 if share else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return Margin(number, relative=share is not None)
    raise ValueError("expected a number of zero or more in the metric's unit, or a share of the baseline like '5 %'")


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    margin: Annotated[Margin, BeforeValidator(_margin)]
    direction: Direction | None = None
    interleaved: bool | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    estimand: Estimand | None = None
    tasks: list[str] | None = Field(default=None, min_length=1)
    metrics: dict[str, _Rule] = Field(min_length=1)


def read_gate(path: Path) -> Gate:
    """Read and check a gate file.

    Raises:
        InputError: with file and line, for an unknown key or metric, a margin that is none, or a direction that is
            missing or contradicts the metric.
    """
    document = read_yaml(path)
    file = validate(document, _File)
    checks = []
    for name, rule in file.metrics.items():
        with blame(document, "metrics", name):
            checks.append(_check(name, rule))
    tasks = tuple(dict.fromkeys(file.tasks)) if file.tasks else None
    return Gate(tuple(checks), file.estimand, tasks, document)


def _check(name: str, rule: _Rule) -> Check:
    metric = _load(name)
    if isinstance(metric, ProcessMetric) and not (rule.margin.relative and 0 < rule.margin.value < 1):
        raise InputError(f"{name}: expected a margin as a share of the baseline between 0 and 100 %, got {rule.margin}")
    if metric.unit == "fraction" and not rule.margin.relative and rule.margin.value >= 1:
        raise InputError(
            f"{name}: no fraction can get worse by {rule.margin}, so that nothing could ever fail; say 0.02 for 2 "
            f"points, or '2 %' for a share of the baseline"
        )
    if rule.interleaved is not None and not (isinstance(metric, ProcessMetric) and metric.per_second):
        raise InputError(f"{name}: interleaved is only for speed, which drifts with the machine; leave it out")
    if metric.higher_is_better is not None:
        natural: Direction = "higher" if metric.higher_is_better else "lower"
        if rule.direction is not None:
            raise InputError(
                f"{name}: direction is only for metrics that have none; of {name} {natural} is better: leave it out"
            )
        return _falsifiable(Check(metric, rule.margin, natural, bool(rule.interleaved)))
    if rule.direction is None:
        raise InputError(
            f"{name}: neither direction of it is better as such; say direction: higher, lower, or both (it must stay "
            f"as it is)"
        )
    return _falsifiable(Check(metric, rule.margin, rule.direction))


def _falsifiable(check: Check) -> Check:
    if check.direction == "higher" and check.margin.relative and check.margin.value >= 1:
        raise InputError(
            f"{check.metric.name}: a loss of {check.margin} leaves nothing, so that nothing could ever fail; "
            f"expected less than 100 %, or a margin in the metric's unit"
        )
    return check


def _load(name: str) -> Metric | ProcessMetric:
    if name in PROCESS_METRICS:
        return PROCESS_METRICS[name]
    stem = name.partition("@")[0]
    if name not in names("metrics") and f"{stem}@k" not in names("metrics"):
        raise unknown("metric", name, [*names("metrics"), *PROCESS_METRICS])
    found: Metric = load("metrics", name)
    return found


def template(baseline: Sequence[Arm]) -> str:
    """A gate file for the baseline's metrics with suggested margins: what an identical recipe would usually pass.

    The primary metrics are filled in; the others are comments. Suggestions say what the noise allows, not what
    matters: that is for the user to declare.
    """
    lines = [*_HEAD, "metrics:"]
    for name, (metric, noises, primary) in _measured(baseline).items():
        known = [noise for noise in noises if noise is not None]
        start = "  " if primary else "  # "
        if isinstance(metric, ProcessMetric):
            lines.append(f"{start}{name}: {{margin: 10 %}}")
            continue
        both = metric.higher_is_better is None
        wide = _rounded_up(max((_passable(noise, both) for noise in known), default=0.0))
        if metric.unit == "fraction" and wide >= 1:
            lines.append(f"  # {name}: too noisy for any margin; train more seeds{_said(known)}")
            continue
        # without noise to go by, a custom and no advice
        margin = f"{wide:.4g}" if wide else "0.02" if metric.unit == "fraction" else "5 %"
        direction = ", direction: both" if both else ""
        lines.append(f"{start}{name}: {{margin: {margin}{direction}}}{_said(known)}")
    return "\n".join(lines) + "\n"


def _measured(arms: Sequence[Arm]) -> Mapping[str, tuple[Metric | ProcessMetric, list[Noise | None], bool]]:
    """What the arms were measured on, with its noise on every arm and task, primary metrics first."""
    trained = [arm for arm in arms if arm.kind != "shared"] or list(arms)
    parts = [(arm, task, scores) for arm in trained for task, scores in arm.tasks.items()]
    primaries = dict.fromkeys(scores.primary for _, _, scores in parts)
    every = [*primaries, *(name for _, _, scores in parts for name in scores.metrics)]
    found: dict[str, tuple[Metric | ProcessMetric, list[Noise | None], bool]] = {}
    for name in dict.fromkeys(every):
        metric: Metric = load("metrics", name)
        floors = [
            noise_floor(seed_values(scores, metric))
            for _, _, scores in parts
            if name in scores.metrics and is_measured(scores, metric)
        ]
        if floors:
            found[name] = (metric, floors, name in primaries)
    for process in PROCESS_METRICS.values():
        values = [process_values(arm, task, process) for arm, task, _ in parts]
        if any(values):
            found[process.name] = (process, [noise_floor(each) for each in values if each], False)
    return found


def _said(noises: Sequence[Noise]) -> str:
    if not noises:
        return "  # one seed: its noise is not known"
    widest = max(noises, key=lambda noise: noise.seed_sd)
    return f"  # baseline {widest.mean:.4g}, sd over {widest.seeds} seeds {widest.seed_sd:.2g}"


def _passable(noise: Noise, both: bool) -> float:
    """About the least margin that an identical recipe with as many seeds passes four times out of five.

    That is so for many seeds: the noise of few is itself not well known, and it passes less often. Where it must stay
    inside on both sides, one side may be missed only once in ten.
    """
    # (z_.95 + z_.80) / z_.95 and (z_.95 + z_.90) / z_.95
    return (1.8 if both else 1.5) * noise.half_width


def _rounded_up(value: float) -> float:
    """To two significant digits, upwards."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / step) * step
