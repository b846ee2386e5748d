"""PPO: proximal policy optimisation with a critic, as used for RLHF.

Schulman et al. 2017 (arXiv:1707.06347), equation 7; generalised advantage estimation, Schulman et al. 2015
(arXiv:1506.02438), equation 16; the KL penalty in the reward, Ouyang et al. 2022 (arXiv:2203.02155), equation 2.

Deviations from the papers: the critic is a separate network that starts from the SFT policy with a zero value
head (Ouyang et al. start it from the reward model); β is fixed; dropout is off.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from rlbench.algorithms.algorithm import (
    Experience,
    Loss,
    OnlineAlgorithm,
    OnlineOptimization,
    Prediction,
    Rollouts,
    Targets,
    read_options,
    weighted,
)
from rlbench.functional.advantages import gae
from rlbench.functional.kl import k1
from rlbench.functional.losses import clipped, clipped_surrogate, clipped_value_loss
from rlbench.functional.masking import last_token, token_mean_weights, whiten


class PPO(OnlineOptimization):
    """Every axis of PPO, with the papers' values as defaults."""

    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """ε below 1 (Schulman et al. 2017, section 6.1)."""
    clip_high: float = Field(default=0.2, gt=0)
    """ε above 1."""
    beta: float = Field(default=0.02, ge=0)
    """Weight of the per-token KL penalty (k1 to the SFT policy) in the reward (Ouyang et al. 2022, appendix C.4)."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount (Ouyang et al. 2022 do not discount)."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """λ of generalised advantage estimation; 1 is Monte Carlo, 0 one-step."""
    value_clip: float = Field(default=0.2, gt=0)
    """How far the value may move from its old one before its loss stops improving."""
    value_weight: float = Field(default=0.1, gt=0)
    """Weight of the value loss beside the policy loss."""
    value_learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of AdamW for the critic."""
    whiten_advantages: bool = True
    """Shift and scale advantages to mean 0 and variance 1 over the tokens of the rollout batch."""


def ppo(**options: Any) -> OnlineAlgorithm:
    """Return PPO with the given `PPO` options."""
    axes = read_options(PPO, "ppo", options)

    def targets(rollouts: Rollouts) -> Targets:
        assert rollouts.values is not None, "the loop provides values because needs_critic is set"
        penalty = axes.beta * k1(rollouts.old_logprobs - rollouts.reference_logprobs)
        at_end = last_token(rollouts.mask) * rollouts.rewards.unsqueeze(-1)
        rewards = (at_end - penalty) * rollouts.mask
        advantages = gae(rewards, rollouts.values, rollouts.mask, axes.gamma, axes.lam)
        returns = advantages + rollouts.values * rollouts.mask
        if axes.whiten_advantages:
            advantages = whiten(advantages, rollouts.mask)
        return Targets(advantages, returns)

    def loss(new: Prediction, old: Experience) -> Loss:
        assert new.values is not None
        assert old.old_values is not None
        assert old.returns is not None
        log_ratio = torch.where(old.mask, new.logprobs - old.old_logprobs, 0.0)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high)
        value_loss = clipped_value_loss(new.values, old.old_values, old.returns, axes.value_clip)
        total = weighted(surrogate, old) + axes.value_weight * weighted(value_loss, old)
        clip = clipped(log_ratio, old.advantages, axes.clip_low, axes.clip_high)
        return total, {
            "policy_loss": weighted(surrogate, old),
            "value_loss": weighted(value_loss, old),
            "approx_kl": weighted(log_ratio.exp() - 1 - log_ratio, old),
            "clip_fraction": weighted(clip.float(), old),
        }

    return OnlineAlgorithm("ppo", 1, axes, targets, token_mean_weights, loss, needs_critic=True)
