"""Slices: the groups of prompts that a comparison is looked at by, beside the whole.

A task's declared slices, `length` (short, medium, long) and `difficulty` (hard, medium, easy). Where a task declares no
difficulty it is measured, from all arms alike. Taken from one arm alone, what it found hard by bad luck would look like
prompts on which the other arm is better: regression to the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rlbench.errors import InputError
from rlbench.records import FloatArray, Metric
from rlbench.stages.estimates import TaskComparison
from rlbench.stages.samples import CHARACTERS, SLICE
from rlbench.statistics import benjamini_hochberg
from rlbench.statistics.slicing import thirds

SMALLEST = 10
"""A group with fewer prompts is listed and not estimated."""
ENOUGH = 16
"""Scored completions per prompt, of all arms together, from which on difficulty is measured. With two, a prompt is hard
if both arms fail on it: then they do not differ there by construction, and all of their difference is called medium."""
_NUMBERS = ("value", "low", "high", "standard_error", "p_value")
_NOTHING: dict[str, Any] = dict.fromkeys((*_NUMBERS, "p_adjusted"))
LENGTH, DIFFICULTY = "length", "difficulty"


@dataclass(frozen=True)
class Slice:
    """A group of prompts: those that are `group` in the slice `name`, for example `short` in `length`."""

    name: str
    group: str
    sample_ids: tuple[str, ...]


def slices_of(samples: pd.DataFrame | None, comparison: TaskComparison) -> list[Slice]:
    """Return the slices of a task's prompts: those that it declares, then length and difficulty.

    Args:
        samples: rows of samples.parquet (`sample_id`, `prompt_characters`, `slice_NAME`), or None where the scores are
            older than that; then only difficulty can be told.
        comparison: whose prompts are grouped.

    Raises:
        InputError: a prompt of the comparison has no row.
    """
    found: dict[str, list[Slice]] = {}
    if samples is not None:
        known = _rows(samples, comparison.sample_ids)
        for column in known.columns:
            if column.startswith(SLICE):
                name = column.removeprefix(SLICE)
                found[name] = _declared(name, known[column].tolist(), comparison.sample_ids)
        if LENGTH not in found:
            characters = known[CHARACTERS].to_numpy(dtype=np.float64)
            found[LENGTH] = _thirds(LENGTH, ("short", "medium", "long"), characters, comparison.sample_ids)
    if DIFFICULTY not in found:
        found[DIFFICULTY] = _measured_difficulty(comparison)
    return [each for slices in found.values() for each in slices]


def _rows(samples: pd.DataFrame, sample_ids: Sequence[str]) -> pd.DataFrame:
    known = samples.set_index("sample_id")
    missing = [name for name in sample_ids if name not in known.index]
    if missing:
        raise InputError(
            f"slices: expected a row of samples.parquet for each of {len(sample_ids)} prompts, got none for "
            f"{len(missing)} (first: {missing[0]!r}); score the completions again"
        )
    return known.loc[list(sample_ids)]


def _declared(name: str, groups: Sequence[str], sample_ids: Sequence[str]) -> list[Slice]:
    """One slice a group, numbers in their order; none where all prompts are in one group."""
    members: dict[str, list[str]] = {}
    for group, sample_id in zip(groups, sample_ids, strict=True):
        members.setdefault(group, []).append(sample_id)
    order = sorted(members, key=_natural)
    return [Slice(name, group, tuple(members[group])) for group in order] if len(members) > 1 else []


def _natural(group: str) -> tuple[bool, float, str]:
    try:
        number = float(group)
    except ValueError:
        number = math.nan
    # "nan" and "inf" are names: nan is neither below nor above anything, which no order survives.
    return (False, number, group) if math.isfinite(number) else (True, 0.0, group)


def _thirds(name: str, groups: Sequence[str], values: FloatArray, sample_ids: Sequence[str]) -> list[Slice]:
    """Three slices, the lowest values first; none where they cannot be told apart or one would be too small."""
    found = thirds(values, SMALLEST)
    if found is None:
        return []
    return [
        Slice(name, group, tuple(sample_ids[place] for place in np.flatnonzero(found == third).tolist()))
        for third, group in enumerate(groups)
    ]


def _measured_difficulty(comparison: TaskComparison) -> list[Slice]:
    """Thirds by the mean of the primary metric over all arms, which count alike.

    Each gives the seeds that all have, or else as many as the others: an arm with fewer would be noisier, and look good
    on what is called easy. Prompts that some arm has no score for are a group of their own.
    """
    metric = _primary(comparison)
    if metric is None or metric.higher_is_better is None:
        return []
    arms = [arm for arm in comparison.arms if comparison.seeds[arm]]
    if sum(row["scored"] for row in _on(comparison, metric).scores()) < ENOUGH * comparison.prompts or not arms:
        return []
    common = [seed for seed in comparison.seeds[arms[0]] if all(seed in comparison.seeds[arm] for arm in arms)]
    fewest = min(len(comparison.seeds[arm]) for arm in arms)
    sums = [comparison.sums(metric, arm, common or comparison.seeds[arm][:fewest]).sum(axis=0) for arm in arms]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.mean([metric.aggregate(each) for each in sums], axis=0)
    scored = np.isfinite(means)
    ids = np.array(comparison.sample_ids, dtype=object)
    ease = means[scored] if metric.higher_is_better else -means[scored]
    found = _thirds(DIFFICULTY, ("hard", "medium", "easy"), ease, ids[scored].tolist())
    if found and not scored.all():
        found.append(Slice(DIFFICULTY, "not scored in every arm", tuple(ids[~scored])))
    return found


def _primary(comparison: TaskComparison) -> Metric | None:
    return next((metric for metric in comparison.design.metrics if metric.name == comparison.design.primary), None)


def _on(comparison: TaskComparison, metric: Metric) -> TaskComparison:
    """The same comparison on one metric."""
    only = copy(comparison)
    only.design = replace(comparison.design, metrics=[metric])
    return only


def slice_rows(parts: Sequence[tuple[TaskComparison, Sequence[Slice]]]) -> list[dict[str, Any]]:
    """Return the rows of `slices` in comparison.json: every pair of arms on the primary metric, in every slice.

    Adjusted p-values are Benjamini-Hochberg's over the rows of all tasks: they are exploratory. As among the estimates
    of the whole, a difference that cannot be computed counts as an undecided test; a group that is too small to be
    tested at all, which is known beforehand, does not count.
    """
    rows = [row for comparison, slices in parts for row in _task_rows(comparison, slices)]
    tested = [row for row in rows if row["prompts"] >= SMALLEST]
    adjusted = benjamini_hochberg([1.0 if row["p_value"] is None else row["p_value"] for row in tested])
    for row, p in zip(tested, adjusted, strict=True):
        row["p_adjusted"] = None if row["p_value"] is None else float(p)
    return rows


def _task_rows(comparison: TaskComparison, slices: Sequence[Slice]) -> Iterator[dict[str, Any]]:
    metric = _primary(comparison)
    if metric is None:
        return
    only = _on(comparison, metric)
    for each in slices:
        part = only.restricted(each.sample_ids)
        small = part.prompts < SMALLEST
        scores = {} if small else {row["arm"]: row["value"] for row in part.scores()}
        missing = _NOTHING | {"reason": f"fewer than {SMALLEST} prompts"}
        found = [missing] * len(part.pairs) if small else _differences(part)
        for pair, difference in zip(part.pairs, found, strict=True):
            yield {
                "task": comparison.design.task,
                "slice": each.name,
                "group": each.group,
                "prompts": part.prompts,
                "metric": metric.name,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "a": pair.a,
                "b": pair.b,
                "score_a": scores.get(pair.a),
                "score_b": scores.get(pair.b),
            } | difference


def _differences(part: TaskComparison) -> Iterator[dict[str, Any]]:
    """The numbers of every pair, not yet adjusted.

    An interval over prompts that rests on fewer than ten on which the arms differ would be too narrow.
    """
    over_prompts = part.design.estimand != "recipe"
    differing = {(pair.a, pair.b): count for pair, count in part.differing_prompts()} if over_prompts else {}
    for pair, row in zip(part.pairs, part.differences(), strict=True):
        if "estimate" not in row:
            yield _NOTHING | {"reason": row["reason"]}
        elif differing.get((pair.a, pair.b), SMALLEST) < SMALLEST:
            reason = f"the arms differ on fewer than {SMALLEST} of these prompts"
            yield _NOTHING | {"value": row["estimate"].value, "reason": reason}
        else:
            yield _NOTHING | {name: getattr(row["estimate"], name) for name in _NUMBERS}
