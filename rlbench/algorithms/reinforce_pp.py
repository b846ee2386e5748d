"""REINFORCE++: a clipped policy gradient without a critic and without groups.

Hu et al. 2025 (arXiv:2501.03262v9), equations 1, 4 and 5: every token's advantage is the terminal reward less the KL
penalties that are still to come, A_t = r − β·Σ_{i≥t} k1_i, normalised over all tokens of the rollout batch; PPO's
clipped token ratio.

Deviations from the paper: it draws as many completions per prompt as the others do; the variant with a baseline keeps
the KL penalty in the reward unless told otherwise (the paper: k2 in the loss); dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field

from rlbench.algorithms.algorithm import Experience, Loss, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.algorithms.options import KLPlacement, PolicyGradient, read_options
from rlbench.algorithms.terms import (
    diagnostics,
    kl_in_loss,
    kl_in_reward,
    loss_mask,
    shaped_rewards,
    token_log_ratio,
    weighted,
)
from rlbench.functional.advantages import discounted_returns, group_advantages
from rlbench.functional.kl import KLEstimator
from rlbench.functional.losses import clipped_surrogate
from rlbench.functional.masking import Aggregation, aggregation_weights, last_token, whiten


class ReinforcePP(PolicyGradient):
    """Every axis of REINFORCE++, with the paper's values as defaults."""

    aggregation: Aggregation = "sequence_mean"
    """Mean over the tokens of a completion, then over completions (version 9, equation 1)."""
    beta: float = Field(default=0.01, ge=0)
    """Weight of the per-token KL penalty in the reward (version 1, table 1)."""
    kl_estimator: KLEstimator = "k1"
    kl_placement: KLPlacement = "reward"
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount of later rewards."""
    baseline: Literal["none", "group"] = "none"
    """`group` takes the mean reward of the prompt's completions off first (the variant "with baseline")."""
    whiten_advantages: bool = True
    """Shift and scale advantages to mean 0 and variance 1 over the tokens of the rollout batch."""


def reinforce_pp(**options: Any) -> OnlineAlgorithm:
    """Return REINFORCE++ with the given `ReinforcePP` options."""
    axes = read_options(ReinforcePP, "reinforce_pp", options)

    def targets(rollouts: Rollouts) -> Targets:
        rewards = shaped_rewards(rollouts, axes)
        if axes.baseline == "group":
            rewards = group_advantages(rewards, rollouts.group_size, "mean_only", 0.0)
        counted = loss_mask(rollouts, axes)
        at_end = last_token(rollouts.mask) * rewards.unsqueeze(-1)
        advantages = discounted_returns(at_end - kl_in_reward(rollouts, axes), rollouts.mask, axes.gamma)
        if axes.whiten_advantages:
            advantages = whiten(advantages, counted)
        return Targets(advantages, counted)

    def loss(new: Prediction, old: Experience) -> Loss:
        log_ratio = token_log_ratio(new, old)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high, axes.dual_clip)
        penalty = kl_in_loss(log_ratio, new, old, axes)
        return weighted(surrogate + penalty, old), diagnostics(log_ratio, surrogate, penalty, new, old, axes)

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm("reinforce_pp", 1, "arXiv:2501.03262", axes, targets, weights, loss, ("reference",))
