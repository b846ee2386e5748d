"""The named axes of score arrays: [seed, prompt], [seed, prompt, sample], [seed, prompt, component], [seed, task]."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError

FloatArray = NDArray[np.float64]


def prompt_means(scores: ArrayLike, name: str) -> FloatArray:
    """Return scores [seed, prompt] or [seed, prompt, sample] as means over samples, [seed, prompt].

    Raises InputError for other shapes and for values that are not finite.
    """
    array = _numbers(scores, name)
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(
            f"scores {name!r}: expected an array [seed, prompt] or [seed, prompt, sample] that is not empty, got shape "
            f"{list(array.shape)}; name the axes: one run is scores[None, :], one value per seed is scores[:, None]"
        )
    _check_finite(array, name, ("seed", "prompt", "sample"))
    return array if array.ndim == 2 else array.mean(axis=2)


def sufficient_statistics(stats: ArrayLike, name: str) -> FloatArray:
    """Return statistics [seed, prompt, component] as floats.

    Raises InputError for other shapes and for values that are not finite.
    """
    array = _numbers(stats, name)
    if array.ndim != 3 or array.size == 0:
        raise InputError(
            f"statistics {name!r}: expected an array [seed, prompt, component] that is not empty, got shape "
            f"{list(array.shape)}; sum the components over the completions of each prompt"
        )
    _check_finite(array, name, ("seed", "prompt", "component"))
    return array


def task_scores(scores: ArrayLike, name: str) -> FloatArray:
    """Return scores [seed] of one task, or [seed, task], as [seed, task].

    Raises InputError for other shapes and for values that are not finite.
    """
    array = _numbers(scores, name)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(
            f"scores {name!r}: expected one finite value per seed, [seed] or [seed, task], got shape "
            f"{list(array.shape)}; average over prompts first"
        )
    _check_finite(array, name, ("seed", "task"))
    return array.reshape(len(array), -1)


def check_matched_tasks(a: FloatArray, b: FloatArray, *, paired_seeds: bool) -> None:
    """Raise InputError unless both arms have the same tasks, and the same seeds where these are paired."""
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"tasks: expected the same tasks in both arms, got {a.shape[1]} and {b.shape[1]}; "
            "compare on the tasks that both arms have, in the same order"
        )
    if paired_seeds:
        _check_same_seeds(a, b)


def check_matched(a: FloatArray, b: FloatArray, *, paired_seeds: bool) -> None:
    """Raise InputError unless both arms have the same prompts, and the same seeds where these are paired."""
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"prompts: expected the same prompts in both arms, got {a.shape[1]} and {b.shape[1]}; "
            "compare on the prompts that both arms have, in the same order"
        )
    if paired_seeds:
        _check_same_seeds(a, b)


def _check_same_seeds(a: FloatArray, b: FloatArray) -> None:
    if a.shape[0] != b.shape[0]:
        raise InputError(
            f"seeds: expected the same seeds in both arms because seeds are paired, got {a.shape[0]} and {b.shape[0]}; "
            "finish the missing runs, or declare paired_seeds=False before looking at the result"
        )


def _check_finite(array: FloatArray, name: str, axes: tuple[str, ...]) -> None:
    finite = np.isfinite(array)
    if finite.all():
        return
    first = np.argwhere(~finite)[0]
    where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, first, strict=False))
    raise InputError(
        f"{name!r}: expected finite numbers, got {array[tuple(first)]} at {where} ({int((~finite).sum())} in all); "
        "leave unscored prompts or runs out of both arms, or use sufficient statistics, where they count as nothing"
    )


def _numbers(values: ArrayLike, name: str) -> FloatArray:
    """The values as floats; what a mask hides is missing."""
    try:
        masked = np.ma.isMaskedArray(values)
        return np.asarray(
            np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan) if masked else values, np.float64
        )
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name!r}: expected an array of numbers with as many values in every row, got something else ({error}); "
            f"leave out what is missing, or average over samples first"
        ) from error
