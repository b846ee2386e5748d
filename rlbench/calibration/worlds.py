"""Worlds whose truth is known, from which whole experiments are drawn.

A difference is D[seed, prompt] = δ + γ_seed + η_prompt + ξ. What is random follows the estimand: "checkpoints" keeps
the seeds, "recipe" keeps the prompts, "population" keeps neither. What is kept is drawn once per call of `draw` and
shared by all its experiments, and the truth is the difference on exactly these seeds or prompts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from rlbench.statistics import Estimand

FloatArray = NDArray[np.float64]

RATIO_LEVEL = 2.0
"""The value of both arms of `Ratio` without a slope."""


@dataclass(frozen=True)
class Experiments:
    """Scores of two arms, [run, seed, prompt] (or [run, seed, prompt, component]), and the true difference a − b."""

    a: FloatArray
    b: FloatArray
    truth: float


class World(Protocol):
    """Where experiments come from."""

    def draw(self, generator: np.random.Generator, runs: int, estimand: Estimand) -> Experiments:
        """Draw `runs` experiments; an estimand says what they share and which difference is true."""
        ...


@dataclass(frozen=True)
class Continuous:
    """Scores without bounds, normal or heavy-tailed (Student's t with 3 df, scaled to the same sd).

    Paired arms share their luck per seed; unpaired arms (`seeds_b` is given) share nothing but the prompts, and each
    has seed effects and residuals of its own.
    """

    seeds: int
    prompts: int
    seed_sd: float
    prompt_sd: float
    residual_sd: float
    difference: float = 0.0
    heavy_tails: bool = False
    seeds_b: int | None = None

    def draw(self, generator: np.random.Generator, runs: int, estimand: Estimand) -> Experiments:
        """Kept effects are centred, so that the true difference is `difference` for every estimand."""
        kept_seeds, kept_prompts = estimand == "checkpoints", estimand == "recipe"
        seed = self.seed_sd * self._noise(generator, 1 if kept_seeds else runs, self.seeds, 1)
        prompt = self.prompt_sd * self._noise(generator, 1 if kept_prompts else runs, 1, self.prompts)
        if kept_seeds:
            seed -= seed.mean()
        if kept_prompts:
            prompt -= prompt.mean()
        a = self.difference + seed + prompt + self.residual_sd * self._noise(generator, runs, self.seeds, self.prompts)
        shared = generator.normal(size=(runs, 1, self.prompts))
        if self.seeds_b is None:
            shared = shared + generator.normal(size=(runs, self.seeds, 1))
            return Experiments(a + shared, np.broadcast_to(shared, a.shape), self.difference)
        b = self.seed_sd * self._noise(generator, runs, self.seeds_b, 1)
        b = b + self.residual_sd * self._noise(generator, runs, self.seeds_b, self.prompts)
        return Experiments(a + shared, b + shared, self.difference)

    def _noise(self, generator: np.random.Generator, *shape: int) -> FloatArray:
        if self.heavy_tails:
            return generator.standard_t(3, size=shape) / math.sqrt(3)
        return generator.normal(size=shape)


@dataclass(frozen=True)
class Binary:
    """Right or wrong answers, `samples` per prompt: Φ(level + difficulty + γ + η + ξ) is the chance of a right one.

    `accuracy` is that of arm b and `difference` what arm a has above it, both over all seeds and prompts. The sds are
    on the probit scale; γ, η and ξ belong to each arm alone. Truths are exact, because E Φ(x + s·Z) = Φ(x / √(1 + s²))
    for a standard normal Z. With no `difference` the truth is exactly zero for every estimand and yet the arms differ
    prompt by prompt: kept prompts come in pairs of one difficulty in which the arms have their η swapped, and kept
    seeds have the same γ in both arms in another order. `prompts` is even.

    Arm b may be a policy that all seeds share, without γ and ξ, which is sampled once per seed or just once (the
    difference is then never zero prompt by prompt, and only "recipe" has its truth).
    """

    seeds: int
    prompts: int
    accuracy: float
    samples: int = 1
    difference: float = 0.0
    seed_sd: float = 0.2
    prompt_sd: float = 0.3
    residual_sd: float = 0.3
    difficulty_sd: float = 0.8
    arm_b: Literal["trained", "shared", "shared, sampled once"] = "trained"

    def draw(self, generator: np.random.Generator, runs: int, estimand: Estimand) -> Experiments:
        """Scores are means over the samples of a prompt."""
        kept_seeds, kept_prompts = estimand == "checkpoints", estimand == "recipe"
        over_prompts = self.difficulty_sd**2 + self.prompt_sd**2
        seeds = self._seed_effects(generator, 1 if kept_seeds else runs, kept_seeds)
        prompts = self._prompt_effects(generator, 1 if kept_prompts else runs, kept_prompts)
        scores, chances = [], []
        for arm, (seed, prompt) in enumerate(zip(seeds, prompts, strict=True)):
            trained = arm == 0 or self.arm_b == "trained"
            over_seeds, residual = (self.seed_sd**2, self.residual_sd) if trained else (0.0, 0.0)
            wanted = self.accuracy + (self.difference if arm == 0 else 0.0)
            level = float(ndtri(wanted)) * math.sqrt(1 + over_prompts + over_seeds + residual**2)
            rows = 1 if arm == 1 and self.arm_b == "shared, sampled once" else self.seeds
            latent = level + prompt + residual * generator.normal(size=(runs, rows, self.prompts))
            if trained:
                latent += seed
            right = generator.binomial(self.samples, ndtr(latent)) / self.samples
            scores.append(np.broadcast_to(right, (runs, self.seeds, self.prompts)))
            hidden = 1 + residual**2 + (0 if kept_seeds else over_seeds) + (0 if kept_prompts else over_prompts)
            known = level + (seed if kept_seeds and trained else 0) + (prompt if kept_prompts else 0)
            chances.append(float(np.mean(ndtr(known / math.sqrt(hidden)))))
        return Experiments(scores[0], scores[1], chances[0] - chances[1])

    def _seed_effects(self, generator: np.random.Generator, runs: int, kept: bool) -> list[FloatArray]:
        first, second = self.seed_sd * generator.normal(size=(2, runs, self.seeds, 1))
        return [first, first[:, ::-1] if kept else second]

    def _prompt_effects(self, generator: np.random.Generator, runs: int, kept: bool) -> list[FloatArray]:
        if not kept:
            difficulty = self.difficulty_sd * generator.normal(size=(runs, 1, self.prompts))
            return [difficulty + self.prompt_sd * generator.normal(size=difficulty.shape) for _ in range(2)]
        difficulty = self.difficulty_sd * np.repeat(generator.normal(size=self.prompts // 2), 2)
        effect = self.prompt_sd * generator.normal(size=(self.prompts // 2, 2))
        return [(difficulty + each.ravel())[None, None, :] for each in (effect, effect[:, ::-1])]


@dataclass(frozen=True)
class Ratio:
    """Statistics of a corpus metric such as perplexity: Σ cost / Σ length over prompts, [run, seed, prompt, 2].

    Lengths are uniform on 5 to 39 and shared by the arms' seeds; the cost per unit of length rises with the length by
    `slope` (per mean length) in arm a only, so that the ratio is no mean of ratios.
    """

    seeds: int
    prompts: int
    seed_sd: float
    prompt_sd: float
    slope: float = 0.0

    def draw(self, generator: np.random.Generator, runs: int, estimand: Estimand) -> Experiments:
        """For estimands in which prompts are random."""
        kept = estimand == "checkpoints"
        length = generator.integers(5, 40, size=(runs, 1, self.prompts)).astype(np.float64)
        mean, square = 22.0, 22.0**2 + (35.0**2 - 1) / 12
        difficulty = 0.3 * generator.normal(size=length.shape)
        arms = []
        for slope in (self.slope, 0.0):
            seed = self.seed_sd * generator.normal(size=(1 if kept else runs, self.seeds, 1))
            if kept:
                seed -= seed.mean()
            noise = 0.3 * generator.normal(size=(runs, self.seeds, self.prompts))
            prompt = self.prompt_sd * generator.normal(size=length.shape) + slope * (length - mean) / mean
            own = np.broadcast_to(length, noise.shape) + generator.integers(-2, 3, size=noise.shape)
            # The cost follows the shared length's rate on the own length, whose expectation is the shared length.
            arms.append(np.stack([(RATIO_LEVEL + difficulty + seed + prompt + noise) * own, own], axis=-1))
        return Experiments(arms[0], arms[1], self.slope * (square / mean - mean) / mean)
