"""From a table of graded completions to sufficient statistics per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rlbench.errors import InputError
from rlbench.records import FloatArray, Metric


@dataclass(frozen=True)
class PromptStatistics:
    """Sums over the completions of each prompt, and how many completions they cover."""

    sums: FloatArray
    """[prompt, component]"""
    scored: int
    unscored: int


def prompt_statistics(table: pd.DataFrame, metric: Metric, sample_ids: Sequence[str]) -> PromptStatistics:
    """Add up the metric's components over the completions of every prompt.

    Args:
        table: rows of one grader: `sample_id` and its columns; missing values mark what could not be scored.
        metric: whose columns to read.
        sample_ids: the prompts, in the order of the result.

    Raises:
        InputError: a prompt is missing or one is there that was not expected.
    """
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
    components = metric.components(values[scored])
    sums = np.zeros((len(sample_ids), components.shape[-1]))
    np.add.at(sums, place[scored], components)
    return PromptStatistics(sums, int(scored.sum()), int((~scored).sum()))
