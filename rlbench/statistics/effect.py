"""Effects that need no unit: how often one arm beats the other over seeds, and on how many prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.statistics.axes import check_matched, check_matched_tasks, prompt_means, task_scores
from rlbench.statistics.estimate import ROUNDING

FloatArray = NDArray[np.float64]


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Return P(A > B) over all pairs of seeds, ties ½, for values [seed] or [seed, task] (then the mean over tasks).

    Mann-Whitney's U / (S_a · S_b) of each task, as in rliable (Agarwal et al. 2021). The arms may have different
    numbers of seeds. Raises InputError for other shapes, different tasks and values that are not finite.
    """
    left, right = task_scores(a, "a"), task_scores(b, "b")
    check_matched_tasks(left, right, paired_seeds=False)
    signs = _signs(left[:, None, :] - right[None, :, :], max(np.abs(left).max(), np.abs(right).max()))
    return float((0.5 + 0.5 * signs).mean())


def share_of_prompts_improved(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Return the shares of prompts on which a is better and on which it is worse than b, averaged over seeds.

    Scores are [seed, prompt] or [seed, prompt, sample], higher is better; the rest of the prompts are ties.
    Raises InputError for unnamed axes, unmatched prompts and values that are not finite.
    """
    left, right = prompt_means(a, "a"), prompt_means(b, "b")
    check_matched(left, right, paired_seeds=False)
    scale = max(np.abs(left).max(), np.abs(right).max())
    signs = _signs(left.mean(axis=0) - right.mean(axis=0), scale)
    return float((signs > 0).mean()), float((signs < 0).mean())


def _signs(differences: FloatArray, scale: float) -> FloatArray:
    """Return -1, 0 or 1 for each; differences of means that are only rounding are ties."""
    return np.where(np.abs(differences) <= ROUNDING * scale, 0.0, np.sign(differences))
