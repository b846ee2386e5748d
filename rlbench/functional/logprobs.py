"""Log-probabilities of chosen tokens and the entropy of the distribution they were drawn from."""

from __future__ import annotations

import torch
from torch import Tensor


def token_logprobs(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probability in nats of each token under softmax(logits / temperature).

    Args:
        logits: [batch, time, vocabulary]; lower precision than float32 is raised to it.
        tokens: [batch, time] token ids.
        temperature: divides the logits, exactly as it did when the tokens were sampled.

    Returns:
        [batch, time].
    """
    scaled = _exact(logits) / temperature
    chosen = scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return chosen - torch.logsumexp(scaled, dim=-1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Entropy in nats of softmax(logits / temperature): [batch, time, vocabulary] to [batch, time]."""
    logprobs = torch.log_softmax(_exact(logits) / temperature, dim=-1)
    return -(logprobs.exp() * logprobs).sum(-1)


def categorical_kl(old_logits: Tensor, new_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(old ‖ new) in nats of the two distributions: [batch, time, vocabulary] to [batch, time]."""
    old = torch.log_softmax(_exact(old_logits) / temperature, dim=-1)
    new = torch.log_softmax(_exact(new_logits) / temperature, dim=-1)
    return (old.exp() * (old - new)).sum(-1)


def _exact(logits: Tensor) -> Tensor:
    """At least float32: in half precision a log-probability has two correct digits."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
