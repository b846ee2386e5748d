"""DAPO: decoupled clip and dynamic sampling policy optimisation.

Yu et al. 2025 (arXiv:2503.14476), equations 8 to 13 and algorithm 1: GRPO with a wider clip above 1, one mean over
all tokens of an optimizer step, prompts whose completions all get the same reward replaced by others, a soft
punishment of overlong completions, and no KL term.

Deviations from the paper: the token mean is that of the optimizer step, as in the authors' code, where equation 8
takes one per prompt; all groups that are kept are trained on, so a batch may hold more than was asked for, and the
last one of the budget fewer; dropout is off.
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
from rlbench.functional.advantages import group_advantages, tells_apart
from rlbench.functional.losses import clipped_surrogate
from rlbench.functional.masking import Aggregation, aggregation_weights


class DAPO(GroupPolicyGradient):
    """Every axis of DAPO, with the paper's values as defaults."""

    clip_high: float = Field(default=0.28, gt=0)
    """How far the ratio may rise above 1 (clip-higher, section 4.1)."""
    aggregation: Aggregation = "token_mean"
    """One mean over all tokens of the optimizer step (section 3.3)."""
    overlong_buffer: float = Field(default=0.2, ge=0, le=1)
    """Last share of the length limit in which the reward falls (section 4.1: 4,096 of 20,480 tokens)."""
    dynamic_sampling: bool = True
    """Leave out groups of equal rewards and draw others instead, at the budget's expense (equation 11)."""


def dapo(**options: Any) -> OnlineAlgorithm:
    """Return DAPO with the given `DAPO` options."""
    axes = read_options(DAPO, "dapo", options)

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
    keep = tells_apart if axes.dynamic_sampling else None
    return OnlineAlgorithm("dapo", 1, "arXiv:2503.14476", axes, targets, weights, loss, ("reference",), keep)
