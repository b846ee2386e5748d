"""The verdict on a change: a lattice in which "we cannot tell" is an answer and p > .05 never means pass."""

from __future__ import annotations

import math
from typing import Literal

from rlbench.errors import InputError
from rlbench.statistics.estimate import Estimate, at_confidence

Verdict = Literal["regressed", "worse within margin", "equivalent", "improved", "non-inferior", "inconclusive"]

# The two one-sided tests of equivalence at .05 are one 90 % interval (Schuirmann 1987).
VERDICT_CONFIDENCE = 0.90


def verdict(estimate: Estimate, margin: float) -> Verdict:
    """Judge new − old, higher is better, by its 90 % interval [L, U] and a margin declared before the run.

    In this order: U < −m regressed; U < 0 and L > −m worse within margin; −m < L and U < m equivalent; L > 0
    improved; L > −m non-inferior; otherwise inconclusive (see `seeds_needed`). An interval that has collapsed
    because nothing varied is judged like any other, so that identical runs are equivalent. Whoever has a metric for
    which lower is better negates it first. Raises InputError for a margin that is negative or not finite.
    """
    if not math.isfinite(margin) or margin < 0:
        raise InputError(f"margin: expected a number of zero or more, got {margin}; declare the loss that is tolerable")
    low, high = at_confidence(estimate, VERDICT_CONFIDENCE)
    if high < -margin:
        return "regressed"
    if high < 0 and low > -margin:
        return "worse within margin"
    if -margin < low and high < margin:
        return "equivalent"
    if low > 0:
        return "improved"
    return "non-inferior" if low > -margin else "inconclusive"
