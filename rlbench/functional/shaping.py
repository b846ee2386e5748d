"""What is done to the reward of a completion before it becomes an advantage."""

from __future__ import annotations

import torch
from torch import Tensor


def overlong_penalty(lengths: Tensor, max_new_tokens: int, buffer: float) -> Tensor:
    """DAPO's soft punishment: 0 up to the buffer, falling linearly to −1 at the length limit.

    Yu et al. 2025 (arXiv:2503.14476), equation 13.

    Args:
        lengths: [batch] tokens of each completion.
        max_new_tokens: L_max, the length limit.
        buffer: L_cache as a share of the limit, in (0, 1].

    Returns:
        [batch], from −1 to 0.
    """
    cache = buffer * max_new_tokens
    return ((max_new_tokens - cache - lengths) / cache).clamp(-1, 0)


def shape_rewards(
    rewards: Tensor, truncated: Tensor, scale: float, clip: float | None, missing_eos_penalty: float
) -> Tensor:
    """Scale the rewards [batch], clip them to ±clip, and take the penalty off completions [batch] without an end."""
    shaped = scale * rewards
    if clip is not None:
        shaped = shaped.clamp(-clip, clip)
    return torch.where(truncated, shaped - missing_eos_penalty, shaped)


def adapted_beta(beta: float, kl_nats: float, target: float, horizon: float, completions: int) -> float:
    """The next weight of the KL penalty: β (1 + clip(KL / target − 1, ±0.2) · completions / horizon).

    Ziegler et al. 2019 (arXiv:1909.08593), section 2.2, with the horizon of their released code. One batch changes
    it by a fifth at most, however short the horizon, so that it stays positive.

    Args:
        beta: the weight that was in force.
        kl_nats: KL to the reference per completion that it led to.
        target: the KL that is wanted, in nats per completion.
        horizon: completions over which the weight may change by a fifth.
        completions: in the rollout batch.
    """
    error = min(max(kl_nats / target - 1, -0.2), 0.2)
    return beta * (1 + error * min(completions / horizon, 1.0))
