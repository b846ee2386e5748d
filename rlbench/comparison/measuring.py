"""Candidate − baseline for everything a gate names: what was measured on both sides, and what speaks against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlbench.comparison.arms import Arm, TaskScores
from rlbench.comparison.doubts import (
    Coverage,
    coverage,
    lost_runs,
    missing_prompts,
    other_evaluation,
    same_run,
    unjudged_seeds,
    unscored,
)
from rlbench.comparison.gate import Check, Gate
from rlbench.comparison.matching import Mismatch, circumstances, common_prompts, declared, on_prompts
from rlbench.comparison.noise import (
    ProcessMetric,
    is_measured,
    process_values,
    seed_values,
    statistics_by_seed,
    values_of,
)
from rlbench.errors import InputError
from rlbench.metrics.table import PromptStatistics
from rlbench.records import Metric
from rlbench.stages.estimates import Design, TaskComparison
from rlbench.statistics import Estimand, Estimate, paired_difference
from rlbench.statistics.verdict import VERDICT_CONFIDENCE

REPLICATES = 10_000
FEWEST_PROCESSES = 6
"""Pairs of runs that a verdict on speed or memory needs."""
_NOT_INTERLEAVED = (
    "baseline and candidate are not said to have run in turns (interleaved), so that a drift of the machine looks like "
    "a change"
)
_CHECKPOINTS = "; for a claim about these checkpoints alone, say estimand: checkpoints in the gate"
_UNDER_TEST = "rlbench"
"""The one version that may differ between runs whose speed is compared: it is what changed."""


@dataclass(frozen=True)
class Measured:
    """What is known of one check on one task and pair of arms, before it is judged.

    `estimate` is candidate − baseline in the metric's unit; of logarithms for processes. None says `reason`. `barred`
    are reasons against any verdict, `doubts` against passing, `unconfirmed` one against "regressed". `old` and `new`
    are the values by seed, of the seeds that were judged; `old_coverage` and `new_coverage` count their completions.
    """

    task: str
    arm: str
    baseline_arm: str
    check: Check
    old: Mapping[int, float]
    new: Mapping[int, float]
    estimate: Estimate | None = None
    reason: str = ""
    identical: bool = False
    paired_seeds: bool = False
    prompts: int | None = None
    barred: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    unconfirmed: str = ""
    old_coverage: Coverage | None = None
    new_coverage: Coverage | None = None

    @property
    def is_process(self) -> bool:
        """Whether it is a quantity of whole training runs."""
        return isinstance(self.check.metric, ProcessMetric)

    @property
    def seeds(self) -> int:
        """Seeds of the smaller side that the estimate rests on."""
        return self.estimate.seeds if self.estimate else min(len(self.old), len(self.new))

    @property
    def old_value(self) -> float | None:
        """The baseline's mean over seeds (for processes the geometric one)."""
        return self._mean(self.old)

    @property
    def new_value(self) -> float | None:
        """The candidate's mean over seeds (for processes the geometric one)."""
        return self._mean(self.new)

    def _mean(self, values: Mapping[int, float]) -> float | None:
        if not values:
            return None
        array = np.array(list(values.values()))
        return float(np.exp(np.log(array).mean()) if self.is_process else array.mean())


def measure(old: Arm, new: Arm | None, task: str, gate: Gate) -> tuple[list[Measured], list[Mismatch]]:
    """Measure every check of the gate that is about this task and known of either side; and what does not match.

    Raises:
        InputError: the two were scored on different data or by different graders.
    """
    checks = [check for check in gate.checks if _knows(old, task, check) or (new and _knows(new, task, check))]
    if new is None or task not in new.tasks:
        reason = "the candidate has no such arm" if new is None else "the candidate was not scored on this task"
        missing = [] if new is None else [_mismatch("task", task, [new.name], f"not answered by {new.name}")]
        name = _plain(new or old)
        found = [
            Measured(task, name, _plain(old), check, _alone(old, task, check), {}, reason=reason) for check in checks
        ]
        return found, missing
    pair = declared(old, new, task)
    mismatches = circumstances(old, new, task, pair)
    for check in gate.checks:
        if check not in checks:
            text = f"{check.metric.name} was not measured on this task: the gate says nothing of it here"
            mismatches.append(_mismatch("metric", task, [old.name, new.name], text))
    scored, lacking = _scores([check for check in checks if isinstance(check.metric, Metric)], old, new, task, gate)
    processes = [
        _process(check, check.metric, old, new, task) for check in checks if isinstance(check.metric, ProcessMetric)
    ]
    doubts = lost_runs(new, task)
    if same_run(old, new) and all(each.identical for each in [*scored, *processes] if each.estimate):
        text = "baseline and candidate are one and the same run: nothing new is judged"
        mismatches.append(_mismatch("same result", task, [old.name, new.name], text))
        doubts.append(text)
    by_name = {each.check.metric.name: each for each in [*scored, *processes]}
    found = [
        replace(each, doubts=(*doubts, *each.doubts), paired_seeds=pair.paired_seeds)
        for each in (by_name[check.metric.name] for check in checks)
    ]
    return found, [*mismatches, *lacking]


def _plain(arm: Arm) -> str:
    return arm.name.partition("/")[2]


def _knows(arm: Arm, task: str, check: Check) -> bool:
    """Whether a quantity was to be measured on an arm, even if no run of it got there."""
    if isinstance(check.metric, ProcessMetric):
        return bool(process_values(arm, task, check.metric))
    scores = arm.tasks.get(task)
    return scores is not None and (check.metric.name in scores.metrics or is_measured(scores, check.metric))


def _alone(arm: Arm, task: str, check: Check) -> dict[int, float]:
    if isinstance(check.metric, ProcessMetric):
        return process_values(arm, task, check.metric)
    return seed_values(arm.tasks[task], check.metric)


def _scores(
    checks: Sequence[Check], old: Arm, new: Arm, task: str, gate: Gate
) -> tuple[list[Measured], list[Mismatch]]:
    """The scores' differences on the prompts that both sides answered."""
    metrics = [check.metric for check in checks if isinstance(check.metric, Metric)]
    empty = [side for side, arm in (("baseline", old), ("candidate", new)) if not arm.tasks[task].tables]
    if empty or not checks:
        reason = f"no run of the {' and of the '.join(empty)} finished"
        return [
            Measured(
                task, _plain(new), _plain(old), check, _alone(old, task, check), _alone(new, task, check), reason=reason
            )
            for check in checks
        ], []
    prompts, lacking = common_prompts([old, new], task)
    ours, theirs = (on_prompts(arm.tasks[task], prompts) for arm in (old, new))
    estimand: Estimand = gate.estimand or ("checkpoints" if old.kind == new.kind == "completions" else "recipe")
    for metric in metrics:
        _refuse_other_graders(metric, old, new, task)
    known = [metric for metric in metrics if is_measured(ours, metric) and is_measured(theirs, metric)]
    rows = {}
    pair = declared(old, new, task)
    doubts = (*missing_prompts(old, new, task), *other_evaluation(old, new, task))
    if known:
        design = Design(task, estimand, VERDICT_CONFIDENCE, REPLICATES, known, known[0].name, {}, {})
        tables = {old.name: ours.tables, new.name: theirs.tables}
        part = TaskComparison(design, tables, prompts, [pair])
        rows = {row["metric"]: row for row in part.differences()}
    found = [
        _scored(
            Measured(task, _plain(new), _plain(old), check, {}, {}, paired_seeds=pair.paired_seeds, doubts=doubts),
            metric,
            ours,
            theirs,
            rows.get(metric.name),
        )
        for check, metric in zip(checks, metrics, strict=True)
    ]
    return found, lacking


def _scored(
    found: Measured, metric: Metric, ours: TaskScores, theirs: TaskScores, row: Mapping[str, Any] | None
) -> Measured:
    a, b = statistics_by_seed(ours, metric), statistics_by_seed(theirs, metric)
    alone: list[str] = []
    if found.paired_seeds and row is not None and "estimate" in row:
        alone = unjudged_seeds(a, b)
        a, b = {seed: a[seed] for seed in a if seed in b}, {seed: b[seed] for seed in b if seed in a}
    old, new = coverage(a), coverage(b)
    found = replace(
        found,
        old=values_of(a, metric),
        new=values_of(b, metric),
        old_coverage=old,
        new_coverage=new,
        doubts=(*found.doubts, *alone, *unscored(old, new)),
    )
    if row is None:
        sides = {"baseline": ours, "candidate": theirs}
        lacking = [side for side, scores in sides.items() if not is_measured(scores, metric)]
        return replace(found, reason=f"nothing of the {' and of the '.join(lacking)} was scored on it")
    if "reason" in row:
        advice = "" if row["estimand"] == "checkpoints" else _CHECKPOINTS
        return replace(found, reason=row["reason"] + advice)
    return replace(found, estimate=row["estimate"], identical=_identical(a, b), prompts=row["prompts"])


def _identical(a: Mapping[int, PromptStatistics], b: Mapping[int, PromptStatistics]) -> bool:
    """Whether every prompt has the same scores on both sides: seed by seed, or in all seeds alike."""
    if a.keys() == b.keys() and all(np.array_equal(a[seed].components, b[seed].components) for seed in a):
        return True
    first, *others = [*a.values(), *b.values()]
    return all(np.array_equal(first.components, each.components) for each in others)


def _refuse_other_graders(metric: Metric, old: Arm, new: Arm, task: str) -> None:
    ours, theirs = (arm.tasks[task].graders.get(metric.grader) for arm in (old, new))
    if ours is not None and theirs is not None and ours != theirs:
        raise InputError(
            f"{task}: {metric.name!r} cannot be judged: {old.name} and {new.name} were scored by different versions or "
            f"options of {metric.grader} ({ours} and {theirs}); score both in the same way"
        )


def _process(check: Check, metric: ProcessMetric, old: Arm, new: Arm, task: str) -> Measured:
    """The logarithm of the ratio of what processes did, paired by seed where the seeds are the same."""
    ours, theirs = process_values(old, task, metric), process_values(new, task, metric)
    paired, doubts = declared(old, new, task).paired_seeds, list[str]()
    if paired:
        doubts = unjudged_seeds(ours, theirs)
        common = [seed for seed in ours if seed in theirs]
        ours, theirs = {seed: ours[seed] for seed in common}, {seed: theirs[seed] for seed in common}
    found = Measured(task, _plain(new), _plain(old), check, ours, theirs, doubts=tuple(doubts))
    if min(len(ours), len(theirs)) < 2:
        return replace(found, reason=f"{min(len(ours), len(theirs))} finished run(s) to compare; an interval needs 2")
    a, b = (np.log(np.array(list(values.values())))[:, None] for values in (ours, theirs))
    estimate = paired_difference(b, a, confidence=VERDICT_CONFIDENCE, paired_seeds=paired)
    return replace(
        found,
        estimate=estimate,
        identical=ours == theirs,
        barred=tuple(_not_comparable(old, new, estimate.seeds)),
        unconfirmed=_NOT_INTERLEAVED if metric.per_second and not check.interleaved else "",
    )


def _not_comparable(old: Arm, new: Arm, processes: int) -> list[str]:
    """Why nothing may be said of speed and memory, whatever the numbers."""
    found = []
    if processes < FEWEST_PROCESSES:
        found.append(f"{processes} pairs of runs; a verdict on speed or memory needs at least {FEWEST_PROCESSES}")
    keys = [key for key in dict.fromkeys([*old.environment, *new.environment]) if key != _UNDER_TEST]
    differing = [
        f"{key} {old.environment.get(key, 'unknown')} and {new.environment.get(key, 'unknown')}"
        for key in keys
        if old.environment.get(key) != new.environment.get(key)
    ]
    if differing:
        found.append(f"the runs were made on different machines or versions: {', '.join(differing)}")
    if not keys:
        found.append("nothing is known of the machines")
    return found


def _mismatch(kind: str, task: str, arms: Sequence[str], text: str) -> Mismatch:
    return {"kind": kind, "task": task, "arms": list(arms), "text": text}
