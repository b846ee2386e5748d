"""Metrics that are a ratio of two sums over completions; a mean is the ratio whose denominators are one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlbench.records import FloatArray, Metric


def mean(
    name: str,
    *,
    grader: str,
    column: str,
    higher_is_better: bool | None,
    unit: str,
    description: str,
    signature: str | None = None,
) -> Metric:
    """Return the metric that is the mean of one column over the completions where it was measured (is not NaN)."""
    return Metric(
        name=name,
        grader=grader,
        columns=(column,),
        components=counted,
        aggregate=quotient,
        higher_is_better=higher_is_better,
        unit=unit,
        description=description,
        signature=signature or f"{name}|grader:{grader}.{column}|agg:mean",
    )


def ratio(
    name: str,
    *,
    grader: str,
    numerator: str,
    denominator: str,
    finish: Callable[[FloatArray], FloatArray],
    higher_is_better: bool | None,
    unit: str,
    description: str,
    signature: str,
) -> Metric:
    """Return the metric `finish(sum of numerator / sum of denominator)` over the rows where both were measured."""
    return Metric(
        name=name,
        grader=grader,
        columns=(numerator, denominator),
        components=_both_measured,
        aggregate=lambda sums: finish(quotient(sums)),
        higher_is_better=higher_is_better,
        unit=unit,
        description=description,
        signature=signature,
    )


def quotient(sums: FloatArray) -> FloatArray:
    """Divide sums [..., 2] to [...]; nothing over nothing is NaN, without a warning."""
    sums = np.asarray(sums, dtype=np.float64)
    result = np.full(sums.shape[:-1], np.nan)
    np.divide(sums[..., 0], sums[..., 1], out=result, where=sums[..., 1] != 0)
    return result


def counted(values: FloatArray) -> FloatArray:
    """Map [..., 1] to (value, 1), or to (0, 0) where the value is NaN."""
    value = np.asarray(values, dtype=np.float64)[..., 0]
    measured = ~np.isnan(value)
    return np.stack([np.where(measured, value, 0.0), measured.astype(np.float64)], axis=-1)


def _both_measured(values: FloatArray) -> FloatArray:
    """Replace rows [..., 2] in which either value is NaN by zeros."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isnan(values).any(axis=-1, keepdims=True), 0.0, values)
