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

Intervals are value ± t_df · √V. Percentile and BCa intervals over 3 to 10 seeds under-cover badly and are not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.statistics.axes import check_matched, sufficient_statistics
from rlbench.statistics.estimate import (
    Estimand,
    Estimate,
    check_confidence,
    check_estimand,
    t_estimate,
    t_p_value,
)
from rlbench.statistics.paired import seed_method, seed_sd, smallest_seed_p
from rlbench.statistics.resamples import Aggregate, Resamples, draw_resamples, resampled_metrics, seed_metrics
from rlbench.statistics.signflip import smallest_prompt_p
from rlbench.statistics.variance import VarianceTerm, crossed_variance, seed_variance

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class _Seeds:
    """Seeds that vary together: their metrics [seed], and under resampled prompts [replicate, seed] (0 rows for E2)."""

    metrics: FloatArray
    replicates: FloatArray


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
    check_confidence(confidence)
    check_estimand(estimand, min(len(left), len(right)), left.shape[1])
    if estimand != "recipe" and resamples is None:
        resamples = draw_resamples(left.shape[1], replicates, seed)
    a, b = _evaluate(left, aggregate, resamples, estimand, "a"), _evaluate(right, aggregate, resamples, estimand, "b")
    groups = [_Seeds(a.metrics - b.metrics, a.replicates - b.replicates)] if paired_seeds else [a, b]
    value = float(a.metrics.mean() - b.metrics.mean())
    scale = max(float(np.abs(arm.metrics).max()) for arm in (a, b))
    variance = _variance(groups, a.replicates.mean(axis=1) - b.replicates.mean(axis=1), left.shape[1], estimand)
    smallest = smallest_prompt_p(left.shape[1]) if estimand == "checkpoints" else smallest_seed_p(_counts(groups))
    return t_estimate(
        value,
        variance,
        p_value=t_p_value(value, variance, scale=scale, smallest_p=smallest),
        scale=scale,
        method=_method(estimand, _counts(groups)),
        estimand=estimand,
        confidence=confidence,
        seeds=min(len(left), len(right)),
        prompts=left.shape[1],
        seed_sd=seed_sd([group.metrics for group in groups]),
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
    check_confidence(confidence)
    check_estimand(estimand, len(checked), checked.shape[1])
    if estimand != "recipe" and resamples is None:
        resamples = draw_resamples(checked.shape[1], replicates, seed)
    arm = _evaluate(checked, aggregate, resamples, estimand, "stats")
    return t_estimate(
        float(arm.metrics.mean()),
        _variance([arm], arm.replicates.mean(axis=1), checked.shape[1], estimand),
        p_value=None,
        scale=float(np.abs(arm.metrics).max()),
        method=_method(estimand, [len(checked)]).removeprefix("paired "),
        estimand=estimand,
        confidence=confidence,
        seeds=len(checked),
        prompts=checked.shape[1],
        seed_sd=seed_sd([arm.metrics]),
    )


def _evaluate(
    stats: FloatArray, aggregate: Aggregate, resamples: Resamples | None, estimand: Estimand, name: str
) -> _Seeds:
    metrics = seed_metrics(stats, aggregate, name)
    if estimand == "recipe" or resamples is None:
        return _Seeds(metrics, np.empty((0, len(metrics))))
    return _Seeds(metrics, resampled_metrics(stats, aggregate, resamples, name))


def _variance(groups: Sequence[_Seeds], value_replicates: FloatArray, prompts: int, estimand: Estimand) -> VarianceTerm:
    """Return the variance of the value; `value_replicates` [replicate] is the value under resampled prompts."""
    if estimand == "recipe":
        return seed_variance([_seed_term(group) for group in groups])
    inflation = prompts / (prompts - 1)
    prompt_term = VarianceTerm(float(value_replicates.var(ddof=1)) * inflation, prompts - 1)
    if estimand == "checkpoints":
        return prompt_term
    residual_terms = []
    for group in groups:
        seeds = len(group.metrics)
        interaction = group.replicates - group.replicates.mean(axis=0)
        value = float(interaction.var(axis=1, ddof=1).mean()) / seeds * inflation
        residual_terms.append(VarianceTerm(value, (seeds - 1) * (prompts - 1)))
    return crossed_variance([_seed_term(group) for group in groups], prompt_term, residual_terms)


def _seed_term(group: _Seeds) -> VarianceTerm:
    seeds = len(group.metrics)
    return VarianceTerm(float(group.metrics.var(ddof=1)) / seeds, seeds - 1)


def _counts(groups: Sequence[_Seeds]) -> list[int]:
    return [len(group.metrics) for group in groups]


def _method(estimand: Estimand, seeds: list[int]) -> str:
    if estimand == "checkpoints":
        return "t over bootstrapped prompts"
    return seed_method(estimand, seeds, "bootstrap")
