"""Probes of advantages: the definition, the constant in its denominator, and a KL penalty inside the reward."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlbench.conformance.axis import Value, rounded
from rlbench.conformance.fixed import GROUP_SIZE
from rlbench.conformance.policy_gradient import OFF, OTHER
from rlbench.functional.advantages import group_advantages
from rlbench.functional.kl import ESTIMATORS

Score = Callable[[Tensor, Tensor | None], Tensor]
"""Advantages [B] from rewards [B] of two groups and, if given, log π − log π_ref [B, T]; without it that is 0."""


@dataclass(frozen=True)
class Baseline:
    """What became of rewards of which one of eight is 1."""

    kind: Value
    epsilon: Value
    one_of_eight: tuple[float, float]
    """The advantages of the right and of a wrong completion."""


def one_right() -> Tensor:
    """One of eight is right in the first group; the same in the second at a thousandth of the size."""
    rewards = torch.zeros(2 * GROUP_SIZE)
    rewards[0], rewards[GROUP_SIZE] = 1.0, 1e-3
    return rewards


def measure_baseline(score: Score) -> Baseline:
    """Find the definition of the advantage from what the reward minus its group's mean was divided by."""
    rewards = one_right()
    found = score(rewards, None)
    shown = (float(found[0]), float(found[1]))
    divisors = _divisors(rewards, found)
    small = _divisors(1e-3 * rewards, score(1e-3 * rewards, None))
    if divisors is None or small is None:
        return Baseline(OTHER, None, shown)
    first, second = divisors
    if _near(first, 1) and _near(second, 1):
        return Baseline("mean_only", "none", shown)
    if _near(first, 1 - 1 / GROUP_SIZE) and _near(second, first):
        return Baseline("leave_one_out", "none", shown)
    groups = rewards.view(2, GROUP_SIZE)
    if _near(first, second):
        deviation = float(rewards.std())
        slope = (first - small[0]) / (0.999 * deviation)
        if not _near(slope, 1):
            return Baseline(OTHER, None, shown)
        return Baseline("batch_std", rounded(small[0] - 1e-3 * deviation), shown)
    sample = groups.std(-1).tolist()
    slope = (first - second) / (sample[0] - sample[1])
    for kind, expected in (("sample_std", 1.0), ("population_std", math.sqrt(1 - 1 / GROUP_SIZE))):
        if _near(slope, expected):
            return Baseline(kind, rounded(second - expected * sample[1]), shown)
    return Baseline(OTHER, None, shown)


def _divisors(rewards: Tensor, advantages: Tensor) -> tuple[float, float] | None:
    """What (reward − mean of its group) was divided by, one number per group; None if it is not one number."""
    groups = rewards.view(2, GROUP_SIZE).double()
    centred = groups - groups.mean(-1, keepdim=True)
    found = advantages.view(2, GROUP_SIZE).double()
    if not bool((found.abs() > 0).all()):
        return None
    ratios = centred / found
    if not torch.allclose(ratios, ratios[:, :1].expand_as(ratios), rtol=1e-4, atol=0):
        return None
    return float(ratios[0, 0]), float(ratios[1, 0])


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-3 * abs(other)


@dataclass(frozen=True)
class RewardPenalty:
    """What the probes found about a KL penalty in the reward."""

    beta: Value
    estimator: Value
    misfit: float


def measure_reward_penalty(score: Score, mask: Tensor, kind: Value) -> RewardPenalty:
    """Find β and estimator of a KL penalty Σ_t k(x_t) that is taken off the reward. `mask` [B, T] marks the tokens.

    The rewards are those of `one_right`, so that a standard deviation never vanishes.
    """
    generator = torch.Generator().manual_seed(5)
    x = 0.5 * torch.randn(mask.shape, generator=generator)
    rewards = one_right()
    change = (score(rewards, x) - score(rewards, None)).double()
    if float(change.abs().max()) < 1e-9:
        return RewardPenalty(0.0, OFF, 0.0)
    if kind not in ("mean_only", "leave_one_out"):
        return RewardPenalty(None, None, math.inf)
    fits = []
    for estimator, k in ESTIMATORS.items():
        cost = (k(x) * mask).sum(-1).double()
        model = -group_advantages(cost, GROUP_SIZE, kind, 0.0)  # type: ignore[arg-type]
        beta = float(change @ model / (model @ model))
        misfit = float((change - beta * model).norm() / change.norm())
        fits.append(RewardPenalty(rounded(beta), estimator, misfit))
    best = min(fits, key=lambda fit: fit.misfit)
    return best if best.misfit < 1e-4 else RewardPenalty(best.beta, OTHER, best.misfit)
