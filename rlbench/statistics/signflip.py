"""Sign-flip randomisation and exact McNemar: tests of "no difference" that assume no distribution.

Under the null hypothesis the difference of a pair is as likely to have either sign. The studentised statistic
t = mean / (sd / √n) orders the sign flips exactly as |Σ ±d| does, because Σ d² does not change under flips, so the
plain sums are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from rlbench.seeding import stream

FloatArray = NDArray[np.float64]

EXACT_UP_TO = 12
FLIPS = 9_999
_CHUNK_VALUES = 2_000_000
# Sums that are equal in exact arithmetic differ by rounding; they must count as ties.
_TIE = 1e-9


def sign_flip_p(differences: FloatArray) -> float:
    """Return the two-sided p of the differences [n] by sign-flip randomisation.

    Exact (all 2^n flips) for up to `EXACT_UP_TO` differences that are not zero; else with `FLIPS` random flips from
    a fixed stream, p = (1 + #{|t*| ≥ |t|}) / (FLIPS + 1) (Phipson and Smyth 2010), so p is never 0 and the same data
    always give the same p. Differences of exactly zero carry no sign and change no sum.
    """
    moved = differences[differences != 0]
    if moved.size == 0:
        return 1.0
    threshold = abs(float(moved.sum())) - _TIE * float(np.abs(moved).sum())
    if moved.size <= EXACT_UP_TO:
        return float(_extreme_flips(_all_signs(moved.size), moved, threshold) / 2**moved.size)
    generator = stream("statistics", "sign flips")
    rows = max(1, min(FLIPS, _CHUNK_VALUES // moved.size))
    extreme = 0
    for start in range(0, FLIPS, rows):
        extreme += _extreme_flips(_random_signs(generator, min(rows, FLIPS - start), moved.size), moved, threshold)
    return (1 + extreme) / (FLIPS + 1)


def mcnemar_p(differences: FloatArray) -> float:
    """Return the exact two-sided McNemar p of differences [n] between binary scores, each -1, 0 or 1.

    It is the binomial test of the discordant pairs (McNemar 1947, exact form), 1 when there are none.
    """
    gains, losses = int((differences > 0).sum()), int((differences < 0).sum())
    if gains + losses == 0:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(gains, losses), gains + losses, 0.5)))


def smallest_prompt_p(prompts: int) -> float:
    """Return the smallest p that `sign_flip_p` can give for a number of prompts."""
    return 2.0 ** (1 - prompts) if prompts <= EXACT_UP_TO else 1.0 / (FLIPS + 1)


def _extreme_flips(negative: NDArray[np.uint8], differences: FloatArray, threshold: float) -> int:
    """Count the rows of negative [flip, n] (1 = flipped) for which the flipped sum reaches the threshold."""
    sums = differences.sum() - 2.0 * (negative.astype(np.float64) @ differences)
    return int((np.abs(sums) >= threshold).sum())


def _all_signs(count: int) -> NDArray[np.uint8]:
    return ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(np.uint8)


def _random_signs(generator: np.random.Generator, rows: int, count: int) -> NDArray[np.uint8]:
    packed = np.frombuffer(generator.bytes(rows * ((count + 7) // 8)), dtype=np.uint8)
    return np.unpackbits(packed.reshape(rows, -1), axis=1, count=count)
