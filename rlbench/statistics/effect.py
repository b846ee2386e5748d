"""Effects that need no unit: how often one arm beats the other over seeds, and on how many prompts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rlbench.errors import InputError
from rlbench.statistics.axes import check_matched, prompt_means


def probability_of_improvement(seed_values_a: ArrayLike, seed_values_b: ArrayLike) -> float:
    """Return P(A > B) over all pairs of seeds from values [seed_a] and [seed_b]; ties count ½.

    Mann-Whitney's U / (S_a · S_b), as in rliable (Agarwal et al. 2021). Raises InputError for other shapes.
    """
    a, b = np.asarray(seed_values_a, dtype=np.float64), np.asarray(seed_values_b, dtype=np.float64)
    if a.ndim != 1 or b.ndim != 1 or not a.size or not b.size or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError(
            f"probability of improvement: expected one finite value per seed for each arm, got shapes {list(a.shape)} "
            f"and {list(b.shape)}; average over prompts first and leave out runs without a value"
        )
    greater = (a[:, None] > b[None, :]).mean()
    ties = (a[:, None] == b[None, :]).mean()
    return float(greater + 0.5 * ties)


def share_of_prompts_improved(a: ArrayLike, b: ArrayLike) -> tuple[float, float]:
    """Return the shares of prompts on which a is better and on which it is worse than b, averaged over seeds.

    Scores are [seed, prompt] or [seed, prompt, sample], higher is better; the rest of the prompts are ties.
    Raises InputError for unnamed axes, unmatched prompts and values that are not finite.
    """
    left, right = prompt_means(a, "a"), prompt_means(b, "b")
    check_matched(left, right, paired_seeds=False)
    per_prompt = left.mean(axis=0) - right.mean(axis=0)
    return float((per_prompt > 0).mean()), float((per_prompt < 0).mean())
