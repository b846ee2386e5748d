"""Reads a pilot experiment for the planner: differences by seed, prompt and sample, and what a seed costs.

A metric that is the mean of a column has a value per completion. Any other is linearised: a completion's value is the
metric of its seed plus the completion's influence on it, the gradient of the metric by the sums of its components. Per
seed these values average to the metric exactly, and they vary as it does under small changes of the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rlbench.artifacts.files import read_json
from rlbench.artifacts.run_folder import EXPERIMENT, open_run
from rlbench.artifacts.sealing import MANIFEST
from rlbench.comparison.arms import Arm, TaskScores
from rlbench.comparison.sources import folder_and_arm, read_source
from rlbench.errors import InputError
from rlbench.metrics.ratio import quotient
from rlbench.metrics.table import prompt_statistics
from rlbench.records import FloatArray, Metric
from rlbench.registry import load
from rlbench.statistics.components import Components, variance_components

_STEP = 1e-4
"""Relative step of the numeric gradient."""


@dataclass(frozen=True)
class Pilot:
    """What a pilot says about the difference between two arms.

    `seconds_per_seed` is training, of both arms together; `seconds_per_completion` is sampling and scoring one
    completion of each arm. Both are None where the pilot does not know. `notes` say what was assumed or left out.
    """

    task: str
    metric: Metric
    arms: tuple[str, ...]
    components: Components
    seconds_per_seed: float | None
    seconds_per_completion: float | None
    notes: tuple[str, ...]


def read_pilot(source: str, task: str | None, metric: str | None, names: Sequence[str]) -> Pilot:
    """Read the pilot at `source` (see `read_source`).

    Args:
        source: run folder, score folder or saved baseline.
        task: needed if there are several.
        metric: the task's primary one by default.
        names: two arms, for their difference; or one, for the difference between two arms like it. By default the
            two algorithms of the pilot, or its only one.

    Raises:
        InputError: the pilot has no such arm, task or metric, or fewer than 2 seeds or prompts; or nothing varies.
    """
    arms = _chosen(read_source(source), names, source)
    task = _task(arms, task)
    scores = [arm.tasks[task] for arm in arms]
    wanted = metric or scores[0].primary
    if any(wanted not in each.metrics for each in scores):
        common = [name for name in scores[0].metrics if all(name in each.metrics for each in scores)]
        raise InputError(f"{source}: nothing was scored on {wanted!r}; expected one of {', '.join(common)}")
    found: Metric = load("metrics", wanted)
    values, samples, notes = _differences(arms, scores, found)
    components = variance_components(values, samples)
    if not any(value > 0 for value in (components.raw.seed, components.variances.residual(samples))):
        raise InputError(
            f"{source}: {wanted} did not vary between seeds, which no plan can build on; choose another --metric, or "
            f"take a pilot with more samples per prompt"
        )
    if found.aggregate is not quotient:
        notes.append(f"{wanted} is no mean of completions: its components are those of its linearisation")
    if len(arms) == 1:
        components = components.of_two_runs()
        notes.append(
            f"one arm: two arms like {arms[0].name} are assumed to share nothing but the prompts, so that seed, "
            f"interaction and sample count twice; and to differ by the same amount on every prompt"
        )
    names = tuple(arm.name for arm in arms)
    training = [_training_seconds(arm, task) for arm in arms] * (3 - len(arms))
    evaluation = [_evaluation_seconds(source, arm, task) for arm in arms] * (3 - len(arms))
    return Pilot(task, found, names, components, _total(training), _total(evaluation), tuple(notes))


def completion_values(table: pd.DataFrame, metric: Metric, sample_ids: Sequence[str]) -> FloatArray:
    """Return what every completion contributes, [prompt, sample], or [prompt] where that is not defined.

    Their mean is the metric of the table. It is not defined for single completions where the metric works per prompt,
    where completions are unscored and where prompts have different numbers of them. Raises InputError when the metric
    is undefined, and as `prompt_statistics`.
    """
    statistics = prompt_statistics(table, metric, sample_ids)
    count, rest = divmod(len(table), len(sample_ids))
    even = not rest and bool((table["sample_id"].value_counts() == count).all())
    if metric.per_prompt is not None or statistics.unscored or not even:
        return _linearised(statistics.sums, metric)
    place = pd.Index(sample_ids).get_indexer(pd.Index(table["sample_id"]))
    order = np.lexsort((table["completion_index"].to_numpy(), place))
    rows = metric.components(table[list(metric.columns)].to_numpy(dtype=np.float64)[order])
    return _linearised(rows, metric).reshape(len(sample_ids), count)


def _linearised(rows: FloatArray, metric: Metric) -> FloatArray:
    """Map components [row, c] to values [row] whose mean is the metric of the sum of all rows."""
    total = rows.sum(axis=0)
    value = float(metric.aggregate(total))
    if not np.isfinite(value):
        raise InputError(f"metric {metric.name!r}: is {value} for a seed of the pilot; choose another --metric")
    if metric.aggregate is quotient:
        gradient = np.array([1.0, -value]) / total[1]
    else:
        # A component that is zero in total is zero in every row and has no influence.
        step = _STEP * np.abs(total)
        ahead, behind = metric.aggregate(total + np.diag(step)), metric.aggregate(total - np.diag(step))
        gradient = np.divide(ahead - behind, 2.0 * step, out=np.zeros_like(total), where=step > 0)
    return np.asarray(value + (len(rows) * rows - total) @ gradient, dtype=np.float64)


def _differences(
    arms: Sequence[Arm], scores: Sequence[TaskScores], metric: Metric
) -> tuple[FloatArray, int, list[str]]:
    """Values [seed, prompt, sample] or [seed, prompt] of one arm, or differences of two; samples per prompt; notes."""
    prompts = scores[0].sample_ids
    if any(set(each.sample_ids) != set(prompts) for each in scores):
        raise InputError(
            f"{arms[0].name} and {arms[-1].name} did not answer the same prompts; take a pilot whose arms did"
        )
    seeds = sorted(set(scores[0].tables).intersection(*(each.tables for each in scores)))
    notes = []
    if lost := sorted(set().union(*(arm.seeds for arm in arms)) - set(seeds)):
        notes.append(f"seeds {', '.join(map(str, lost))} did not finish in every arm and are left out")
    tables = [[each.tables[seed][metric.grader] for seed in seeds] for each in scores]
    values = [[completion_values(table, metric, prompts) for table in of_arm] for of_arm in tables]
    samples = max((round(len(table) / len(prompts)) for of_arm in tables for table in of_arm), default=1)
    reason = _not_by_sample([each for of_arm in values for each in of_arm], metric)
    if reason:
        notes.append(f"{reason}: what a sample adds cannot be told, and plans keep {samples} per prompt")
        values = [[each if each.ndim == 1 else each.mean(axis=1) for each in of_arm] for of_arm in values]
    of_arms = [np.array(of_arm) for of_arm in values]
    return of_arms[-1] - of_arms[0] if len(arms) == 2 else of_arms[0], samples, notes


def _not_by_sample(values: Sequence[FloatArray], metric: Metric) -> str:
    """Why the variance of samples cannot be told from values [prompt] or [prompt, sample] of all runs, or ""."""
    if all(each.ndim == 1 for each in values) and metric.per_prompt is not None:
        return f"{metric.name} has one value per prompt"
    if len({each.shape for each in values}) > 1 or any(each.ndim == 1 for each in values):
        return "some completions are unscored, or prompts have different numbers of them"
    if values and values[0].shape[1] == 1:
        return "the pilot has one sample per prompt"
    return "" if any(np.ptp(each, axis=1).any() for each in values) else f"{metric.name} is the same for all samples"


def _chosen(arms: Sequence[Arm], names: Sequence[str], source: str) -> list[Arm]:
    by_name = {arm.name: arm for arm in arms}
    if absent := [name for name in names if name not in by_name]:
        raise InputError(f"{source}: expected --arm to be one of {', '.join(by_name)}, got {absent[0]!r}")
    if len(set(names)) != len(names) or len(names) > 2:
        raise InputError(f"{source}: expected one arm or two different ones, got {', '.join(names)}; give --arm twice")
    if names:
        return [by_name[name] for name in names]
    algorithms = [arm for arm in arms if arm.kind != "shared"]
    if not 1 <= len(algorithms) <= 2:
        raise InputError(f"{source}: which arms will be compared? choose one or two of {', '.join(by_name)} with --arm")
    return algorithms


def _task(arms: Sequence[Arm], task: str | None) -> str:
    tasks = [name for name in arms[0].tasks if all(name in arm.tasks for arm in arms)]
    if task is None and len(tasks) == 1:
        return tasks[0]
    if task is None or task not in tasks:
        got = "several" if task is None else repr(task)
        raise InputError(f"pilot: expected --task to be one of {', '.join(tasks)}, got {got}; choose one")
    return task


def _training_seconds(arm: Arm, task: str) -> float | None:
    """Mean seconds of a run; 0 for a policy that all runs share, None if unknown."""
    if arm.kind == "shared":
        return 0.0
    seconds = [usage["seconds"] for (of, _), usage in arm.usage.items() if of == task and "seconds" in usage]
    return float(np.mean(seconds)) if seconds else None


def _evaluation_seconds(source: str, arm: Arm, task: str) -> float | None:
    """Mean seconds to sample and score a completion, from the manifests of a run; None if there is no run."""
    root, _ = folder_and_arm(source)
    if not (root / EXPERIMENT).is_file():
        return None
    places = [part for part in open_run(root).parts() if part.name.startswith(f"{task}.{arm.name}.s")]
    made: dict[str, list[dict[str, Any]]] = {
        stage: [read_json(path) for part in places if part.stage == stage
                if (path := root / part.folder / MANIFEST).is_file()]
        for stage in ("sample", "score")
    }  # fmt: skip
    completions = sum(manifest["completions"] for manifest in made["score"])
    if not completions or len(made["sample"]) != len(made["score"]):
        return None
    return sum(float(manifest["seconds"]) for manifests in made.values() for manifest in manifests) / float(completions)


def _total(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return sum(known) if len(known) == len(seconds) else None
