"""What is calibrated: the functions that `rlbench.statistics` offers, and habits of others that must fail."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from rlbench.calibration.worlds import RATIO_LEVEL
from rlbench.statistics import (
    Estimand,
    Estimate,
    Resamples,
    bootstrap_difference,
    bootstrap_value,
    draw_resamples,
    paired_difference,
)
from rlbench.statistics.estimate import t_interval
from rlbench.statistics.interquartile import interquartile_difference
from rlbench.statistics.jackknife import jackknife_difference
from rlbench.statistics.relabelling import relabelling_p
from rlbench.statistics.signflip import sign_flip_p

FloatArray = NDArray[np.float64]

ALPHA = 0.05
REPLICATES = 1_000


@dataclass(frozen=True)
class Answer:
    """A 95 % interval of a − b, and whether the test at .05 finds a difference."""

    low: float
    high: float
    rejects: bool


class Method(Protocol):
    """How one experiment is judged."""

    def __call__(self, a: FloatArray, b: FloatArray) -> Answer:
        """Judge scores [seed, prompt] or statistics [seed, prompt, component] of two arms."""
        ...


@dataclass(frozen=True)
class ClosedForm:
    """`paired_difference`."""

    estimand: Estimand
    paired_seeds: bool = True

    def __call__(self, a: FloatArray, b: FloatArray) -> Answer:
        """One call of the function that users call."""
        return _answer(paired_difference(a, b, estimand=self.estimand, paired_seeds=self.paired_seeds))


@dataclass(frozen=True)
class Bootstrapped:
    """`bootstrap_difference` of Σ first / Σ second component, with `REPLICATES` resamples that are drawn once."""

    estimand: Estimand

    def __call__(self, a: FloatArray, b: FloatArray) -> Answer:
        """One call of the function that users call."""
        resamples = _resamples(a.shape[1])
        return _answer(bootstrap_difference(a, b, _ratio, estimand=self.estimand, resamples=resamples))


@dataclass(frozen=True)
class OneScore:
    """`bootstrap_value` of arm a alone, minus `RATIO_LEVEL`, so that the truth without a slope is 0."""

    estimand: Estimand

    def __call__(self, a: FloatArray, b: FloatArray) -> Answer:
        """One call of the function that users call; nothing is tested."""
        estimate = bootstrap_value(a, _ratio, estimand=self.estimand, resamples=_resamples(a.shape[1]))
        return Answer(estimate.low - RATIO_LEVEL, estimate.high - RATIO_LEVEL, rejects=False)


@functools.lru_cache(maxsize=4)
def _resamples(prompts: int) -> Resamples:
    return draw_resamples(prompts, REPLICATES)


def _ratio(sums: FloatArray) -> FloatArray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def sign_flips_over_seeds(a: FloatArray, b: FloatArray) -> Answer:
    """`sign_flip_p` of the seeds' differences; it has no interval."""
    return Answer(-math.inf, math.inf, sign_flip_p((a - b).mean(axis=1)) <= ALPHA)


def relabelling_of_seeds(a: FloatArray, b: FloatArray) -> Answer:
    """`relabelling_p` of the seeds' means; it has no interval."""
    return Answer(-math.inf, math.inf, relabelling_p(a.mean(axis=1), b.mean(axis=1)) <= ALPHA)


def interquartile_means(a: FloatArray, b: FloatArray) -> Answer:
    """`interquartile_difference` of unpaired scores [seed, task]."""
    return _answer(interquartile_difference(a, b, paired_seeds=False))


def jackknifed_ratio(a: FloatArray, b: FloatArray) -> Answer:
    """`jackknife_difference` of Σ first / Σ second component of one checkpoint."""
    return _answer(jackknife_difference(a[0].tolist(), b[0].tolist(), _ratio_of_items))


def _ratio_of_items(items: Sequence[list[float]]) -> float:
    first, second = map(sum, zip(*items, strict=True))
    return first / second


def _answer(estimate: Estimate) -> Answer:
    return Answer(estimate.low, estimate.high, estimate.p_value is not None and estimate.p_value <= ALPHA)


def percentile_over_seeds(a: FloatArray, b: FloatArray) -> Answer:
    """The percentile bootstrap of the seeds (as in rliable): claims about a recipe from 3 to 10 seeds."""
    differences = (a - b).mean(axis=1)
    means = differences[_seed_draws(len(differences))].mean(axis=1)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return _interval(float(low), float(high))


@functools.lru_cache(maxsize=8)
def _seed_draws(seeds: int) -> NDArray[np.int64]:
    return np.random.default_rng(seeds).integers(0, seeds, size=(REPLICATES, seeds))


def all_scores_independent(a: FloatArray, b: FloatArray) -> Answer:
    """Every score counts as an independent observation: σ/√(S·N) and a normal quantile."""
    d = a - b
    return _around(float(d.mean()), float(d.std(ddof=1)) / math.sqrt(d.size), math.inf)


def normal_over_seeds(a: FloatArray, b: FloatArray) -> Answer:
    """The mean over seeds ± 1.96 standard errors."""
    differences = (a - b).mean(axis=1)
    return _around(float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(len(differences)), math.inf)


def plain_crossed_normal(a: FloatArray, b: FloatArray) -> Answer:
    """The variance of a bootstrap that resamples seeds and prompts at once, with a normal quantile."""
    d = a - b
    return _around(float(d.mean()), math.sqrt(_crossed(d)), math.inf)


def plain_crossed_t(a: FloatArray, b: FloatArray) -> Answer:
    """The same with a t quantile: the residual, which it counts three times, costs power."""
    d = a - b
    return _around(float(d.mean()), math.sqrt(_crossed(d)), len(d) - 1)


def _crossed(d: FloatArray) -> float:
    """Variance of the mean of D [seed, prompt] when both are resampled, over all resamples instead of some."""
    by_seed, by_prompt = d.mean(axis=1), d.mean(axis=0)
    residual = d - by_seed[:, None] - by_prompt + d.mean()
    return float(by_seed.var() / len(by_seed) + by_prompt.var() / len(by_prompt) + np.square(residual).mean() / d.size)


def _around(value: float, standard_error: float, df: float) -> Answer:
    if math.isinf(df):
        half = float(ndtri(1 - ALPHA / 2)) * standard_error
        return _interval(value - half, value + half)
    return _interval(*t_interval(value, standard_error, df, 1 - ALPHA))


def _interval(low: float, high: float) -> Answer:
    return Answer(low, high, low > 0 or high < 0)
