"""Variance terms with degrees of freedom, and how they combine for seeds that are crossed with prompts.

Each term is a contribution to the variance of the estimated value (not of one observation). Satterthwaite's
approximation (Biometrics Bulletin 2, 1946) gives a sum of terms its degrees of freedom; with the seed terms of two
arms it is Welch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Values = float | FloatArray

# With this many seeds or fewer, Satterthwaite's df are too noisy to use and the seeds' own df are kept.
FEW_SEEDS = 4


@dataclass(frozen=True)
class VarianceTerm:
    """A variance of the estimated value, in the metric's unit squared, and its degrees of freedom."""

    value: float
    df: float


def seed_variance(seed_terms: Sequence[VarianceTerm]) -> VarianceTerm:
    """Add the seed terms of one (paired) or two (unpaired: Welch) groups of seeds."""
    total, df = _seed_variances(*_columns(seed_terms))
    return VarianceTerm(float(total), float(df))


def crossed_variance(
    seed_terms: Sequence[VarianceTerm], prompt_term: VarianceTerm, residual_terms: Sequence[VarianceTerm]
) -> VarianceTerm:
    """Return the variance of a value for which both seeds and prompts are random.

    The seed terms and the prompt term each hold the residual (seed × prompt and sampling noise) once; it is taken
    out of the prompt term so that it counts once. When nothing of the prompt term is left, seeds decide alone. With
    at most `FEW_SEEDS` seeds the df are those of the scarcer of seeds and prompts, and they never fall below that.
    """
    prompts, residuals = (prompt_term.value, prompt_term.df), _columns(residual_terms)
    total, df = crossed_variances(*_columns(seed_terms), *prompts, *residuals)
    return VarianceTerm(float(total), float(df))


def crossed_variances(
    seed_values: Sequence[Values],
    seed_df: Sequence[float],
    prompt_values: Values,
    prompt_df: float,
    residual_values: Sequence[Values],
    residual_df: Sequence[float],
) -> tuple[FloatArray, FloatArray]:
    """Return variances and df [...] by the rule of `crossed_variance`, for many experiments of one design at once.

    Seed and residual terms come per group of seeds; values are [...], or numbers for one experiment.
    """
    seeds, seeds_df = _seed_variances(seed_values, seed_df)
    prompts_only = prompt_values - sum(residual_values)
    crossed = prompts_only > 0
    total = np.where(crossed, seeds + prompts_only, seeds)
    df = np.minimum(seeds_df, prompt_df)
    if min(seed_df) + 1 > FEW_SEEDS:
        terms = [*seed_values, prompt_values, *residual_values]
        df = np.maximum(_satterthwaite(total, terms, [*seed_df, prompt_df, *residual_df]), df)
    return total, np.where(crossed, df, seeds_df)


def _seed_variances(values: Sequence[Values], df: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Add the terms of each group; where nothing varies, the df are those of the smaller group."""
    total = np.asarray(sum(values), dtype=np.float64)
    return total, np.where(total > 0, _satterthwaite(total, values, df), min(df))


def _satterthwaite(total: FloatArray, values: Sequence[Values], df: Sequence[float]) -> FloatArray:
    """Degrees of freedom of a sum of terms; 1 where nothing varies, which is no answer and is not used."""
    varies = total > 0
    # relative to the total, because squares of tiny variances underflow
    scale = np.where(varies, total, 1.0)
    inverse = sum((value / scale) ** 2 / each for value, each in zip(values, df, strict=True))
    return 1.0 / np.where(varies, inverse, 1.0)


def _columns(terms: Sequence[VarianceTerm]) -> tuple[list[float], list[float]]:
    return [term.value for term in terms], [term.df for term in terms]
