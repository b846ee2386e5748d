"""Advantage estimators."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

GroupAdvantage = Literal["sample_std", "population_std", "mean_only", "leave_one_out"]


def group_advantages(rewards: Tensor, group_size: int, kind: GroupAdvantage, epsilon: float) -> Tensor:
    """How much better each completion is than the others of its prompt. A group of equal rewards gets exactly 0.

    `sample_std`, `population_std`: (r_i − mean) / (std + ε) (Shao et al. 2024, arXiv:2402.03300, section 4.1.2, which
    leaves open which of the two standard deviations is meant). `mean_only`: r_i − mean (Liu et al. 2025,
    arXiv:2503.20783). `leave_one_out`: r_i − mean of the others (Ahmadian et al. 2024, arXiv:2402.14740), which is
    G/(G − 1) times `mean_only`.

    Args:
        rewards: [batch], the completions of one prompt standing next to each other.
        group_size: G, completions per prompt, at least 2.
        kind: the definition.
        epsilon: added to the standard deviation, where there is one.

    Returns:
        [batch].
    """
    groups = rewards.view(-1, group_size)
    centred = groups - groups.mean(-1, keepdim=True)
    if kind == "leave_one_out":
        scaled = centred * group_size / (group_size - 1)
    elif kind == "mean_only":
        scaled = centred
    else:
        scaled = centred / (groups.std(-1, keepdim=True, correction=int(kind == "sample_std")) + epsilon)
    varied = tells_apart(rewards, group_size).unsqueeze(-1)
    return torch.where(varied, scaled, torch.zeros_like(scaled)).view(-1)


def tells_apart(rewards: Tensor, group_size: int) -> Tensor:
    """Mark the groups of `rewards` [batch] that are not all equal, so that they teach something: bool [groups]."""
    groups = rewards.view(-1, group_size)
    return groups.amax(-1) != groups.amin(-1)


def discounted_returns(rewards: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Σ_{l≥0} γ^l r_{t+l} of every counted token: what GAE with λ = 1 gives without a critic. All [batch, time]."""
    return gae(rewards, torch.zeros_like(rewards), mask, gamma, 1.0)


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation: A_t = Σ_l (γλ)^l δ_{t+l} with δ_t = r_t + γ V_{t+1} − V_t.

    Schulman et al. 2015 (arXiv:1506.02438), equation 16. The value after the last counted token is 0.

    Args:
        rewards: [batch, time] reward of each token.
        values: [batch, time] value of the state in which each token is chosen.
        mask: [batch, time] bool; counted tokens are contiguous from the first column.
        gamma: discount.
        lam: λ; 1 is Monte Carlo, 0 is one-step temporal difference.

    Returns:
        [batch, time], 0 where not counted.
    """
    advantages = torch.zeros_like(values)
    running = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(values[:, 0])
    for step in range(values.shape[1] - 1, -1, -1):
        counted = mask[:, step]
        delta = rewards[:, step] + gamma * following - values[:, step]
        running = torch.where(counted, delta + gamma * lam * running, torch.zeros_like(running))
        following = torch.where(counted, values[:, step], torch.zeros_like(following))
        advantages[:, step] = running
    return advantages
