"""Decides on one estimate: the lattice by direction, the p of a regression, and what it would take to know."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from scipy.special import stdtr

from rlbench.comparison.gate import Direction
from rlbench.statistics import Estimate, Verdict, at_confidence, seeds_needed, verdict
from rlbench.statistics.power import seeds_to_pass
from rlbench.statistics.verdict import VERDICT_CONFIDENCE

ALPHA = 0.05
POWER = 0.8
PASSING = frozenset({"worse within margin", "equivalent", "improved", "non-inferior"})


def lattice(estimate: Estimate, margin: float, direction: Direction) -> Verdict:
    """The verdict on candidate − baseline before any adjustment.

    For `both` the interval must lie inside ± margin to pass and outside to have regressed.
    """
    if direction == "higher":
        return verdict(estimate, margin)
    if direction == "lower":
        return verdict(_negated(estimate), margin)
    low, high = at_confidence(estimate, VERDICT_CONFIDENCE)
    if high < -margin or low > margin:
        return "regressed"
    return "equivalent" if -margin < low and high < margin else "inconclusive"


def p_beyond(estimate: Estimate, margin: float, direction: Direction) -> float:
    """The one-sided p of "worse by no more than the margin"; for `both` twice the smaller of the two sides.

    Where nothing varied it is the smallest p that relabelling could give, or 1 where the margin is not exceeded.
    """
    below, above = _p_below(estimate, margin), _p_below(_negated(estimate), margin)
    if direction == "both":
        return min(1.0, 2 * min(below, above))
    return below if direction == "higher" else above


def _p_below(estimate: Estimate, margin: float) -> float:
    if estimate.standard_error > 0:
        return float(stdtr(estimate.df, (estimate.value + margin) / estimate.standard_error))
    return (estimate.p_value or 0.0) / 2 if estimate.value < -margin else 1.0


def _negated(estimate: Estimate) -> Estimate:
    return replace(estimate, value=-estimate.value, low=-estimate.high, high=-estimate.low)


def needed(
    estimate: Estimate, margin: float, direction: Direction, tests: int
) -> tuple[int | None, int | None, Literal["pass", "regress"]]:
    """How many seeds (prompts for `checkpoints`) decide four times out of five: if nothing is lost, and as observed.

    The last says what the observed difference would lead to if it were the true one: within the margin it passes,
    beyond it it has to be shown at Holm's worst level for `tests` tests. None: no number does it. Seeds are
    those on each side, in pairs or not: without pairs, t has more degrees of freedom, so that few of them are about one
    too many.
    """
    # of one prompt's difference, or of that between a seed of each side, however many seeds the sides have now
    sd = estimate.seed_sd if estimate.estimand == "recipe" else estimate.standard_error * math.sqrt(estimate.prompts)
    if sd is None:
        raise ValueError("an estimate over seeds has their standard deviation")
    gain = {"higher": estimate.value, "lower": -estimate.value, "both": -abs(estimate.value)}[direction]
    # To stay inside on both sides four times out of five, one side may be missed only once in ten.
    power = (1 + POWER) / 2 if direction == "both" else POWER
    unchanged = seeds_to_pass(margin, sd, 0.0, power)
    if gain > -margin:
        return unchanged, seeds_to_pass(margin, sd, gain, power), "pass"
    if gain == -margin:
        return unchanged, None, "regress"
    return unchanged, seeds_needed(gain + margin, sd, POWER, alpha=2 * ALPHA / tests), "regress"
