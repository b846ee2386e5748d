"""Label randomisation: a test of "no difference" between arms whose seeds are not paired.

If arms do not differ in anything, every way of dividing their values between them is as likely, and the test is exact
whatever the distribution. The statistic is Welch's t = (mean a − mean b) / sqrt(s_a² / n_a + s_b² / n_b) and not the
difference of means, because arms with the same mean may vary differently: randomising the plain difference then errs
however many values there are (simulated .22 at .05 for 20 against 60 values with 4 times the sd in the smaller arm),
the studentised statistic less and less (.08; Janssen 1997, Chung and Romano 2013). With as many values in either arm
both order the labelings alike. With a few seeds that vary differently no randomisation holds (.13 for 3 against 5) and
`paired_difference(..., paired_seeds=False)`, Welch's t test, is the better choice (.07).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError
from rlbench.seeding import stream

FloatArray = NDArray[np.float64]

LABELINGS = 9_999
_CHUNK_VALUES = 2_000_000
# Values are scaled to at most 1 in magnitude. Means this close, and statistics this close in proportion, differ by
# rounding and must count as tied; sums of squares cancel to less than the other one where nothing varies.
_TIE = 1e-9
_CANCELLED = 1e-13


def relabelling_p(a: ArrayLike, b: ArrayLike) -> float:
    """Return the two-sided p of "a and b do not differ" for values [n_a] and [n_b], one per seed or cluster of prompts.

    Twice the smaller tail, so that either direction errs at most alpha / 2 of the time. Exact over all C(n_a + n_b,
    n_a) labelings where these are no more than the random ones; else with `LABELINGS` random labelings of a fixed
    stream, p = 2 (1 + #) / (LABELINGS + 1). The smallest exact p is 2 / C(n_a + n_b, n_a): .1 for 3 against 3 seeds.
    Without variation within either arm t is infinite; without any difference either, it is 0. Raises InputError
    for fewer than 2 values in an arm and values that are not finite.
    """
    left, right = _values(a, "a"), _values(b, "b")
    pooled = np.concatenate([left, right])
    pooled = pooled - pooled.mean()
    scale = float(np.abs(pooled).max())
    # means have rounding errors as large as the values they were taken from, however close these are
    if scale <= 1e-12 * max(float(np.abs(left).max()), float(np.abs(right).max())):
        return 1.0
    pooled /= scale
    count, size = pooled.size, left.size
    observed = float(_welch(np.arange(count)[None, :] < size, pooled)[0])
    if math.comb(count, size) <= LABELINGS + 1:
        every = _every_labeling(count, size)
        return min(1.0, 2.0 * min(_tails(_welch(every, pooled), observed)) / len(every))
    greater = less = 0
    for labels in _random_labelings(count, size):
        above, below = _tails(_welch(labels, pooled), observed)
        greater, less = greater + above, less + below
    return min(1.0, 2.0 * (1 + min(greater, less)) / (LABELINGS + 1))


@lru_cache(maxsize=8)
def _every_labeling(count: int, size: int) -> NDArray[np.bool_]:
    """Which values belong to the first arm, [labeling, value]: every choice of `size` of `count`."""
    chosen = np.array(list(itertools.combinations(range(count), size)))
    labels = np.zeros((len(chosen), count), dtype=bool)
    np.put_along_axis(labels, chosen, True, axis=1)
    return labels


def _random_labelings(count: int, size: int) -> Iterable[NDArray[np.bool_]]:
    """`LABELINGS` labelings of a fixed stream, in chunks; all at once and kept where that takes 2 MB at most."""
    return (_few_labelings(count, size),) if count * LABELINGS <= _CHUNK_VALUES else _drawn(count, size)


@lru_cache(maxsize=4)
def _few_labelings(count: int, size: int) -> NDArray[np.bool_]:
    return next(_drawn(count, size))


def _drawn(count: int, size: int) -> Iterator[NDArray[np.bool_]]:
    generator = stream("statistics", "relabelling")
    first = np.arange(count) < size
    rows = max(1, _CHUNK_VALUES // count)
    for start in range(0, LABELINGS, rows):
        drawn = min(rows, LABELINGS - start)
        yield generator.permuted(np.broadcast_to(first, (drawn, count)), axis=1)


def _welch(is_a: NDArray[np.bool_], values: FloatArray) -> FloatArray:
    """Return t of every labeling [labeling, value]; infinite where nothing varies within arms that differ."""
    labels = is_a.astype(np.float64)
    n_a = labels[0].sum()
    n_b = values.size - n_a
    sum_a, squares_a = labels @ values, labels @ np.square(values)
    sum_b, squares_b = values.sum() - sum_a, np.square(values).sum() - squares_a
    difference = sum_a / n_a - sum_b / n_b
    variance = (squares_a - sum_a**2 / n_a) / (n_a - 1) / n_a + (squares_b - sum_b**2 / n_b) / (n_b - 1) / n_b
    difference[np.abs(difference) <= _TIE] = 0.0
    variance = np.where(variance <= _CANCELLED, 0.0, variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(difference == 0, 0.0, difference / np.sqrt(variance))


def _tails(statistics: FloatArray, observed: float) -> tuple[int, int]:
    """Count the labelings that reach the observed statistic from either side; what differs by rounding is tied."""
    slack = _TIE * abs(observed) if math.isfinite(observed) else 0.0
    return int((statistics >= observed - slack).sum()), int((statistics <= observed + slack).sum())


def _values(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
        raise InputError(
            f"relabelling {name!r}: expected at least 2 finite values, one per seed, got shape {list(array.shape)}; "
            "average over prompts first, and leave out runs without a value"
        )
    return array
