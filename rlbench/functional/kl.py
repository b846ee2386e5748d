"""Estimators of KL(π ‖ reference) from samples of π (Schulman 2020, "Approximating KL divergence").

`log_ratio` is x = log π(y) − log reference(y) of the sampled tokens, in nats, any shape.
"""

from __future__ import annotations

from torch import Tensor


def k1(log_ratio: Tensor) -> Tensor:
    """Unbiased, may be negative: x."""
    return log_ratio


def k3(log_ratio: Tensor) -> Tensor:
    """Unbiased and never negative: exp(−x) − 1 + x."""
    return (-log_ratio).expm1() + log_ratio
