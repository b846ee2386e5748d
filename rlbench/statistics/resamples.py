"""Bootstrap resamples of prompts, drawn once and shared by every metric, arm and pair.

Shared weights keep the pairing of prompts between arms and make differences between metrics comparable. Seeds need
no random resamples: a value is linear in the per-seed metrics, so the variance over all multinomial resamples of
seeds is known exactly (see `bootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlbench.errors import InputError
from rlbench.seeding import stream

FloatArray = NDArray[np.float64]
Aggregate = Callable[[FloatArray], FloatArray]

_CHUNK_VALUES = 4_000_000


@dataclass(frozen=True)
class Resamples:
    """Multinomial weights [replicate, prompt]: how often each prompt was drawn. Every row adds up to the prompts."""

    weights: NDArray[np.uint8]

    @property
    def replicates(self) -> int:
        """The number of bootstrap replicates."""
        return int(self.weights.shape[0])

    @property
    def prompts(self) -> int:
        """The number of prompts that each replicate draws, and draws from."""
        return int(self.weights.shape[1])


def draw_resamples(prompts: int, replicates: int = 10_000, seed: int = 0) -> Resamples:
    """Draw `replicates` resamples of `prompts` prompts with replacement. The same arguments give the same weights.

    Takes one byte per weight (10 MB for 10,000 × 1,000). Raises InputError for no prompts or fewer than 100
    replicates.
    """
    if prompts < 1 or replicates < 100:
        raise InputError(
            f"resamples: expected at least 1 prompt and 100 replicates, got {prompts} and {replicates}; "
            "10,000 replicates are usual"
        )
    generator = stream(seed, "statistics", "prompt resamples")
    # A prompt is drawn about once per replicate: more than 255 draws of one do not happen, and with up to 255
    # prompts cannot.
    weights = np.empty((replicates, prompts), dtype=np.uint8)
    rows = max(1, _CHUNK_VALUES // prompts)
    for start in range(0, replicates, rows):
        count = min(rows, replicates - start)
        drawn = generator.integers(0, prompts, size=(count, prompts))
        drawn += np.arange(count)[:, None] * prompts
        weights[start : start + count] = np.bincount(drawn.ravel(), minlength=count * prompts).reshape(count, prompts)
    return Resamples(weights)


def seed_metrics(stats: FloatArray, aggregate: Aggregate, name: str) -> FloatArray:
    """Return the metric of every seed, [seed]: `aggregate` of statistics [seed, prompt, component] summed over prompts.

    Raises InputError that names the seeds whose metric is not finite, for example because nothing was scored.
    """
    values = _aggregated(aggregate, stats.sum(axis=1))
    undefined = np.flatnonzero(~np.isfinite(values))
    if undefined.size:
        raise InputError(
            f"statistics {name!r}: expected a finite metric for every seed, got {values[undefined[0]]} for seed index "
            f"{', '.join(map(str, undefined))}; see why nothing was scored there, or leave these seeds out of both arms"
        )
    return values


def resampled_metrics(stats: FloatArray, aggregate: Aggregate, resamples: Resamples, name: str) -> FloatArray:
    """Return the metric of every seed under every resample of prompts, [replicate, seed].

    Raises InputError when the prompts do not match, or when a resample has no finite metric.
    """
    seeds, prompts, components = stats.shape
    if resamples.prompts != prompts:
        raise InputError(
            f"resamples: expected {prompts} prompts as in statistics {name!r}, got {resamples.prompts}; "
            "draw resamples for this evaluation"
        )
    by_prompt = np.ascontiguousarray(stats.transpose(1, 0, 2)).reshape(prompts, seeds * components)
    values = np.empty((resamples.replicates, seeds))
    rows = max(1, _CHUNK_VALUES // max(prompts, seeds * components))
    for start in range(0, resamples.replicates, rows):
        weights = resamples.weights[start : start + rows].astype(np.float64)
        sums = (weights @ by_prompt).reshape(-1, seeds, components)
        values[start : start + rows] = _aggregated(aggregate, sums)
    undefined = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if undefined.size:
        raise InputError(
            f"statistics {name!r}: expected a finite metric in every resample of prompts, but seed index "
            f"{', '.join(map(str, undefined))} has too few scored prompts; evaluate more prompts, or choose estimand "
            "'recipe', which does not resample them"
        )
    return values


def _aggregated(aggregate: Aggregate, sums: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):  # an undefined metric is reported by name instead
        values = np.asarray(aggregate(sums), dtype=np.float64)
    if values.shape != sums.shape[:-1]:
        raise InputError(
            f"aggregate: expected one value per row of components, shape {list(sums.shape[:-1])}, got shape "
            f"{list(values.shape)}; reduce the last axis only"
        )
    return values
