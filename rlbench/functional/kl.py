"""Estimators of KL(π ‖ reference) from samples of π (Schulman 2020, "Approximating KL divergence").

`log_ratio` is x = log π(y) − log reference(y) of the sampled tokens, in nats, any shape. What an estimator does to
the policy depends on where it stands: see docs/algorithms/kl.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]


def k1(log_ratio: Tensor) -> Tensor:
    """Unbiased, may be negative: x."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """Biased, never negative, and its gradient in a loss is that of KL(π ‖ reference): ½ x²."""
    return 0.5 * log_ratio**2


def k3(log_ratio: Tensor) -> Tensor:
    """Unbiased and never negative: exp(−x) − 1 + x."""
    return (-log_ratio).expm1() + log_ratio


ESTIMATORS: dict[KLEstimator, Callable[[Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}
