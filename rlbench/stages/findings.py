"""Findings: what the checks saw in the runs of an experiment, in plain words, as rows for comparison.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlbench.stages import checks, reward_checks
from rlbench.stages.reward_checks import CLEAR, reward_change
from rlbench.stages.sighting import Severity, Sighting
from rlbench.stages.trained_run import TrainedRun, is_number

CHECKS = (*checks.CHECKS, *reward_checks.CHECKS)
SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "info")


def findings(runs: Sequence[TrainedRun], shared_pairs: bool = False) -> list[dict[str, Any]]:
    """Everything seen in the runs as rows for comparison.json, the most serious first.

    With `shared_pairs`, seeds that sampled the same rollouts for their preference pairs were meant to.
    """
    found: dict[tuple[str, ...], list[tuple[TrainedRun, Sighting]]] = {}
    for run in runs:
        for sighting in _sightings(run):
            key = (run.arm, run.task, sighting.name, sighting.severity, sighting.words)
            found.setdefault(key, []).append((run, sighting))
    rows = []
    for seen in found.values():
        run, sighting = seen[0]
        steps = [each.step for _, each in seen if each.step is not None]
        text = sighting.words.format_map(
            {fact: _Facts([each.facts[fact] for _, each in seen]) for fact in sighting.facts}
        )
        seeds = [each.seed for each, _ in seen]
        rows.append(finding(sighting.name, sighting.severity, text, run.arm, run.task, seeds, min(steps, default=None)))
    return by_severity([*rows, *_identical(runs, shared_pairs)])


def finding(
    name: str,
    severity: Severity,
    text: str,
    arm: str | None = None,
    task: str | None = None,
    seeds: Sequence[int] = (),
    step: int | None = None,
) -> dict[str, Any]:
    """One row. What it is not about is null (arm, task, step) or empty (seeds)."""
    return {
        "name": name,
        "severity": severity,
        "arm": arm,
        "task": task,
        "seeds": sorted(seeds),
        "step": step,
        "text": text,
    }


def by_severity(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the most serious first; otherwise their order stays."""
    return sorted(rows, key=lambda row: SEVERITIES.index(row["severity"]))


def _sightings(run: TrainedRun) -> Iterator[Sighting]:
    for check in CHECKS:
        sighting = check(run)
        if sighting is not None:
            yield sighting


class _Facts:
    """A fact of every seed: `{:%}` and `{:g}` write the range of numbers, `{}` the texts, each once."""

    def __init__(self, values: Sequence[float | str]) -> None:
        self.values = values

    def __format__(self, kind: str) -> str:
        if not kind:
            return "; ".join(dict.fromkeys(str(value) for value in self.values))
        numbers = [float(value) * (100 if kind == "%" else 1) for value in self.values]
        ends = list(dict.fromkeys(_short(end) for end in (min(numbers), max(numbers))))
        return " to ".join(ends) + (" %" if kind == "%" else "")


def _short(value: float) -> str:
    """Three digits, none of them after a point where there are three before it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _identical(runs: Sequence[TrainedRun], shared_pairs: bool) -> Iterator[dict[str, Any]]:
    """Seeds of an arm that sampled the same tokens: the seed has no effect, or only on what follows the pairs."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for run in runs:
        if run.status == "completed" and run.rollouts_digest:
            seeds.setdefault((run.arm, run.task, run.rollouts_digest), []).append(run.seed)
    for (arm, task, _), equal in seeds.items():
        if len(equal) > 1 and shared_pairs and _drew_pairs(runs, arm, task):
            text = (
                "All seeds learnt from the same preference pairs, because rollout.shared_pairs asks for it. How much "
                "the result depends on which pairs are drawn is hidden: intervals of this arm are narrower than those "
                "of the recipe, and its comparison with arms that draw anew is tilted."
            )
            yield finding("shared_pairs", "warning", text, arm, task, equal)
        elif len(equal) > 1:
            text = (
                "These seeds sampled identical rollouts: the seed has no effect, and intervals over seeds are too "
                "narrow. The policy may be deterministic, or a trainer ignores its seed."
            )
            yield finding("identical_rollouts", "warning", text, arm, task, equal)


def _drew_pairs(runs: Sequence[TrainedRun], arm: str, task: str) -> bool:
    """Whether the arm drew preference pairs before it learnt: rows of its curve without a gradient have them."""
    curves = [run.curve for run in runs if (run.arm, run.task) == (arm, task)]
    return any(is_number(row.get("pairs")) and row.get("grad_norm") is None for curve in curves for row in curve)


def gamed(
    runs: Sequence[TrainedRun], estimates: Sequence[Mapping[str, Any]], baseline: str
) -> Iterator[dict[str, Any]]:
    """Arms whose training reward rose while a primary metric on held-out prompts got worse than the baseline's."""
    for row in estimates:
        if not (row["primary"] and row["a"] == baseline and row["verdict"] in ("worse", "regressed")):
            continue
        risen = []
        for run in runs:
            change = reward_change(run) if (run.arm, run.task) == (row["b"], row["task"]) else None
            if change is not None and change[1] - change[0] > CLEAR * change[2]:
                risen.append((run.seed, *change[:2]))
        if risen:
            early, late = _Facts([each[1] for each in risen]), _Facts([each[2] for each in risen])
            points = row["unit"] == "fraction"
            by = f"{_short(abs(row['value']) * (100 if points else 1))} {'points' if points else row['unit']}".strip()
            text = (
                f"The training reward rose from {early:g} to {late:g}, but {row['metric']} on held-out prompts is {by} "
                f"worse than that of {baseline}: the policy exploits the reward, or what it learnt does not carry "
                "over. Read completions, and judge training by what the metric measures."
            )
            yield finding("reward_hacking", "serious", text, row["b"], row["task"], [each[0] for each in risen])
