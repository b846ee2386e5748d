"""Intervals for any metric that is a function of sums over prompts: corpus BLEU, perplexity, ratios, means.

The metric of an arm is the mean over seeds of aggregate(sum over the prompts of that seed). It is computed per seed,
never from statistics pooled over seeds: one seed is one run of the recipe, its metric is the one that its own
evaluation reports, and a seed that writes longer completions gets no more weight than another.

Such a value is linear in the per-seed metrics f, so multinomial resampling of the seeds alone has the exact variance
var_pop(f) / S, and S / (S − 1) times that is s² / S: the t interval over per-seed metrics, without Monte-Carlo noise.
Only prompts are resampled at random. With f* the per-seed metrics under a resample of prompts:

* E1: V = N / (N − 1) · var(mean_s f*), df N − 1.
* E2: V = s² / S, df S − 1 (Welch when seeds are not paired).
* E3: V = V_E2 + max(V_E1 − V_int, 0), with V_int = mean(var_s(f* − mean f*)) / S · N / (N − 1). This is
  (V_crossed − V_seed − V_prompt) · SN / ((S − 1)(N − 1)) with its seed weights integrated out, and for a mean the ANOVA
  formula of `paired` up to Monte-Carlo error in the resampled prompts.

Where the metrics of a few seeds agree exactly by coincidence (coarse scores, see `paired`), s² is taken from the
interaction of seeds and prompts instead. It is estimated by leaving out one prompt at a time, which is exact for a mean
and, unlike resamples, costs no random numbers; a prompt without which a seed has no metric is left out of it.

Intervals are value ± t_df · √V. Percentile and BCa intervals over 3 to 10 seeds under-cover badly and are not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError
from rlbench.statistics.arm_metric import ArmMetric
from rlbench.statistics.axes import check_matched, sufficient_statistics
from rlbench.statistics.estimate import (
    Estimand,
    Estimate,
    check_confidence,
    check_estimand,
    t_estimate,
    t_p_value,
)
from rlbench.statistics.jackknife import interaction_variance
from rlbench.statistics.paired import SeedTerms, seed_method, seed_terms, smallest_seed_p
from rlbench.statistics.resamples import Aggregate, Resamples, draw_resamples
from rlbench.statistics.signflip import smallest_prompt_p
from rlbench.statistics.variance import VarianceTerm, crossed_variance, seed_variance

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class _Seeds:
    """Seeds that vary together: metrics [seed], resampled [replicate, seed], without a prompt each [prompt, seed].

    The last two are made when called, for whichever estimand needs them.
    """

    metrics: FloatArray
    resampled: Callable[[], FloatArray]
    without: Callable[[], FloatArray]


def bootstrap_difference(
    stats_a: ArrayLike,
    stats_b: ArrayLike,
    aggregate: Aggregate,
    *,
    estimand: Estimand = "recipe",
    confidence: float = 0.95,
    paired_seeds: bool = True,
    resamples: Resamples | None = None,
    replicates: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Estimate metric(a) − metric(b) from sufficient statistics [seed, prompt, component] on the same prompts.

    Statistics are sums over the completions of a prompt; `aggregate` maps sums [..., component] to the metric [...].
    `resamples` (see `draw_resamples`) are shared between metrics and pairs; without them `replicates` are drawn from
    `seed`. Estimand "recipe" needs neither. p is that of the t statistic. Raises InputError as `paired_difference`,
    and for a seed whose metric is undefined.
    """
    left, right = sufficient_statistics(stats_a, "a"), sufficient_statistics(stats_b, "b")
    check_matched(left, right, paired_seeds=paired_seeds)
    draws = resamples or draw_resamples(left.shape[1], replicates, seed)
    a, b = ArmMetric(left, aggregate, draws, "a"), ArmMetric(right, aggregate, draws, "b")
    return metric_difference(a, b, estimand=estimand, confidence=confidence, paired_seeds=paired_seeds)


def metric_difference(
    a: ArmMetric,
    b: ArmMetric,
    *,
    estimand: Estimand = "recipe",
    confidence: float = 0.95,
    paired_seeds: bool = True,
) -> Estimate:
    """Estimate a − b as `bootstrap_difference`, for arms in several pairs: each is resampled once, not once per pair.

    Raises InputError as `bootstrap_difference`, and for arms with different resamples.
    """
    check_matched(a.stats, b.stats, paired_seeds=paired_seeds)
    check_confidence(confidence)
    prompts = a.stats.shape[1]
    check_estimand(estimand, min(len(a.stats), len(b.stats)), prompts)
    if a.resamples != b.resamples:
        raise InputError(
            f"resamples: expected the same for {a.name!r} and {b.name!r}, which are paired by prompt, got "
            f"{a.resamples} and {b.resamples}; draw them once and give them to both"
        )
    groups = [_minus(a, b)] if paired_seeds else [_alone(a), _alone(b)]
    value = float(a.by_seed.mean() - b.by_seed.mean())
    scale = max(float(np.abs(arm.by_seed).max()) for arm in (a, b))
    seeds = _seed_terms(groups, scale)
    variance = _variance(seeds, groups, prompts, estimand)
    smallest = smallest_prompt_p(prompts) if estimand == "checkpoints" else smallest_seed_p(_counts(groups))
    return t_estimate(
        value,
        variance,
        p_value=t_p_value(value, variance, scale=scale, smallest_p=smallest),
        scale=scale,
        method=_method(estimand, groups, seeds),
        estimand=estimand,
        confidence=confidence,
        seeds=min(_counts(groups)),
        prompts=prompts,
        seed_sd=seeds.sd,
    )


def bootstrap_value(
    stats: ArrayLike,
    aggregate: Aggregate,
    *,
    estimand: Estimand = "recipe",
    confidence: float = 0.95,
    resamples: Resamples | None = None,
    replicates: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Estimate the metric of one arm from sufficient statistics [seed, prompt, component].

    Arguments and errors are those of `bootstrap_difference`. Nothing is tested: `p_value` is None. Whether two such
    intervals overlap is no test of the difference.
    """
    checked = sufficient_statistics(stats, "stats")
    draws = resamples or draw_resamples(checked.shape[1], replicates, seed)
    return metric_value(ArmMetric(checked, aggregate, draws), estimand=estimand, confidence=confidence)


def metric_value(arm: ArmMetric, *, estimand: Estimand = "recipe", confidence: float = 0.95) -> Estimate:
    """Estimate the metric of one arm as `bootstrap_value`, from the resamples that its pairs use too.

    Raises InputError as `bootstrap_value`.
    """
    check_confidence(confidence)
    count, prompts = arm.stats.shape[:2]
    check_estimand(estimand, count, prompts)
    group = _alone(arm)
    scale = float(np.abs(arm.by_seed).max())
    seeds = _seed_terms([group], scale)
    return t_estimate(
        float(arm.by_seed.mean()),
        _variance(seeds, [group], prompts, estimand),
        p_value=None,
        scale=scale,
        method=_method(estimand, [group], seeds).removeprefix("paired "),
        estimand=estimand,
        confidence=confidence,
        seeds=count,
        prompts=prompts,
        seed_sd=seeds.sd,
    )


def _alone(arm: ArmMetric) -> _Seeds:
    return _Seeds(arm.by_seed, lambda: arm.resampled, lambda: arm.without_each_prompt)


def _minus(a: ArmMetric, b: ArmMetric) -> _Seeds:
    return _Seeds(
        a.by_seed - b.by_seed,
        lambda: a.resampled - b.resampled,
        lambda: a.without_each_prompt - b.without_each_prompt,
    )


def _seed_terms(groups: Sequence[_Seeds], scale: float) -> SeedTerms:
    return seed_terms(
        [group.metrics for group in groups], lambda which: interaction_variance(groups[which].without()), scale
    )


def _variance(seeds: SeedTerms, groups: Sequence[_Seeds], prompts: int, estimand: Estimand) -> VarianceTerm:
    """Return the variance of the mean over the seeds of one group, or of the difference of two groups' means."""
    if estimand == "recipe":
        return seed_variance(seeds.terms)
    resampled = [group.resampled() for group in groups]
    means = [replicates.mean(axis=1) for replicates in resampled]
    value = means[0] if len(means) == 1 else means[0] - means[1]
    inflation = prompts / (prompts - 1)
    prompt_term = VarianceTerm(float(value.var(ddof=1)) * inflation, prompts - 1)
    if estimand == "checkpoints":
        return prompt_term
    residual_terms = []
    for replicates in resampled:
        count = replicates.shape[1]
        interaction = replicates - replicates.mean(axis=0)
        residual = float(interaction.var(axis=1, ddof=1).mean()) / count * inflation
        residual_terms.append(VarianceTerm(residual, (count - 1) * (prompts - 1)))
    return crossed_variance(seeds.terms, prompt_term, residual_terms)


def _counts(groups: Sequence[_Seeds]) -> list[int]:
    return [len(group.metrics) for group in groups]


def _method(estimand: Estimand, groups: Sequence[_Seeds], seeds: SeedTerms) -> str:
    if estimand == "checkpoints":
        return "t over bootstrapped prompts"
    return seed_method(estimand, _counts(groups), "bootstrap", coarse=seeds.coarse)
