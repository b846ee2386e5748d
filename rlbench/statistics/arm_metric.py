"""One metric of one arm, worked out once for all comparisons that the arm is in."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError
from rlbench.statistics.axes import sufficient_statistics
from rlbench.statistics.jackknife import metrics_without_each_prompt
from rlbench.statistics.resamples import Aggregate, Resamples, resampled_metrics, seed_metrics

FloatArray = NDArray[np.float64]


class ArmMetric:
    """A metric of one arm: of every seed, and under changes to the prompts, made when first needed and then kept.

    K arms in all K(K − 1)/2 pairs are resampled K times, not K(K − 1) times. What is kept takes 8 bytes per replicate
    and seed (.4 MB for 10,000 × 5): with thousands of metrics, compare one after the other.

    Args:
        stats: sums over the completions of each prompt, [seed, prompt, component].
        aggregate: maps sums over prompts [..., component] to the metric [...].
        resamples: of these prompts; the same for all arms that are compared.
        name: what messages call the arm.

    Raises:
        InputError: axes that are not the named ones, values that are not finite, or resamples of other prompts.
    """

    def __init__(self, stats: ArrayLike, aggregate: Aggregate, resamples: Resamples, name: str = "stats") -> None:
        self.stats: FloatArray = sufficient_statistics(stats, name)
        self.aggregate = aggregate
        self.resamples = resamples
        self.name = name
        if resamples.prompts != self.stats.shape[1]:
            raise InputError(
                f"resamples: expected {self.stats.shape[1]} prompts as in statistics {name!r}, got "
                f"{resamples.prompts}; draw resamples for this evaluation"
            )

    @cached_property
    def by_seed(self) -> FloatArray:
        """The metric of every seed, [seed]. Raises InputError where it is not finite."""
        return seed_metrics(self.stats, self.aggregate, self.name)

    @cached_property
    def resampled(self) -> FloatArray:
        """The metric of every seed under every resample, [replicate, seed]. Raises InputError as `by_seed`."""
        return resampled_metrics(self.stats, self.aggregate, self.resamples, self.name)

    @cached_property
    def without_each_prompt(self) -> FloatArray:
        """The metric of every seed without each prompt, [prompt, seed]; not finite where nothing is left."""
        return metrics_without_each_prompt(self.stats, self.aggregate)
