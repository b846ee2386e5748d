"""From a table of graded completions to sufficient statistics per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rlbench.errors import InputError
from rlbench.records import FloatArray, Metric

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class PromptStatistics:
    """Sums over the completions of each prompt, and how many completions they cover."""

    components: FloatArray
    """[prompt, c]: the metric's components, added up over the completions of each prompt."""
    sums: FloatArray
    """[prompt, c']: what adds up over prompts; `components`, unless the metric has a step per prompt."""
    scored_by_prompt: IntArray
    """[prompt]: completions that were scored."""
    unscored_by_prompt: IntArray
    """[prompt]: completions that were not."""

    @property
    def scored(self) -> int:
        """How many completions were scored."""
        return int(self.scored_by_prompt.sum())

    @property
    def unscored(self) -> int:
        """How many were not."""
        return int(self.unscored_by_prompt.sum())

    def restricted(self, places: IntArray) -> PromptStatistics:
        """The same for some of the prompts only."""
        return PromptStatistics(
            self.components[places], self.sums[places], self.scored_by_prompt[places], self.unscored_by_prompt[places]
        )


def prompt_statistics(table: pd.DataFrame, metric: Metric, sample_ids: Sequence[str]) -> PromptStatistics:
    """Add up the metric's components over the completions of every prompt.

    Args:
        table: rows of one grader: `sample_id` and its columns; missing values mark what could not be scored.
        metric: whose columns to read.
        sample_ids: the prompts, in the order of the result.

    Raises:
        InputError: a prompt is missing, one is there that was not expected, a prompt or a completion is there twice,
            or a prompt has scored completions but fewer than the metric needs.
    """
    _check_once(table, metric, sample_ids)
    place = pd.Index(sample_ids).get_indexer(pd.Index(table["sample_id"]))
    missing = sorted(set(sample_ids) - set(table["sample_id"]))
    if missing or (place < 0).any():
        extra = sorted(set(table["sample_id"]) - set(sample_ids))
        raise InputError(
            f"metric {metric.name!r}: the completions do not cover the same prompts: "
            f"{len(missing)} missing ({', '.join(missing[:3])}), {len(extra)} unexpected ({', '.join(extra[:3])})"
        )
    values = table[list(metric.columns)].to_numpy(dtype=np.float64, na_value=np.nan)
    scored = ~np.isnan(values).any(axis=-1)
    _check_enough(metric, sample_ids, place, scored)
    rows = metric.components(values[scored])
    components = np.zeros((len(sample_ids), rows.shape[-1]))
    np.add.at(components, place[scored], rows)
    sums = components if metric.per_prompt is None else metric.per_prompt(components)
    prompts = len(sample_ids)
    return PromptStatistics(
        components, sums, np.bincount(place[scored], minlength=prompts), np.bincount(place[~scored], minlength=prompts)
    )


def _check_once(table: pd.DataFrame, metric: Metric, sample_ids: Sequence[str]) -> None:
    """Refuse what would count twice."""
    if len(set(sample_ids)) < len(sample_ids):
        twice = next(name for name in sample_ids if list(sample_ids).count(name) > 1)
        raise InputError(f"metric {metric.name!r}: expected every prompt once, got {twice!r} twice; name each once")
    if "completion_index" not in table:
        return
    doubled = table.duplicated(["sample_id", "completion_index"])
    if doubled.any():
        row = table[doubled].iloc[0]
        raise InputError(
            f"metric {metric.name!r}: expected every completion once, got completion {row['completion_index']} of "
            f"{row['sample_id']!r} twice ({int(doubled.sum())} rows too many); give completions of a prompt their own "
            f"completion_index"
        )


def _check_enough(metric: Metric, sample_ids: Sequence[str], place: IntArray, scored: NDArray[np.bool_]) -> None:
    """Refuse prompts with too few scored completions. One with none at all is unscored, which is no reason to stop."""
    counts = np.bincount(place[scored], minlength=len(sample_ids))
    short = np.flatnonzero((counts > 0) & (counts < metric.completions_needed))
    if not short.size:
        return
    first, needed = short[0], metric.completions_needed
    fewest, given = int(counts[short].min()), int((place == first).sum())
    raise InputError(
        f"metric {metric.name!r}: expected at least {needed} scored completions of every prompt, got {counts[first]} "
        f"(of {given}) for prompt {sample_ids[first]!r}"
        + (f" and too few for {short.size - 1} more" if short.size > 1 else "")
        + f"; give more completions per prompt, judge again what a failure of the sandbox left unscored, or "
        f"choose a metric that needs at most {fewest}"
    )
