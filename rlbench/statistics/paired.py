"""The difference between two arms in closed form, for metrics that are means over prompts.

With D[seed, prompt] the difference of the prompt means over samples, δ + γ_seed + η_prompt + ξ:

* checkpoints (E1): t interval over prompts, df N - 1; p by exact McNemar (binary, one seed) or sign flips.
* recipe (E2): t interval over seeds, df S - 1; Welch (1947) when seeds are not paired.
* population (E3): two-way random-effects ANOVA, V = (MS_γ + max(MS_η − MS_ξ, 0)) / (S·N), Satterthwaite df.

Unpaired seeds share the prompts but nothing else: the seed and residual terms are then those of each arm.

Scores of few prompts are coarse: means of a few seeds can agree exactly by coincidence while the prompts behind them
differ. A seed variance of 0 would then be a false certainty, so it is taken from what it cannot fall below in
expectation, MS_ξ / N with df S - 1 (E[MS_γ] = N·σ_γ² + σ_ξ²), and `method` says so. Continuous scores never get there.

What is defined for unusual data: one prompt and constant scores give a recipe interval (collapsed where nothing varied
at all); two seeds are enough, with 1 df; scores that are not finite, missing seeds of a paired comparison and unequal
prompts are errors. Arrays are positional, so a prompt that occurs twice is taken for two prompts: leave it out before.
A metric that lives in one number per seed is `scores[:, None]`, and its recipe is a t interval like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.statistics.axes import check_matched, prompt_means
from rlbench.statistics.estimate import (
    ROUNDING,
    Estimand,
    Estimate,
    check_confidence,
    check_estimand,
    is_constant,
    t_estimate,
    t_p_value,
)
from rlbench.statistics.power import smallest_relabelling_p, smallest_sign_flip_p
from rlbench.statistics.signflip import EXACT_UP_TO, FLIPS, mcnemar_p, sign_flip_p
from rlbench.statistics.variance import VarianceTerm, crossed_variance, seed_variance

FloatArray = NDArray[np.float64]


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    estimand: Estimand = "recipe",
    confidence: float = 0.95,
    paired_seeds: bool = True,
) -> Estimate:
    """Estimate mean(a) − mean(b) for scores [seed, prompt] or [seed, prompt, sample] on the same prompts.

    `paired_seeds` says that row s of both arms shares its seed; it is declared before the run, never chosen from
    the result. Unpaired arms may have different numbers of seeds. The number of samples may differ always.
    Raises InputError for unnamed axes, unmatched arms, values that are not finite and too few seeds or prompts.
    """
    left, right = prompt_means(a, "a"), prompt_means(b, "b")
    check_matched(left, right, paired_seeds=paired_seeds)
    check_confidence(confidence)
    check_estimand(estimand, min(len(left), len(right)), left.shape[1])
    groups = (left - right,) if paired_seeds else (left, right)
    scale = max(float(np.abs(left).max()), float(np.abs(right).max()))
    value = float(left.mean() - right.mean())
    per_prompt = left.mean(axis=0) - right.mean(axis=0)
    seeds = seed_terms([group.mean(axis=1) for group in groups], lambda which: residual_variance(groups[which]), scale)
    counts = [len(group) for group in groups]
    if estimand == "checkpoints":
        per_prompt[np.abs(per_prompt) <= ROUNDING * scale] = 0.0
        variance = _prompt_term(per_prompt)
        binary = len(left) == len(right) == 1 and _is_binary(left) and _is_binary(right)
        p_value, method = _randomisation(per_prompt, binary=binary)
    else:
        variance = seed_variance(seeds.terms)
        if estimand == "population":
            residuals = [VarianceTerm(residual_variance(group), _residual_df(group)) for group in groups]
            variance = crossed_variance(seeds.terms, _prompt_term(per_prompt), residuals)
        p_value = t_p_value(value, variance, scale=scale, smallest_p=smallest_seed_p(counts))
        method = seed_method(estimand, counts, "ANOVA", coarse=seeds.coarse)
    return t_estimate(
        value,
        variance,
        p_value=p_value,
        scale=scale,
        method=method,
        estimand=estimand,
        confidence=confidence,
        seeds=min(len(left), len(right)),
        prompts=left.shape[1],
        seed_sd=seeds.sd,
    )


@dataclass(frozen=True)
class SeedTerms:
    """What seeds contribute to the variance of a value: one term per group, two where seeds are not paired.

    `coarse`: the seeds of some group agree only by coincidence, and its term is the residual's.
    """

    terms: list[VarianceTerm]
    coarse: bool

    @property
    def sd(self) -> float | None:
        """The sd over seeds of the value of one group, or of the difference of two; None when a group has one seed."""
        if any(term.df < 1 for term in self.terms):
            return None
        return math.sqrt(sum(term.value * (term.df + 1) for term in self.terms))


def seed_terms(per_seed: Sequence[FloatArray], residual: Callable[[int], float], scale: float) -> SeedTerms:
    """Return the terms s² / S of groups of per-seed values [seed].

    `residual(group)` is the variance MS_ξ / (S·N) that seed × prompt alone gives the value of a group; it is asked for
    only where the seeds of that group agree up to rounding of scores as large as `scale`.
    """
    terms, coarse = [], False
    for which, values in enumerate(per_seed):
        count = len(values)
        term = VarianceTerm(float(values.var(ddof=1)) / count if count > 1 else 0.0, count - 1)
        if count > 1 and is_constant(term, scale):
            floor = VarianceTerm(residual(which), count - 1)
            if not is_constant(floor, scale):
                term, coarse = floor, True
        terms.append(term)
    return SeedTerms(terms, coarse)


def smallest_seed_p(seeds: list[int]) -> float:
    """Return the smallest two-sided p that relabelling seeds can give: one paired group, or two independent ones."""
    return smallest_sign_flip_p(seeds[0]) if len(seeds) == 1 else smallest_relabelling_p(*seeds)


def seed_method(estimand: Estimand, seeds: list[int], crossed: str, *, coarse: bool) -> str:
    """Describe the t method over one (paired) or two (unpaired) groups of seeds."""
    over = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} and {seeds[1]} unpaired seeds"
    if estimand == "population":
        method = f"crossed seeds × prompts {crossed}, t with Satterthwaite df over {over}"
    else:
        method = f"paired t over {over}" if len(seeds) == 1 else f"Welch t over {over}"
    return f"{method}; seeds agree by coincidence, their variance is that of seeds × prompts" if coarse else method


def _prompt_term(per_prompt: FloatArray) -> VarianceTerm:
    return VarianceTerm(float(per_prompt.var(ddof=1)) / per_prompt.size, per_prompt.size - 1)


def residual_variance(group: FloatArray) -> float:
    """Return MS_ξ / (S·N) of one group [seed, prompt] of 2 or more seeds; 0 for one prompt, which shows no residual."""
    if group.shape[1] < 2:
        return 0.0
    residual = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
    return float(np.square(residual).sum()) / _residual_df(group) / group.size


def _residual_df(group: FloatArray) -> int:
    seeds, prompts = group.shape
    return int((seeds - 1) * (prompts - 1))


def _randomisation(per_prompt: FloatArray, *, binary: bool) -> tuple[float, str]:
    if binary:
        return mcnemar_p(per_prompt), "t over prompts, exact McNemar p"
    exact = np.count_nonzero(per_prompt) <= EXACT_UP_TO
    kind = "exact sign-flip p" if exact else f"sign-flip p ({FLIPS:,} flips)"
    return sign_flip_p(per_prompt), f"t over prompts, {kind}"


def _is_binary(scores: FloatArray) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())
