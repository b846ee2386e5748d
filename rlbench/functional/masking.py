"""Means and weights over masked tokens. Masks are bool [batch, time]; True marks a token that counts."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Aggregation = Literal["sequence_mean", "token_mean", "constant"]


def aggregation_weights(mask: Tensor, max_new_tokens: int, aggregation: Aggregation) -> Tensor:
    """Weights [batch, time] with which the token losses of an optimizer step [batch, time] are summed up."""
    if aggregation == "sequence_mean":
        return sequence_mean_weights(mask)
    if aggregation == "token_mean":
        return token_mean_weights(mask)
    return constant_weights(mask, max_new_tokens)


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


def constant_weights(mask: Tensor, max_new_tokens: int) -> Tensor:
    """Weights [batch, time] of a sum over tokens that is divided by a constant: 1 / (B · L_max).

    Liu et al. 2025 (arXiv:2503.20783), section 3.2: a long completion is neither favoured nor held back.
    """
    return mask / (mask.shape[0] * max_new_tokens)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` [batch, time] over counted tokens, a scalar. Uncounted values may be anything finite."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor, epsilon: float = 1e-8, shift: bool = True) -> Tensor:
    """Scale the counted `values` [batch, time] to (biased) variance 1 and shift them to mean 0; others become 0."""
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    scaled = (values - mean) * (variance + epsilon).rsqrt()
    return (scaled if shift else scaled + mean) * mask


def last_token(mask: Tensor) -> Tensor:
    """Mark the last counted token of every sequence: bool [batch, time]."""
    later = mask.flip(-1).cumsum(-1).flip(-1)
    return mask & (later == 1)
