"""Dr. GRPO: GRPO without its two biases.

Liu et al. 2025 (arXiv:2503.20783), section 3.2: no division by the group's standard deviation, which favours prompts
that are nearly always or nearly never solved; a constant denominator B · L_max instead of each completion's length,
which favours long wrong completions. No KL term.

Deviations from the paper: dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any

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
from rlbench.functional.advantages import GroupAdvantage, group_advantages
from rlbench.functional.losses import clipped_surrogate
from rlbench.functional.masking import Aggregation, aggregation_weights


class DrGRPO(GroupPolicyGradient):
    """Every axis of Dr. GRPO, with the paper's values as defaults."""

    aggregation: Aggregation = "constant"
    """A sum over tokens divided by completions x length limit (section 3.2)."""
    advantage: GroupAdvantage = "mean_only"
    """How rewards of a group become advantages (section 3.2)."""


def dr_grpo(**options: Any) -> OnlineAlgorithm:
    """Return Dr. GRPO with the given `DrGRPO` options."""
    axes = read_options(DrGRPO, "dr_grpo", options)

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
    return OnlineAlgorithm("dr_grpo", 1, "arXiv:2503.20783", axes, targets, weights, loss, ("reference",))
