"""Per-token and per-pair loss terms. Means over tokens and sequences are taken by the caller's weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """−min(ρ A, clip(ρ, 1 − clip_low, 1 + clip_high) A), elementwise.

    Schulman et al. 2017 (arXiv:1707.06347), equation 7, negated because it is minimised.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clipped(log_ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """Mark the elements whose surrogate is clipped and so has no gradient: bool, the shape of `log_ratio`."""
    ratio = log_ratio.exp()
    return ((ratio < 1 - clip_low) & (advantages < 0)) | ((ratio > 1 + clip_high) & (advantages > 0))


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """½ max((V − R)², (V_old + clip(V − V_old, ±clip) − R)²), elementwise.

    The clipped value loss of the PPO implementations that InstructGPT (Ouyang et al. 2022) builds on.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def dpo(chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, beta: float) -> Tensor:
    """−log σ(β [chosen − rejected]) per pair.

    Rafailov et al. 2023 (arXiv:2305.18290), equation 7.

    Args:
        chosen_log_ratio: [pairs] summed log π_θ/π_ref of the preferred completion, in nats.
        rejected_log_ratio: [pairs] the same of the other completion.
        beta: strength of the implied KL constraint.

    Returns:
        [pairs].
    """
    return -F.logsigmoid(beta * (chosen_log_ratio - rejected_log_ratio))
