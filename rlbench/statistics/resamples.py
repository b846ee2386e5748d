"""Bootstrap resamples of prompts, drawn once and shared by every metric, arm and pair.

Shared weights keep the pairing of prompts between arms and make differences between metrics comparable. Seeds need
no random resamples: a value is linear in the per-seed metrics, so the variance over all multinomial resamples of
seeds is known exactly (see `bootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rlbench.errors import InputError
from rlbench.seeding import stream

FloatArray = NDArray[np.float64]
Aggregate = Callable[[FloatArray], FloatArray]

# Replicates are worked on in chunks of 2 MB: larger ones leave the processor's cache and take up to twice as long.
_CHUNK_VALUES = 250_000


@dataclass(frozen=True)
class Resamples:
    """Resamples of `prompts` prompts with replacement, drawn from `seed`. Made by `draw_resamples`."""

    prompts: int
    replicates: int
    seed: int

    @cached_property
    def weights(self) -> NDArray[np.uint8]:
        """How often each prompt was drawn, [replicate, prompt]; every row adds up to `prompts`.

        Multinomial, drawn when first needed and then kept: one byte per weight, 10 MB for 10,000 × 1,000.
        """
        generator = stream(self.seed, "statistics", "prompt resamples")
        # A prompt is drawn about once per replicate: more than 255 draws of one do not happen, and with up to 255
        # prompts cannot.
        weights = np.empty((self.replicates, self.prompts), dtype=np.uint8)
        for rows in _chunks(self.replicates, self.prompts):
            count = rows.stop - rows.start
            drawn = generator.integers(0, self.prompts, size=(count, self.prompts))
            drawn += np.arange(count)[:, None] * self.prompts
            weights[rows] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        return weights


def draw_resamples(prompts: int, replicates: int = 10_000, seed: int = 0) -> Resamples:
    """Return `replicates` resamples of `prompts` prompts. The same arguments give the same weights.

    Raises InputError for no prompts or fewer than 100 replicates.
    """
    if prompts < 1 or replicates < 100:
        raise InputError(
            f"resamples: expected at least 1 prompt and 100 replicates, got {prompts} and {replicates}; "
            "10,000 replicates are usual"
        )
    return Resamples(prompts, replicates, seed)


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
    """Return the metric of every seed under every resample of the prompts of `stats`, [replicate, seed].

    Raises InputError when a resample has no finite metric.
    """
    seeds, prompts, components = stats.shape
    by_prompt = np.ascontiguousarray(stats.transpose(1, 0, 2)).reshape(prompts, seeds * components)
    # Column by column in memory: means and variances over the few seeds of a replicate are then several times faster.
    values = np.empty((resamples.replicates, seeds), order="F")
    for rows in _chunks(resamples.replicates, max(prompts, seeds * components)):
        sums = resamples.weights[rows].astype(np.float64) @ by_prompt
        values[rows] = _aggregated(aggregate, sums.reshape(-1, seeds, components))
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


def _chunks(replicates: int, width: int) -> list[slice]:
    """Split the replicates into slices of about `_CHUNK_VALUES` values, `width` for each replicate."""
    rows = max(1, _CHUNK_VALUES // width)
    return [slice(start, min(start + rows, replicates)) for start in range(0, replicates, rows)]
