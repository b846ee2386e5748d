"""How far two losses and their gradients are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlbench.conformance.axis import Difference


@dataclass(frozen=True)
class Outcome:
    """A loss and its gradient with respect to all parameters, one after the other."""

    loss: float
    gradient: Tensor


def outcome(loss: Tensor, model: Any) -> Outcome:
    """The value of `loss` and its gradient in `model`."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = torch.autograd.grad(loss, parameters, allow_unused=True)
    flat = [
        torch.zeros_like(parameter) if part is None else part for parameter, part in zip(parameters, parts, strict=True)
    ]
    return Outcome(float(loss.detach()), torch.cat([part.detach().double().flatten() for part in flat]))


def difference(one: Outcome, other: Outcome) -> Difference:
    """Relative to the larger of the two; 0 where both are 0."""
    loss = _relative(abs(one.loss - other.loss), abs(one.loss), abs(other.loss))
    distance = float((one.gradient - other.gradient).norm())
    return Difference(loss, _relative(distance, float(one.gradient.norm()), float(other.gradient.norm())))


def _relative(distance: float, one: float, other: float) -> float:
    return distance / max(one, other) if distance else 0.0


def largest(values: Tensor) -> float:
    """The largest absolute value."""
    return float(values.detach().abs().max())
