"""Per-token and per-pair loss terms. Means over tokens and sequences are taken by the caller's weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_LOG_RATIO = 60.0
"""Ratios beyond e^60 count as e^60: in float32 the exponential overflows at 88, and a clipped NaN is still a NaN."""


def clipped_surrogate(
    log_ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float, dual_clip: float | None = None
) -> Tensor:
    """−min(ρ A, clip(ρ, 1 − clip_low, 1 + clip_high) A), elementwise.

    Schulman et al. 2017 (arXiv:1707.06347), equation 7, negated because it is minimised. With `dual_clip` c the
    objective of a negative advantage is at least c A (Ye et al. 2020, arXiv:1912.09729, equation 5).
    """
    ratio = log_ratio.clamp(max=MAX_LOG_RATIO).exp()
    objective = torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
    if dual_clip is not None:
        objective = torch.where(advantages < 0, torch.maximum(objective, dual_clip * advantages), objective)
    return -objective


def clipped_below(log_ratio: Tensor, advantages: Tensor, clip_low: float) -> Tensor:
    """Mark the elements without a gradient because the ratio of a bad token is low enough: bool."""
    return (log_ratio.exp() < 1 - clip_low) & (advantages < 0)


def clipped_above(log_ratio: Tensor, advantages: Tensor, clip_high: float, dual_clip: float | None = None) -> Tensor:
    """Mark the elements without a gradient because the ratio is high: that of a good token, or by the dual clip."""
    ratio = log_ratio.exp()
    above = (ratio > 1 + clip_high) & (advantages > 0)
    return above if dual_clip is None else above | ((ratio > dual_clip) & (advantages < 0))


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """½ max((V − R)², (V_old + clip(V − V_old, ±clip) − R)²), elementwise; ½ (V − R)² without a clip.

    The clipped value loss of the PPO implementations that InstructGPT (Ouyang et al. 2022) builds on.
    """
    if clip is None:
        return 0.5 * (values - returns) ** 2
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def value_clipped(values: Tensor, old_values: Tensor, returns: Tensor, clip: float | None) -> Tensor:
    """Mark the elements whose value loss has no gradient, because the value moved far enough already: bool."""
    if clip is None:
        return torch.zeros_like(values, dtype=torch.bool)
    near = old_values + (values - old_values).clamp(-clip, clip)
    return ((near - returns) ** 2 > (values - returns) ** 2) & (near != values)


def dpo(chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """−(1 − ε) log σ(β h) − ε log σ(−β h) with h = chosen − rejected, per pair.

    Rafailov et al. 2023 (arXiv:2305.18290), equation 7; with ε > 0 it is conservative DPO (Mitchell
    2023, "A note on DPO with noisy preferences", equation 3).

    Args:
        chosen_log_ratio: [pairs] log π_θ/π_ref of the preferred completion, in nats.
        rejected_log_ratio: [pairs] the same of the other completion.
        beta: strength of the implied KL constraint.
        label_smoothing: ε, the probability that a label is wrong.

    Returns:
        [pairs].
    """
    margin = beta * (chosen_log_ratio - rejected_log_ratio)
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)


def ipo(chosen_log_ratio: Tensor, rejected_log_ratio: Tensor, beta: float) -> Tensor:
    """(h − 1/(2β))² with h = chosen − rejected, per pair; the paper calls β τ.

    Azar et al. 2023 (arXiv:2310.12036), equation 17. Arguments as in `dpo`.
    """
    return (chosen_log_ratio - rejected_log_ratio - 1 / (2 * beta)) ** 2


def bradley_terry(chosen: Tensor, rejected: Tensor, margin: Tensor | float = 0.0, centring: float = 0.0) -> Tensor:
    """−log σ(r_w − r_l − margin) + centring · (r_w + r_l)², per pair: the loss of a reward model.

    Stiennon et al. 2020 (arXiv:2009.01325), section 3.4; the margin of Touvron et al. 2023 (arXiv:2307.09288),
    equation 2; the centring of Eisenstein et al. 2023 (arXiv:2312.09244).

    Args:
        chosen: [pairs] reward of the preferred completion.
        rejected: [pairs] reward of the other one.
        margin: by how much the first should win, a number or [pairs].
        centring: weight of the term that keeps the mean reward near 0.

    Returns:
        [pairs].
    """
    return -F.logsigmoid(chosen - rejected - margin) + centring * (chosen + rejected) ** 2
