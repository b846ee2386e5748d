"""Advantage estimators."""

from __future__ import annotations

import torch
from torch import Tensor


def group_advantages(rewards: Tensor, group_size: int, epsilon: float) -> Tensor:
    """Group-relative advantages (r_i − mean) / (std + ε) with the sample standard deviation.

    DeepSeekMath (Shao et al. 2024, arXiv:2402.03300), section 4.1.2, outcome supervision. A group whose rewards
    are all equal gets exactly 0.

    Args:
        rewards: [batch], the completions of one prompt standing next to each other.
        group_size: completions per prompt, at least 2.
        epsilon: added to the standard deviation.

    Returns:
        [batch].
    """
    groups = rewards.view(-1, group_size)
    centred = groups - groups.mean(-1, keepdim=True)
    constant = groups.amax(-1, keepdim=True) == groups.amin(-1, keepdim=True)
    scaled = centred / (groups.std(-1, keepdim=True) + epsilon)
    return torch.where(constant, torch.zeros_like(scaled), scaled).view(-1)


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
