"""GRPO: group relative policy optimisation.

Shao et al. 2024, DeepSeekMath (arXiv:2402.03300), equation 3: token ratios, clipped; advantages from the group of
completions of one prompt; mean over the tokens of a completion, then over completions; β·k3 in the loss.

Deviations from the paper: several optimizer steps per rollout batch by default (the paper takes one), because the
clip acts only then; dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from rlbench.algorithms.algorithm import Experience, Loss, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.algorithms.options import GroupPolicyGradient, read_options
from rlbench.algorithms.terms import (
    diagnostics,
    kl_in_loss,
    kl_in_reward,
    loss_mask,
    shaped_rewards,
    token_log_ratio,
    weighted,
)
from rlbench.functional.advantages import group_advantages
from rlbench.functional.losses import clipped_surrogate
from rlbench.functional.masking import aggregation_weights


class GRPO(GroupPolicyGradient):
    """Every axis of GRPO, with the paper's values as defaults."""

    beta: float = Field(default=0.04, ge=0)
    """Weight of k3(π ‖ SFT policy) in the loss (section 4.2)."""


def grpo(**options: Any) -> OnlineAlgorithm:
    """Return GRPO with the given `GRPO` options."""
    axes = read_options(GRPO, "grpo", options)

    def targets(rollouts: Rollouts) -> Targets:
        rewards = shaped_rewards(rollouts, axes) - kl_in_reward(rollouts, axes).sum(-1)
        advantages = group_advantages(rewards, rollouts.group_size, axes.advantage, axes.advantage_epsilon)
        return Targets(advantages.unsqueeze(-1) * rollouts.mask, loss_mask(rollouts, axes))

    def loss(new: Prediction, old: Experience) -> Loss:
        log_ratio = token_log_ratio(new, old)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high, axes.dual_clip)
        penalty = kl_in_loss(log_ratio, new, old, axes)
        return weighted(surrogate + penalty, old), diagnostics(log_ratio, surrogate, penalty, new, old, axes)

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm("grpo", 1, "arXiv:2402.03300", axes, targets, weights, loss, ("reference",))
