"""The jackknife: what a metric does when part of the data is left out.

It needs nothing of a metric but its value on other data, so it serves where sums over prompts do not exist: distinct-n,
self-BLEU, or anything else computed from all completions at once. These must not be bootstrapped: a prompt drawn twice
repeats its n-grams, which moves such a metric far away (distinct-n .20 becomes .15). Leaving prompts out hardly does.

Delete-group jackknife (Shao and Tu 1995, "The Jackknife and Bootstrap", ch. 2.3 and 5): with θ_g the metric without
group g of G, V = (G − 1) / G · Σ (θ_g − mean θ)², and a t interval with G − 1 df. It asks for a metric that is smooth
in the data; a median is not.

The fallback for any metric whatever: one value per seed and a t interval over seeds, `paired_difference` of
`values[:, None]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rlbench.errors import InputError
from rlbench.seeding import stream
from rlbench.statistics.estimate import Estimate, check_confidence, t_estimate, t_p_value
from rlbench.statistics.resamples import Aggregate
from rlbench.statistics.signflip import smallest_prompt_p
from rlbench.statistics.variance import VarianceTerm

FloatArray = NDArray[np.float64]
Item = TypeVar("Item")

GROUPS = 20


def jackknife_difference(
    a: Sequence[Item],
    b: Sequence[Item],
    statistic: Callable[[Sequence[Item]], float],
    *,
    groups: int = GROUPS,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate statistic(a) − statistic(b) for these checkpoints (E1) by leaving out groups of prompts.

    `a[i]` and `b[i]` are whatever `statistic` needs of prompt i in each arm, for example the list of its completions
    from every seed. Prompts are put into `groups` groups at random, by a fixed stream; with fewer prompts each is its
    own group. The statistic is computed 2 · (groups + 1) times, always on prompts in their order. Both arms should
    bring as many tokens: distinct-n and self-BLEU depend on how much text there is. p is that of the t statistic. The
    estimate counts one seed, because only `statistic` knows what the items hold.

    Raises InputError for arms with different numbers of prompts, fewer than 2 prompts or groups, and a statistic
    that is not finite.
    """
    check_confidence(confidence)
    prompts = len(a)
    if prompts != len(b):
        raise InputError(
            f"prompts: expected the same prompts in both arms, got {prompts} and {len(b)}; "
            "compare on the prompts that both arms have, in the same order"
        )
    if prompts < 2 or groups < 2:
        raise InputError(
            f"jackknife: expected at least 2 prompts and 2 groups, got {prompts} and {groups}; evaluate more prompts"
        )
    groups = min(groups, prompts)
    group_of = stream("statistics", "jackknife groups").permutation(prompts) % groups

    def values(arm: Sequence[Item]) -> FloatArray:
        """The statistic of all prompts, then without each group, [1 + group]."""
        kept = [[arm[i] for i in np.flatnonzero(group_of != group).tolist()] for group in range(groups)]
        return np.array([statistic(items) for items in [list(arm), *kept]], dtype=np.float64)

    of_a, of_b = values(a), values(b)
    undefined = int((~np.isfinite([of_a, of_b])).sum())
    if undefined:
        raise InputError(
            "jackknife: expected a finite statistic of all prompts and without each group of them, but it is not "
            f"finite {undefined} times; evaluate more prompts or use fewer groups"
        )
    differences = of_a - of_b
    value, scale = float(differences[0]), float(max(np.abs(of_a).max(), np.abs(of_b).max()))
    variance = left_out_variance(differences[1:])
    return t_estimate(
        value,
        variance,
        p_value=t_p_value(value, variance, scale=scale, smallest_p=smallest_prompt_p(groups)),
        scale=scale,
        method=f"delete-group jackknife, t over {groups} groups of prompts",
        estimand="checkpoints",
        confidence=confidence,
        seeds=1,
        prompts=prompts,
        seed_sd=None,
    )


def left_out_variance(without: FloatArray) -> VarianceTerm:
    """Return the jackknife variance of a value from its values [group] without each group of the data."""
    count = without.size
    return VarianceTerm(float(np.square(without - without.mean()).sum()) * (count - 1) / count, count - 1)


def metrics_without_each_prompt(stats: FloatArray, aggregate: Aggregate) -> FloatArray:
    """Return the metric of every seed without each prompt, [prompt, seed], from statistics [seed, prompt, component].

    Not finite where nothing that can be scored is left.
    """
    left = stats.sum(axis=1, keepdims=True) - stats
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(aggregate(left), dtype=np.float64).T


def interaction_variance(without: FloatArray) -> float:
    """Return what seed × prompt alone gives the variance of a mean over seeds, from `metrics_without_each_prompt`.

    For metrics that are means over prompts it is MS_ξ / (S · N) of the ANOVA. Prompts without which some seed has no
    metric are left out; 0 when fewer than two are left.
    """
    finite = without[np.isfinite(without).all(axis=1)]
    prompts, seeds = finite.shape
    if prompts < 2:
        return 0.0
    centred = finite - finite.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    sum_of_squares = float(np.square(centred).sum())
    share: float = (prompts - 1) / (prompts * seeds * (seeds - 1))
    return sum_of_squares * share
