"""The estimate: a value that never travels without its interval, its method and the question it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from rlbench.errors import InputError
from rlbench.statistics.variance import VarianceTerm

FloatArray = NDArray[np.float64]
Estimand = Literal["checkpoints", "recipe", "population"]

# A standard error below this share of the largest score is rounding noise, not variation that was observed.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A value with its interval `[low, high]` = value ± t_df · standard_error, in the metric's unit.

    `p_value` is two-sided for "the value is zero"; None for the value of one arm, where nothing is tested.
    `seeds` is the number of seeds (of the smaller arm). `seed_sd` is the standard deviation over seeds of the
    difference (of the value for one arm; sqrt(sd_a² + sd_b²) when seeds are not paired), None with one seed.
    A `standard_error` of 0 says that nothing varied in the data; `method` then says so too.
    """

    value: float
    low: float
    high: float
    standard_error: float
    df: float
    p_value: float | None
    method: str
    estimand: Estimand
    confidence: float
    seeds: int
    prompts: int
    seed_sd: float | None

    @property
    def effect_in_seed_sd(self) -> float | None:
        """The value in standard deviations over seeds; None with one seed or when seeds do not vary."""
        return self.value / self.seed_sd if self.seed_sd else None


def at_confidence(estimate: Estimate, confidence: float) -> tuple[float, float]:
    """Return (low, high) of the estimate at another two-sided confidence, for example a simultaneous one.

    Raises InputError unless 0 < confidence < 1.
    """
    check_confidence(confidence)
    return t_interval(estimate.value, estimate.standard_error, estimate.df, confidence)


def t_interval(value: float, standard_error: float, df: float, confidence: float) -> tuple[float, float]:
    """Return value ± t_df · standard_error at a two-sided confidence."""
    half_width = float(stdtrit(df, 0.5 + confidence / 2)) * standard_error if standard_error > 0 else 0.0
    return value - half_width, value + half_width


def t_p_value(value: float, variance: VarianceTerm, *, scale: float, smallest_p: float) -> float:
    """Return the two-sided p of value / sqrt(variance) against t_df.

    `scale` is the largest magnitude of the scores. Without any variation t is infinite, but data that could only
    have reached `smallest_p` by relabelling are no better evidence than that: then p is `smallest_p`, or 1 when
    the value is zero.
    """
    if is_constant(variance, scale):
        return 1.0 if abs(value) <= ROUNDING * scale else smallest_p
    return float(2.0 * stdtr(variance.df, -abs(value) / math.sqrt(variance.value)))


def is_constant(variance: VarianceTerm, scale: float) -> bool:
    """Say whether a variance is zero up to rounding, for scores as large as `scale`."""
    return math.sqrt(variance.value) <= ROUNDING * scale


def t_estimate(
    value: float,
    variance: VarianceTerm,
    *,
    p_value: float | None,
    scale: float,
    method: str,
    estimand: Estimand,
    confidence: float,
    seeds: int,
    prompts: int,
    seed_sd: float | None,
) -> Estimate:
    """Build the estimate value ± t_df · sqrt(variance); a variance of pure rounding becomes exactly 0."""
    constant = is_constant(variance, scale)
    if abs(value) <= ROUNDING * scale:
        value = 0.0
    standard_error = 0.0 if constant else math.sqrt(variance.value)
    low, high = t_interval(value, standard_error, variance.df, confidence)
    if seed_sd is not None and seed_sd <= ROUNDING * scale:
        seed_sd = 0.0
    return Estimate(
        value=value,
        low=low,
        high=high,
        standard_error=standard_error,
        df=variance.df,
        p_value=p_value,
        method=f"{method}; nothing varied, the interval has collapsed" if constant else method,
        estimand=estimand,
        confidence=confidence,
        seeds=seeds,
        prompts=prompts,
        seed_sd=seed_sd,
    )


def check_confidence(confidence: float) -> None:
    """Raise InputError unless 0 < confidence < 1."""
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence: expected a number between 0 and 1, got {confidence}; use for example 0.95")


def check_estimand(estimand: str, seeds: int, prompts: int) -> None:
    """Raise InputError when the estimand is unknown or has too few seeds or prompts for any interval."""
    if estimand not in get_args(Estimand):
        raise InputError(f"estimand: expected one of {', '.join(get_args(Estimand))}, got {estimand!r}; choose one")
    if estimand != "checkpoints" and seeds < 2:
        raise InputError(
            f"estimand {estimand!r}: expected at least 2 seeds per arm, got {seeds}; one run says nothing about how "
            "runs vary: train more seeds, or choose estimand 'checkpoints' for a claim about these checkpoints only"
        )
    if estimand != "recipe" and prompts < 2:
        raise InputError(
            f"estimand {estimand!r}: expected at least 2 prompts, got {prompts}; evaluate more prompts, or choose "
            "estimand 'recipe' for a claim about these prompts only"
        )
