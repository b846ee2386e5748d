"""Many comparisons at once: Holm for claims, Benjamini-Hochberg for exploration, Bonferroni for intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError
from rlbench.statistics.estimate import check_confidence

FloatArray = NDArray[np.float64]


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
