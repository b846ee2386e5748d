"""Means and weights over masked tokens. Masks are bool [batch, time]; True marks a token that counts."""

from __future__ import annotations

from torch import Tensor


def sequence_mean_weights(mask: Tensor) -> Tensor:
    """Weights [batch, time] of a mean over tokens, then over sequences: 1 / (B · L_i).

    Sequences without a counted token carry no weight; the others share it equally, so the weights sum to 1.
    """
    lengths = mask.sum(-1, keepdim=True)
    sequences = (lengths > 0).sum().clamp(min=1)
    return mask / (lengths.clamp(min=1) * sequences)


def token_mean_weights(mask: Tensor) -> Tensor:
    """Weights [batch, time] of one mean over all counted tokens of the batch: 1 / Σ L_i."""
    return mask / mask.sum().clamp(min=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [batch, time] over counted tokens, a scalar. Uncounted values may be anything finite."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Shift and scale the counted `values` [batch, time] to mean 0 and (biased) variance 1; the others become 0."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    return (values - mean) * (variance + epsilon).rsqrt() * mask


def last_token(mask: Tensor) -> Tensor:
    """Mark the last counted token of every sequence: bool [batch, time]."""
    later = mask.flip(-1).cumsum(-1).flip(-1)
    return mask & (later == 1)
