"""RLOO: REINFORCE with a leave-one-out baseline.

Ahmadian et al. 2024, "Back to Basics" (arXiv:2402.14740), equations 3 and 6 and section 2.3: a completion is one
action, its baseline is the mean reward of the other completions of the prompt, and the reward carries −β·log(π/π_SFT)
of the completion.

With `ratio: none` it is REINFORCE as in the paper, which holds only on-policy, so every rollout batch makes one
optimizer step. With `ratio: sequence` the ratio of completion probabilities takes its place, clipped as in PPO.

Deviations from the paper: one optimizer step per rollout batch (the paper takes two without a ratio); dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator

from rlbench.algorithms.algorithm import Experience, Loss, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.algorithms.options import GroupPolicyGradient, KLPlacement, read_options
from rlbench.algorithms.terms import (
    diagnostics,
    kl_in_loss,
    kl_in_reward,
    loss_mask,
    shaped_rewards,
    token_log_ratio,
    weighted,
)
from rlbench.functional.advantages import GroupAdvantage, group_advantages
from rlbench.functional.kl import KLEstimator
from rlbench.functional.losses import clipped_surrogate
from rlbench.functional.masking import aggregation_weights
from rlbench.functional.ratios import sequence_sum


class RLOO(GroupPolicyGradient):
    """Every axis of RLOO, with the paper's values as defaults."""

    learning_rate: float = Field(default=6e-4, gt=0)
    """Peak rate of AdamW; higher than the others' because a rollout batch makes a single step."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass over a rollout batch."""
    ratio: Literal["none", "sequence"] = "none"
    """`none`: the score function −A·log π of the completion. `sequence`: its clipped importance ratio."""
    beta: float = Field(default=0.03, ge=0)
    """Weight of the completion's log ratio to the SFT policy in the reward (appendix C, TL;DR)."""
    kl_estimator: KLEstimator = "k1"
    kl_placement: KLPlacement = "reward"
    advantage: GroupAdvantage = "leave_one_out"
    """How rewards of a group become advantages (section 2.3)."""

    @model_validator(mode="after")
    def _on_policy(self) -> Self:
        steps = self.epochs * self.minibatches
        if self.ratio == "none" and steps > 1:
            raise ValueError(
                f"epochs x minibatches is {steps}, but without a ratio every step after the first would learn from "
                f"completions of another policy; expected 1, or ratio: sequence"
            )
        if self.aggregation != "sequence_mean":
            raise ValueError(
                f"aggregation is {self.aggregation}, expected sequence_mean: a completion is one action and has one "
                f"log-probability, which is not divided by its length"
            )
        return self


def rloo(**options: Any) -> OnlineAlgorithm:
    """Return RLOO with the given `RLOO` options."""
    axes = read_options(RLOO, "rloo", options)

    def targets(rollouts: Rollouts) -> Targets:
        rewards = shaped_rewards(rollouts, axes) - kl_in_reward(rollouts, axes).sum(-1)
        advantages = group_advantages(rewards, rollouts.group_size, axes.advantage, axes.advantage_epsilon)
        return Targets(advantages.unsqueeze(-1) * rollouts.mask, loss_mask(rollouts, axes))

    def loss(new: Prediction, old: Experience) -> Loss:
        log_ratio = sequence_sum(token_log_ratio(new, old), old.mask)
        if axes.ratio == "none":
            surrogate = -old.advantages * sequence_sum(new.logprobs, old.mask)
        else:
            surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high, axes.dual_clip)
        penalty = sequence_sum(kl_in_loss(log_ratio, new, old, axes), old.mask)
        used = log_ratio if axes.ratio == "sequence" else torch.zeros_like(log_ratio)  # without a ratio nothing clips
        return weighted(surrogate + penalty, old), diagnostics(used, surrogate, penalty, new, old, axes)

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm("rloo", 1, "arXiv:2402.14740", axes, targets, weights, loss, ("reference",))
