"""The difference between two arms in closed form, for metrics that are means over prompts.

With D[seed, prompt] the difference of the prompt means over samples, δ + γ_seed + η_prompt + ξ:

* checkpoints (E1): t interval over prompts, df N - 1; p by exact McNemar (binary, one seed) or sign flips.
* recipe (E2): t interval over seeds, df S - 1; Welch (1947) when seeds are not paired.
* population (E3): two-way random-effects ANOVA, V = (MS_γ + max(MS_η − MS_ξ, 0)) / (S·N), Satterthwaite df.

Unpaired seeds share the prompts but nothing else: the seed and residual terms are then those of each arm.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.statistics.axes import check_matched, prompt_means
from rlbench.statistics.estimate import (
    ROUNDING,
    Estimand,
    Estimate,
    check_confidence,
    check_estimand,
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
    if estimand == "checkpoints":
        per_prompt = left.mean(axis=0) - right.mean(axis=0)
        per_prompt[np.abs(per_prompt) <= ROUNDING * scale] = 0.0
        variance = _prompt_term(per_prompt)
        binary = len(left) == len(right) == 1 and _is_binary(left) and _is_binary(right)
        p_value, method = _randomisation(per_prompt, binary=binary)
    else:
        variance = _random_seed_variance(groups, left.mean(axis=0) - right.mean(axis=0), estimand)
        p_value = t_p_value(value, variance, scale=scale, smallest_p=smallest_seed_p([len(group) for group in groups]))
        method = seed_method(estimand, [len(group) for group in groups], "ANOVA")
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
        seed_sd=seed_sd([group.mean(axis=1) for group in groups]),
    )


def seed_sd(per_seed: list[FloatArray]) -> float | None:
    """Return the sd over seeds of one group [seed], or of the difference of two; None when a group has one seed."""
    if min(len(values) for values in per_seed) < 2:
        return None
    return math.sqrt(sum(float(values.var(ddof=1)) for values in per_seed))


def smallest_seed_p(seeds: list[int]) -> float:
    """Return the smallest two-sided p that relabelling seeds can give: one paired group, or two independent ones."""
    return smallest_sign_flip_p(seeds[0]) if len(seeds) == 1 else smallest_relabelling_p(*seeds)


def seed_method(estimand: Estimand, seeds: list[int], crossed: str) -> str:
    """Describe the t method over one (paired) or two (unpaired) groups of seeds."""
    over = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} and {seeds[1]} unpaired seeds"
    if estimand == "population":
        return f"crossed seeds × prompts {crossed}, t with Satterthwaite df over {over}"
    return f"paired t over {over}" if len(seeds) == 1 else f"Welch t over {over}"


def _random_seed_variance(groups: tuple[FloatArray, ...], per_prompt: FloatArray, estimand: Estimand) -> VarianceTerm:
    """Return the E2 or E3 variance from groups of [seed, prompt] and the difference per prompt [prompt]."""
    seed_terms = [VarianceTerm(float(group.mean(axis=1).var(ddof=1)) / len(group), len(group) - 1) for group in groups]
    if estimand == "recipe":
        return seed_variance(seed_terms)
    return crossed_variance(seed_terms, _prompt_term(per_prompt), [_residual_term(group) for group in groups])


def _prompt_term(per_prompt: FloatArray) -> VarianceTerm:
    return VarianceTerm(float(per_prompt.var(ddof=1)) / per_prompt.size, per_prompt.size - 1)


def _residual_term(group: FloatArray) -> VarianceTerm:
    """Return MS_ξ / (S·N) of one group [seed, prompt]."""
    residual = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
    df = (group.shape[0] - 1) * (group.shape[1] - 1)
    return VarianceTerm(float(np.square(residual).sum()) / df / group.size, df)


def _randomisation(per_prompt: FloatArray, *, binary: bool) -> tuple[float, str]:
    if binary:
        return mcnemar_p(per_prompt), "t over prompts, exact McNemar p"
    exact = np.count_nonzero(per_prompt) <= EXACT_UP_TO
    kind = "exact sign-flip p" if exact else f"sign-flip p ({FLIPS:,} flips)"
    return sign_flip_p(per_prompt), f"t over prompts, {kind}"


def _is_binary(scores: FloatArray) -> bool:
    return bool(((scores == 0) | (scores == 1)).all())
