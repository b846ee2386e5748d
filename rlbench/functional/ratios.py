"""Importance ratios between the policy being trained and the policy that sampled. All in logarithms, [batch, time]."""

from __future__ import annotations

from torch import Tensor


def sequence_log_ratio(log_ratio: Tensor, mask: Tensor) -> Tensor:
    """Log of GSPO's ratio s_i = exp((1/L_i) Σ_t log ρ_t), repeated over the sequence's tokens.

    Zheng et al. 2025 (arXiv:2507.18071), equation 7.

    Args:
        log_ratio: [batch, time] per-token log π_θ − log π_old.
        mask: [batch, time] bool.

    Returns:
        [batch, time].
    """
    return sequence_sum(log_ratio, mask) / mask.sum(-1, keepdim=True).clamp(min=1)


def sequence_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Σ_t over the counted `values` [batch, time] of each sequence, repeated over its tokens: [batch, time].

    Of log-probabilities it is the log-probability of the completion, of log ratios the log ratio of completions.
    """
    return (values * mask).sum(-1, keepdim=True).expand_as(values)
