"""Many comparisons at once: Holm for claims, Benjamini-Hochberg for exploration, Bonferroni for intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from rlbench.errors import InputError
from rlbench.statistics.estimate import Estimate, check_confidence

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Adjusted:
    """An estimate within its family: Holm-adjusted p, and the interval that holds together with all others."""

    estimate: Estimate
    p_adjusted: float
    low: float
    high: float


def family(estimates: Sequence[Estimate], *, confidence: float = 0.95) -> list[Adjusted]:
    """Adjust estimates that are claimed together, in the given order: Holm's p and Bonferroni-simultaneous intervals.

    With probability `confidence` all intervals [low, high] hold at once; rejecting where p_adjusted ≤ 1 − confidence
    makes any false claim at most that rarely. Holm rejects all that the intervals do, and sometimes more. The family
    is everything that was looked at: leaving out what was not significant makes the rest look better than it is.
    Raises InputError for an estimate without a p-value (the value of one arm) and a confidence outside (0, 1).
    """
    check_confidence(confidence)
    if not estimates:
        return []
    p_values = [math.nan if estimate.p_value is None else estimate.p_value for estimate in estimates]
    untested = np.flatnonzero(np.isnan(p_values))
    if untested.size:
        raise InputError(
            f"family: expected differences, got an estimate without a p-value at position {untested[0]} "
            f"({untested.size} in all); the value of one arm tests nothing: compare two arms"
        )
    adjusted = holm(p_values)
    value, error, df = np.array([(each.value, each.standard_error, each.df) for each in estimates]).T
    quantile = stdtrit(df, 0.5 + simultaneous_confidence(confidence, len(estimates)) / 2)
    half = np.where(error > 0, quantile, 0.0) * error
    columns = zip(estimates, adjusted.tolist(), (value - half).tolist(), (value + half).tolist(), strict=True)
    return [Adjusted(*row) for row in columns]


def holm(p_values: ArrayLike) -> FloatArray:
    """Return Holm-adjusted p-values [m] in the given order (Holm 1979); the chance of any false claim is ≤ alpha.

    Raises InputError for values outside [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1)), 1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Return p-values [m] adjusted for the false discovery rate, in the given order (Benjamini-Hochberg 1995).

    For secondary metrics, labelled exploratory. Raises InputError for values outside [0, 1].
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(p[order] * p.size / np.arange(p.size, 0, -1))
    return adjusted


def simultaneous_confidence(confidence: float, comparisons: int) -> float:
    """Return the confidence for each of `comparisons` intervals so that all hold together (Bonferroni).

    Use it with `at_confidence`. Raises InputError for a confidence outside (0, 1) or no comparison.
    """
    check_confidence(confidence)
    if comparisons < 1:
        raise InputError(f"comparisons: expected at least 1, got {comparisons}; count every pair that is reported")
    return 1.0 - (1.0 - confidence) / comparisons


def _checked(p_values: ArrayLike) -> FloatArray:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(
            f"p-values: expected a list of numbers in [0, 1], got {p.tolist()}; leave out comparisons without a test"
        )
    return p
