"""What an algorithm is to the training loops: a value made of pure functions, and the tensors they work on.

Sequences are laid out as left-padded prompt followed by right-padded completion; every [batch, time] tensor here
covers the completion only. Completions of one prompt stand next to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

Need = Literal["critic", "reference"]


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
    truncated: Tensor
    """bool [B]: the length limit cut the completion off, so it has no stop token."""
    group_size: int
    """Completions per prompt."""
    max_new_tokens: int
    """The length limit; T may be smaller."""
    values: Tensor | None = None
    """[B, T] of the critic before the update, if the algorithm needs one."""
    beta: float | None = None
    """Weight of the KL penalty that a controller has set after the last batch; None: that of the options."""


@dataclass(frozen=True)
class Targets:
    """What an algorithm derives from a rollout batch once, before its epochs. All [B, T]."""

    advantages: Tensor
    mask: Tensor
    """bool: tokens that count in the loss."""
    returns: Tensor | None = None
    """What the critic should have said."""
    next_beta: float | None = None
    """The next batch's `Rollouts.beta`."""


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
    total_weight: float = 1.0
    """Sum of the whole step's weights: 1 for means, less where the denominator is a constant."""


@dataclass(frozen=True)
class Prediction:
    """What the trained networks say now about the tokens of an `Experience`, [b, T], with gradients."""

    logprobs: Tensor
    values: Tensor | None = None


@dataclass(frozen=True)
class PairPrediction:
    """Summed log-probabilities [pairs] of the two completions of each preference pair, in nats, and their tokens."""

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor


Diagnostics = dict[str, Tensor]
"""Scalars by name. They add up over the slices of an optimizer step, except `*_min` and `*_max`."""

Loss = tuple[Tensor, Diagnostics]
"""A scalar to minimise, which adds up over the slices of an optimizer step, and diagnostics."""


@dataclass(frozen=True)
class OnlineAlgorithm:
    """An algorithm that learns from rollouts of the policy in training.

    `weights` gives the token weights of an optimizer step from the tokens that count and the length limit. `keep`
    marks the groups [B / group_size] of rewards [B] that are trained on; the loop draws more until a batch is full,
    and all that was drawn is charged. With `update` "trust_region" a natural-gradient step replaces AdamW.
    """

    name: str
    version: int
    paper: str
    options: Any
    targets: Callable[[Rollouts], Targets]
    weights: Callable[[Tensor, int], Tensor]
    loss: Callable[[Prediction, Experience], Loss]
    needs: tuple[Need, ...] = ()
    keep: Callable[[Tensor, int], Tensor] | None = None
    update: Literal["gradient", "trust_region"] = "gradient"
    data: Literal["rollouts"] = "rollouts"


@dataclass(frozen=True)
class PreferenceAlgorithm:
    """An algorithm that learns from preference pairs. `loss` returns the sum over pairs divided by `pairs`.

    The pairs are drawn once from the SFT policy (`preferences`), or from every rollout batch of the policy in
    training (`rollouts->pairs`).
    """

    name: str
    version: int
    paper: str
    options: Any
    loss: Callable[[PairPrediction, int], Loss]
    needs: tuple[Need, ...] = ("reference",)
    data: Literal["preferences", "rollouts->pairs"] = "preferences"


Algorithm = OnlineAlgorithm | PreferenceAlgorithm
