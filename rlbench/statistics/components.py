"""Variance components of a difference (or of one arm's score): what seeds, prompts and samples each contribute.

D[seed, prompt, sample] = δ + γ_seed + η_prompt + ξ_seed,prompt + ε, all independent, balanced. The two-way
random-effects analysis of variance gives mean squares with known expectations, of means over k samples:

    E MS_γ = N σ²_γ + σ²_ξ + σ²_ε / k        df S − 1
    E MS_η = S σ²_η + σ²_ξ + σ²_ε / k        df N − 1
    E MS_ξ =          σ²_ξ + σ²_ε / k        df (S − 1)(N − 1)
    E MS_ε =                 σ²_ε            df S N (k − 1)

Solving them gives unbiased estimates, which can be negative; these are kept as `raw` and used as zero. Intervals are
generalised confidence intervals (Weerahandi 1993, JASA 88): every mean square is replaced by df · MS / χ²_df, with χ²
from a fixed stream, and the components that follow are clipped at zero. They are wide for few seeds, and should be.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlbench.errors import InputError
from rlbench.seeding import stream
from rlbench.statistics.axes import prompt_means
from rlbench.statistics.estimate import ROUNDING, check_confidence

FloatArray = NDArray[np.float64]

_DRAWS = 10_000


@dataclass(frozen=True)
class Variances:
    """Variances in the metric's unit squared: of a seed, a prompt, a prompt within a seed, and a sample of a prompt."""

    seed: float
    prompt: float
    interaction: float
    sample: float

    def residual(self, samples: int) -> float:
        """The variance of the mean of `samples` samples of one prompt in one seed, given seed and prompt."""
        return self.interaction + self.sample / samples


@dataclass(frozen=True)
class Components:
    """The components that a pilot of `seeds` × `prompts` × `samples` showed.

    `raw` are the unbiased estimates, perhaps negative; `draws` [draw, 4] are variances, in the order of `Variances`,
    that are as plausible as the estimate. When `confounded`, a sample's variance could not be told from the
    interaction: `interaction` holds both, for `samples` samples per prompt and no other number.
    """

    raw: Variances
    draws: FloatArray
    seeds: int
    prompts: int
    samples: int
    confounded: bool

    @property
    def variances(self) -> Variances:
        """The estimates, negative ones as zero."""
        return Variances(*(max(0.0, value) for value in astuple(self.raw)))

    @property
    def clipped(self) -> tuple[str, ...]:
        """The names of the components whose estimate is negative."""
        return tuple(field.name for field in fields(Variances) if getattr(self.raw, field.name) < 0)

    def interval(self, name: str, confidence: float = 0.95) -> tuple[float, float]:
        """Return (low, high) of one component, by its name in `Variances`. Raises InputError for a bad confidence."""
        check_confidence(confidence)
        column = [field.name for field in fields(Variances)].index(name)
        low, high = np.quantile(self.draws[:, column], [0.5 - confidence / 2, 0.5 + confidence / 2])
        return float(low), float(high)

    def of_two_runs(self) -> Components:
        """From the components of one arm, those of the difference between two arms like it.

        Assumes that the arms share nothing but the prompts, and that the change acts on all prompts alike: seed,
        interaction and sample count twice, prompts not at all. Common random numbers would make it less.
        """
        factors = np.array([2.0, 0.0, 2.0, 2.0])
        raw = Variances(*(float(value) for value in factors * astuple(self.raw)))
        return Components(raw, self.draws * factors, self.seeds, self.prompts, self.samples, self.confounded)


def variance_components(scores: ArrayLike, samples: int | None = None) -> Components:
    """Return the components of differences (or of one arm's scores) [seed, prompt, sample] or [seed, prompt].

    Two-dimensional scores are means over `samples` samples (1 if not given) and leave the sample level confounded, as
    does a single sample. Raises InputError for fewer than 2 seeds or prompts and for values that are not finite.
    """
    means = prompt_means(scores, "pilot")
    array = np.asarray(scores, dtype=np.float64)
    seeds, prompts = means.shape
    if seeds < 2 or prompts < 2:
        raise InputError(
            f"variance components: expected at least 2 seeds and 2 prompts, got {seeds} and {prompts}; "
            "a pilot of one run says nothing about how runs vary: train more seeds"
        )
    confounded = array.ndim == 2 or array.shape[2] == 1
    count = (1 if samples is None else samples) if array.ndim == 2 else int(array.shape[2])
    mean_squares = _mean_squares(means)
    df = np.array([seeds - 1, prompts - 1, (seeds - 1) * (prompts - 1)], dtype=np.float64)
    if not confounded:
        within = float(array.var(axis=2, ddof=1).mean())
        mean_squares = np.append(mean_squares, within)
        df = np.append(df, seeds * prompts * (count - 1))
    # What is rounding of the scores is no variance.
    mean_squares[mean_squares <= (ROUNDING * float(np.abs(array).max())) ** 2] = 0.0
    chi_squares = stream("statistics", "variance components").chisquare(df, size=(_DRAWS, len(df)))
    solved = _solved(np.vstack([mean_squares, df * mean_squares / chi_squares]), seeds, prompts, count)
    return Components(Variances(*map(float, solved[0])), np.maximum(solved[1:], 0.0), seeds, prompts, count, confounded)


def _mean_squares(means: FloatArray) -> FloatArray:
    """MS_γ, MS_η and MS_ξ of means over samples [seed, prompt]."""
    seeds, prompts = means.shape
    of_seeds, of_prompts = means.mean(axis=1), means.mean(axis=0)
    residual = means - of_seeds[:, None] - of_prompts + means.mean()
    interaction = float(np.square(residual).sum()) / ((seeds - 1) * (prompts - 1))
    return np.array([prompts * of_seeds.var(ddof=1), seeds * of_prompts.var(ddof=1), interaction])


def _solved(mean_squares: FloatArray, seeds: int, prompts: int, samples: int) -> FloatArray:
    """Turn mean squares [..., 3 or 4] into components [..., 4]; without MS_ε the sample's is zero."""
    seed, prompt, residual = mean_squares[..., 0], mean_squares[..., 1], mean_squares[..., 2]
    sample = mean_squares[..., 3] if mean_squares.shape[-1] == 4 else np.zeros_like(residual)
    parts = [(seed - residual) / prompts, (prompt - residual) / seeds, residual - sample / samples, sample]
    return np.stack(parts, axis=-1)
