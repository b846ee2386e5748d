"""What an algorithm is to the training loops: a value made of pure functions, and the tensors they work on.

Sequences are laid out as left-padded prompt followed by right-padded completion; every [batch, time] tensor here
covers the completion only. Completions of one prompt stand next to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from rlbench.errors import InputError


class Optimization(BaseModel):
    """How any algorithm turns gradients into steps. These fields can be set for every algorithm.

    Deviations from the papers: learning rates fit the small policies that ship with rlbench; set them for others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate of AdamW for the policy."""
    schedule: Literal["linear", "constant"] = "linear"
    """`linear` decays to 0 over the run's optimizer steps."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the optimizer steps over which the learning rate rises from 0."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    adam_beta2: float = Field(default=0.95, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm, policy and critic each on its own."""
    micro_batch_size: int = Field(default=64, ge=1)
    """Sequences (or pairs) per forward pass. It limits memory and does not change the result."""


class OnlineOptimization(Optimization):
    """Fields of the algorithms that learn from their own rollouts."""

    epochs: int = Field(default=1, ge=1)
    """Passes over each rollout batch."""
    minibatches: int = Field(default=4, ge=1)
    """Optimizer steps per pass; each takes an equal share of the rollout batch."""


@dataclass(frozen=True)
class Rollouts:
    """A rollout batch with everything that is fixed before the update. B sequences, T completion columns."""

    mask: Tensor
    """bool [B, T]: tokens of the completion, its stop token included."""
    old_logprobs: Tensor
    """[B, T] under the policy that sampled them."""
    reference_logprobs: Tensor
    """[B, T] under the shared SFT policy."""
    rewards: Tensor
    """[B] the value of the reward for each completion."""
    group_size: int
    """Completions per prompt."""
    values: Tensor | None = None
    """[B, T] of the critic before the update, if the algorithm needs one."""


@dataclass(frozen=True)
class Targets:
    """What an algorithm derives from a rollout batch once, before its epochs. All [B, T]."""

    advantages: Tensor
    returns: Tensor | None = None


@dataclass(frozen=True)
class Experience:
    """A slice of a rollout batch on which a loss is computed. All [b, T] for b sequences of an optimizer step.

    `weights` are those of the whole optimizer step, so that losses of slices add up to the loss of the step.
    """

    mask: Tensor
    weights: Tensor
    old_logprobs: Tensor
    reference_logprobs: Tensor
    advantages: Tensor
    old_values: Tensor | None = None
    returns: Tensor | None = None


@dataclass(frozen=True)
class Prediction:
    """What the trained networks say now about the tokens of an `Experience`, [b, T], with gradients."""

    logprobs: Tensor
    values: Tensor | None = None


@dataclass(frozen=True)
class PairPrediction:
    """Summed log-probabilities [pairs] of the two completions of each preference pair, in nats."""

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor


Loss = tuple[Tensor, dict[str, Tensor]]
"""A scalar to minimise and diagnostics; both add up over the slices of an optimizer step."""


@dataclass(frozen=True)
class OnlineAlgorithm:
    """An algorithm that learns from rollouts of the policy in training."""

    name: str
    version: int
    options: OnlineOptimization
    targets: Callable[[Rollouts], Targets]
    weights: Callable[[Tensor], Tensor]
    loss: Callable[[Prediction, Experience], Loss]
    needs_critic: bool = False
    data: Literal["rollouts"] = "rollouts"


@dataclass(frozen=True)
class OfflineAlgorithm:
    """An algorithm that learns from preference pairs. `loss` returns the sum over pairs divided by `pairs`."""

    name: str
    version: int
    options: Any
    loss: Callable[[PairPrediction, int], Loss]
    data: Literal["preferences"] = "preferences"


Algorithm = OnlineAlgorithm | OfflineAlgorithm

Model = TypeVar("Model", bound=Optimization)


def read_options(model: type[Model], name: str, options: dict[str, Any]) -> Model:
    """Check the options of algorithm `name`.

    Raises:
        InputError: an option does not exist or its value is not allowed, with the reason.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            key = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                lines.append(f"algorithm {name!r}: unknown option {key!r} (known: {', '.join(model.model_fields)})")
            else:
                where = f"option {key!r}: " if key else ""
                lines.append(f"algorithm {name!r}: {where}{problem['msg'].removeprefix('Value error, ')}")
        raise InputError("\n".join(lines)) from error


def weighted(values: Tensor, experience: Experience) -> Tensor:
    """Sum of `values` [b, T] under the step's weights: this slice's share of the mean."""
    return torch.where(experience.mask, values, torch.zeros_like(values)).mul(experience.weights).sum()
