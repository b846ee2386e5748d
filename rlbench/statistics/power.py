"""What a number of seeds can show: minimum detectable effects, seeds needed and the smallest p by relabelling."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import nctdtr, ndtri, stdtrit

from rlbench.errors import InputError

# Beyond this the noncentral t is the normal to far less than one seed.
_NORMAL_FROM = 10_000


def minimum_detectable_effect(seeds: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the true difference, in sd of paired seed differences, that a two-sided t test finds with `power`.

    Exact, by the noncentral t distribution. Raises InputError for fewer than 2 seeds, a power or alpha outside
    (0, 1) and a power that does not exceed alpha.
    """
    _check_rates(power, alpha)
    if seeds < 2:
        raise InputError(f"power: expected at least 2 seeds, got {seeds}; train more seeds")
    upper = 1.0
    while t_power(upper, seeds, alpha) < power:
        upper *= 2.0
    return float(brentq(lambda effect: t_power(effect, seeds, alpha) - power, 0.0, upper, xtol=1e-10))


def seeds_needed(effect: float, seed_sd: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Return the fewest paired seeds, at least 2, that find `effect` with `power` when differences vary by `seed_sd`.

    Effect and sd are in the metric's unit. Raises InputError for an effect of zero and a negative sd.
    """
    _check_rates(power, alpha)
    if not math.isfinite(effect) or effect == 0:
        raise InputError(f"power: expected an effect other than zero, got {effect}; declare the margin that matters")
    _check_seed_sd(seed_sd)
    return 2 if seed_sd == 0 else _fewest_seeds(abs(effect) / seed_sd, power, alpha, one_sided=False)


def seeds_to_pass(
    margin: float, seed_sd: float, true_difference: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> int | None:
    """Return the fewest paired seeds, at least 2, with which a gate passes with `power`: L > −margin (see `verdict`).

    `true_difference` is new − old, higher is better; margin, difference and sd are in the metric's unit. L is the lower
    end of the two-sided interval at confidence 1 − 2·alpha. None: no number of seeds passes, because the difference is
    at or beyond the margin. Raises InputError for a negative margin and a negative sd.
    """
    _check_rates(power, alpha)
    if not math.isfinite(margin) or margin < 0 or not math.isfinite(true_difference):
        raise InputError(
            f"power: expected a margin of zero or more and a finite difference, got {margin} and {true_difference}; "
            "declare the loss that is tolerable"
        )
    _check_seed_sd(seed_sd)
    distance = margin + true_difference
    if distance <= 0:
        return None
    return 2 if seed_sd == 0 else _fewest_seeds(distance / seed_sd, power, alpha, one_sided=True)


def t_power(effect: float, seeds: int, alpha: float = 0.05, *, one_sided: bool = False) -> float:
    """Return how often a t test over paired seeds rejects zero when the truth is `effect` sd of seed differences.

    Exact, by the noncentral t distribution. A one-sided test rejects only for values above zero.
    """
    df = seeds - 1
    shift = effect * math.sqrt(seeds)
    if one_sided:
        return 1.0 - _below(float(stdtrit(df, 1.0 - alpha)), df, shift)
    critical = float(stdtrit(df, 1.0 - alpha / 2.0))
    return 1.0 - _below(critical, df, shift) + _below(-critical, df, shift)


def smallest_sign_flip_p(seeds: int) -> float:
    """Return 2 / 2^seeds, the smallest two-sided p that flipping the signs of paired seeds can give."""
    if seeds < 1:
        raise InputError(f"sign flips: expected at least 1 seed, got {seeds}; train a seed first")
    return 2.0 ** (1 - seeds)


def smallest_relabelling_p(seeds_a: int, seeds_b: int) -> float:
    """Return min(1, 2 / C(a + b, a)), the smallest two-sided p of a permutation test between unpaired seeds."""
    return min(1.0, 2.0 / math.comb(seeds_a + seeds_b, seeds_a))


def _fewest_seeds(standardised: float, power: float, alpha: float, *, one_sided: bool) -> int:
    quantile = float(ndtri(1.0 - (alpha if one_sided else alpha / 2.0)))
    # the normal's answer is a lower bound; the t distribution needs about quantile² / 2 more seeds
    normal = ((quantile + float(ndtri(power))) / standardised) ** 2
    if normal > _NORMAL_FROM:
        return math.ceil(normal + quantile**2 / 2.0)
    seeds = max(2, math.floor(normal))
    while seeds > 2 and t_power(standardised, seeds - 1, alpha, one_sided=one_sided) >= power:
        seeds -= 1
    while t_power(standardised, seeds, alpha, one_sided=one_sided) < power:
        seeds += 1
    return seeds


def _below(bound: float, df: int, shift: float) -> float:
    """P(T < bound) of the noncentral t. scipy gives NaN far out in the lower tail, below 1e-11, which is 0 here."""
    found = float(nctdtr(df, shift, bound))
    return 0.0 if math.isnan(found) else found


def _check_seed_sd(seed_sd: float) -> None:
    if not math.isfinite(seed_sd) or seed_sd < 0:
        raise InputError(f"power: expected a seed sd of zero or more, got {seed_sd}; estimate it from 2 or more seeds")


def _check_rates(power: float, alpha: float) -> None:
    if not 0.0 < alpha < power < 1.0:
        raise InputError(
            f"power: expected 0 < alpha < power < 1, got alpha {alpha} and power {power}; use alpha 0.05 and power 0.8"
        )
