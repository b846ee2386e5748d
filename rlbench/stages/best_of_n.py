"""How gold and proxy reward of an arm grow when the proxy chooses the best of n completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rlbench.records import FloatArray
from rlbench.stages.rewards import GOLD, REWARD
from rlbench.statistics import Estimand, bootstrap_value, draw_resamples
from rlbench.statistics.best_of_n import best_of_n, best_of_n_kl

Tables = Mapping[str, Mapping[int, Mapping[str, pd.DataFrame]]]
"""Tables of graded completions by arm, seed and grader."""


def best_of_n_rows(
    task: str, tables: Tables, sample_ids: Sequence[str], estimand: Estimand, confidence: float, replicates: int
) -> list[dict[str, Any]]:
    """One row per arm and n: mean proxy and gold reward over prompts, with intervals.

    Prompts with a completion that one of the two could not score are left out; `prompts` counts those that stay in
    every seed. Nothing without the two roles, with a single completion per prompt, or with too few prompts or seeds.
    """
    resamples = draw_resamples(len(sample_ids), replicates) if estimand != "recipe" and len(sample_ids) > 1 else None
    rows = []
    for arm, by_seed in tables.items():
        if not by_seed or any(not {REWARD, GOLD} <= set(each) for each in by_seed.values()):
            continue
        values = np.stack([_values(each, sample_ids) for each in by_seed.values()])  # [seed, role, prompt, sample]
        whole = ~np.isnan(values).any(axis=(0, 1, 3))
        enough = whole.sum() >= 2 and (estimand == "checkpoints" or len(values) >= 2)
        if values.shape[-1] < 2 or not enough:
            continue
        for n in range(1, values.shape[-1] + 1):
            found = {"task": task, "arm": arm, "n": n, "kl_nats": best_of_n_kl(n), "prompts": int(whole.sum())}
            for role, name in enumerate(("proxy", "gold")):
                best = np.where(whole, best_of_n(values[:, 0], values[:, role], n), 0.0)
                stats = np.stack([best, np.broadcast_to(whole, best.shape).astype(np.float64)], axis=-1)
                estimate = bootstrap_value(stats, _ratio, estimand=estimand, confidence=confidence, resamples=resamples)
                found |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
            rows.append(found)
    return rows


def _ratio(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _values(tables: Mapping[str, pd.DataFrame], sample_ids: Sequence[str]) -> FloatArray:
    """Rewards [role, prompt, sample]: the proxy's and the gold reward's, NaN where one is missing."""
    return np.stack([_by_prompt(tables[role], sample_ids) for role in (REWARD, GOLD)])


def _by_prompt(table: pd.DataFrame, sample_ids: Sequence[str]) -> FloatArray:
    wide = table.pivot(index="sample_id", columns="completion_index", values="value").reindex(list(sample_ids))
    return np.asarray(wide.to_numpy(dtype=np.float64, na_value=np.nan))
