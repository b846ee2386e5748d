"""Sign-flip randomisation and exact McNemar: tests of "no difference" that assume no distribution.

Under the null hypothesis the difference of a pair is as likely to have either sign. The studentised statistic
t = mean / (sd / √n) orders the sign flips exactly as |Σ ±d| does, because Σ d² does not change under flips, so the
plain sums are compared. A pair is a seed (for the recipe) or a prompt (for these checkpoints): whatever is independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

from rlbench.errors import InputError
from rlbench.seeding import stream

FloatArray = NDArray[np.float64]

EXACT_UP_TO = 12
FLIPS = 9_999
_CHUNK_BYTES = 2_000_000
# Sums that are equal in exact arithmetic differ by rounding; they must count as ties.
_TIE = 1e-9


def sign_flip_p(differences: ArrayLike) -> float:
    """Return the two-sided p of the differences [n], one per pair of seeds or of prompts, by sign-flip randomisation.

    Exact (all 2^n flips) for up to `EXACT_UP_TO` differences that are not zero; else with `FLIPS` random flips from
    a fixed stream, p = (1 + #{|t*| ≥ |t|}) / (FLIPS + 1) (Phipson and Smyth 2010), so p is never 0 and the same data
    always give the same p. Differences of exactly zero carry no sign and change no sum. Few seeds cannot show much:
    the smallest p of n pairs is 2 / 2^n, .25 for 3 seeds. Raises InputError unless the differences are a list of
    finite numbers.
    """
    given = np.asarray(differences, dtype=np.float64)
    if given.ndim != 1 or not given.size or not np.isfinite(given).all():
        raise InputError(
            f"sign flips: expected a list of finite differences, one per pair, got shape {list(given.shape)}; "
            "average over prompts or over seeds first and leave out pairs without a value"
        )
    moved = given[given != 0]
    if moved.size == 0:
        return 1.0
    threshold = abs(float(moved.sum())) - _TIE * float(np.abs(moved).sum())
    if moved.size <= EXACT_UP_TO:
        sums = moved.sum() - 2.0 * (_all_signs(moved.size) @ moved)
        return float((np.abs(sums) >= threshold).sum() / 2**moved.size)
    return (1 + _extreme_random_flips(moved, threshold)) / (FLIPS + 1)


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


def _extreme_random_flips(differences: FloatArray, threshold: float) -> int:
    """Count the random flips for which the flipped sum reaches the threshold.

    A byte of random bits flips eight differences, and what it makes of them is looked up in a table of all 256 bytes.
    """
    groups = (differences.size + 7) // 8
    padded = np.zeros(groups * 8)
    padded[: differences.size] = differences
    flipped = padded.reshape(groups, 8) @ _all_signs(8)[:, ::-1].T  # [group of eight, byte]; the first is the high bit
    extreme = 0
    for drawn in _random_bytes(groups):
        sums, looked_up = np.zeros(drawn.shape[1]), np.empty(drawn.shape[1])
        for table, byte in zip(flipped, drawn, strict=True):
            sums += np.take(table, byte, out=looked_up, mode="clip")  # never clips, but checks no index
        extreme += int((np.abs(differences.sum() - 2.0 * sums) >= threshold).sum())
    return extreme


def _random_bytes(groups: int) -> Iterable[NDArray[np.uint8]]:
    """Yield the fixed stream of random bytes [group, flip] for `FLIPS` flips, in chunks of flips."""
    if groups * FLIPS <= _CHUNK_BYTES:
        return (_few_random_bytes(groups),)
    return _drawn(groups)


@lru_cache(maxsize=4)
def _few_random_bytes(groups: int) -> NDArray[np.uint8]:
    """All in one chunk, kept because one experiment tests the same number of prompts again and again."""
    return next(_drawn(groups))


def _drawn(groups: int) -> Iterator[NDArray[np.uint8]]:
    generator = stream("statistics", "sign flips")
    rows = max(4, _CHUNK_BYTES // groups // 4 * 4)  # whole 32-bit words, so that chunks do not change what is drawn
    for start in range(0, FLIPS, rows):
        count = min(rows, FLIPS - start)
        drawn = np.frombuffer(generator.bytes(count * groups), dtype=np.uint8).reshape(count, groups)
        yield np.ascontiguousarray(drawn.T)


@lru_cache(maxsize=EXACT_UP_TO)
def _all_signs(count: int) -> FloatArray:
    """All flips of `count` differences, [2^count, count], 1 = flipped; at most 0.4 MB."""
    return ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(np.float64)
