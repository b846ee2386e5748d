"""Cuts prompts into thirds by something that is known of each, to look at them apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError

# Values this close, relative to the largest, are equal up to the order in which they were added up.
_DECIMALS = 12


def thirds(values: ArrayLike, smallest: int = 1) -> NDArray[np.intp] | None:
    """Return for each of the values [n] its third: 0 for the lowest, 1, or 2 for the highest.

    Equal values stay together, so thirds may differ in size: of the places between different values the cuts take
    those that bring the thirds closest to n/3 and 2n/3. Returns None where a third would have fewer than `smallest`
    values, as when there are fewer than three different ones. Raises InputError for values that are not finite or no
    list.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise InputError(
            f"thirds: expected a list of finite numbers, got shape {list(array.shape)} or values that are not finite"
        )
    scale = float(np.abs(array).max(initial=0.0)) or 1.0
    different, place, counts = np.unique(np.round(array / scale, _DECIMALS), return_inverse=True, return_counts=True)
    if different.size < 3:
        return None
    below = np.cumsum(counts)[:-1]
    first, second = (int(np.abs(below - share * array.size / 3).argmin()) for share in (1, 2))
    found = np.searchsorted([first, second], place, side="left")
    return None if np.bincount(found, minlength=3).min() < smallest else found
