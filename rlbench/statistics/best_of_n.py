"""What the best of n samples is worth when one score chooses and another one judges.

Stiennon et al. 2020 (arXiv:2009.01325), appendix G.3: of k samples of a prompt, every subset of n is equally likely to
be drawn, so the expected value of the subset's best is a weighted sum over the samples in the order of the choosing
score, without any random drawing.
"""

from __future__ import annotations

import math

import numpy as np

from rlbench.statistics.estimate import FloatArray


def best_of_n(choosing: FloatArray, judging: FloatArray, n: int) -> FloatArray:
    """Expected `judging` value of the sample that `choosing` puts first among n of the k samples: [...].

    Both arrays are [..., k]. Samples with the same choosing value share their places equally.
    """
    samples = choosing.shape[-1]
    # The sample in place i (from 0, the worst first) is the best of a subset if the n − 1 others stand before it.
    chance = np.array([math.comb(place, n - 1) for place in range(samples)], dtype=np.float64)
    chance /= math.comb(samples, n)
    # With ties, a sample stands in each place of its group of equals equally often.
    cumulative = np.concatenate([[0.0], np.cumsum(chance)])
    lower = (choosing[..., :, None] > choosing[..., None, :]).sum(-1)
    equal = (choosing[..., :, None] == choosing[..., None, :]).sum(-1)
    weights = (cumulative[lower + equal] - cumulative[lower]) / equal
    return np.asarray((weights * judging).sum(-1))


def best_of_n_kl(n: int) -> float:
    """KL of best-of-n sampling from the policy in nats, log n − (n − 1) / n: an upper bound.

    Beirami et al. 2024 (arXiv:2401.01879), theorem 1.
    """
    return math.log(n) - (n - 1) / n
