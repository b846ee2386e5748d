"""How many prompts an interval over prompts rests on: those on which the arms differ at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rlbench.statistics.axes import check_matched, sufficient_statistics
from rlbench.statistics.estimate import ROUNDING

FEW_PROMPTS = 10
"""Below this many prompts that differ, an interval over prompts covers too little.

With 500 prompts of which d are expected to differ, all in one direction, the nominal .95 is .80 at d = 3, .87 at 5,
.93 at 10 and .95 at 40; with both directions alike it holds.
"""


def prompts_that_differ(a: ArrayLike, b: ArrayLike) -> int:
    """Count the prompts on which two arms differ, from sufficient statistics [seed, prompt, component].

    A prompt differs when any component, averaged over the seeds of each arm, does; seeds need not be paired. For one
    binary score per prompt these are the discordant pairs of McNemar's test. Means per prompt are `means[..., None]`.
    Only these say how the difference varies, however many others there are; see `FEW_PROMPTS`.
    Raises InputError for unnamed axes, unmatched prompts and values that are not finite.
    """
    left, right = sufficient_statistics(a, "a"), sufficient_statistics(b, "b")
    check_matched(left, right, paired_seeds=False)
    scale = np.maximum(np.abs(left).max(axis=(0, 1)), np.abs(right).max(axis=(0, 1)))
    apart = np.abs(left.mean(axis=0) - right.mean(axis=0)) > ROUNDING * scale
    return int(apart.any(axis=-1).sum())
