"""Variance terms with degrees of freedom, and how they combine for seeds that are crossed with prompts.

Each term is a contribution to the variance of the estimated value (not of one observation). Satterthwaite's
approximation (Biometrics Bulletin 2, 1946) gives a sum of terms its degrees of freedom; with the seed terms of two
arms it is Welch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# With this many seeds or fewer, Satterthwaite's df are too noisy to use and the seeds' own df are kept.
FEW_SEEDS = 4


@dataclass(frozen=True)
class VarianceTerm:
    """A variance of the estimated value, in the metric's unit squared, and its degrees of freedom."""

    value: float
    df: float


def seed_variance(seed_terms: Sequence[VarianceTerm]) -> VarianceTerm:
    """Add the seed terms of one (paired) or two (unpaired: Welch) groups of seeds."""
    total = sum(term.value for term in seed_terms)
    if total <= 0:
        return VarianceTerm(0.0, min(term.df for term in seed_terms))
    return VarianceTerm(total, _satterthwaite(total, seed_terms))


def crossed_variance(
    seed_terms: Sequence[VarianceTerm], prompt_term: VarianceTerm, residual_terms: Sequence[VarianceTerm]
) -> VarianceTerm:
    """Return the variance of a value for which both seeds and prompts are random.

    The seed terms and the prompt term each hold the residual (seed × prompt and sampling noise) once; it is taken
    out of the prompt term so that it counts once. When nothing of the prompt term is left, seeds decide alone. With
    at most `FEW_SEEDS` seeds the df are those of the scarcer of seeds and prompts, and they never fall below that.
    """
    seeds = seed_variance(seed_terms)
    prompts_only = prompt_term.value - sum(term.value for term in residual_terms)
    if prompts_only <= 0:
        return seeds
    total = seeds.value + prompts_only
    scarcer = min(seeds.df, prompt_term.df)
    if min(term.df for term in seed_terms) + 1 <= FEW_SEEDS:
        return VarianceTerm(total, scarcer)
    df = _satterthwaite(total, [*seed_terms, prompt_term, *residual_terms])
    return VarianceTerm(total, max(df, scarcer))


def _satterthwaite(total: float, terms: Sequence[VarianceTerm]) -> float:
    # relative to the total, because squares of tiny variances underflow
    return 1.0 / sum((term.value / total) ** 2 / term.df for term in terms)
