"""PPO: proximal policy optimisation with a critic, as used for RLHF.

Schulman et al. 2017 (arXiv:1707.06347), equation 7; generalised advantage estimation, Schulman et al. 2015
(arXiv:1506.02438), equation 16; the KL penalty in the reward, Ouyang et al. 2022 (arXiv:2203.02155), equation 2, with
a fixed weight or the adaptive one of Ziegler et al. 2019 (arXiv:1909.08593), section 2.2.

Deviations from the papers: the critic is a separate network that starts from the SFT policy with a zero value
head (Ouyang et al. start it from the reward model); dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from pydantic import Field, model_validator

from rlbench.algorithms.algorithm import Experience, Loss, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.algorithms.options import KLPlacement, PolicyGradient, read_options
from rlbench.algorithms.terms import (
    average,
    diagnostics,
    kl_in_loss,
    kl_in_reward,
    loss_mask,
    shaped_rewards,
    token_log_ratio,
    weighted,
)
from rlbench.functional.advantages import gae
from rlbench.functional.kl import KLEstimator
from rlbench.functional.losses import clipped_surrogate, clipped_value_loss, value_clipped
from rlbench.functional.masking import Aggregation, aggregation_weights, last_token, whiten
from rlbench.functional.shaping import adapted_beta


class PPO(PolicyGradient):
    """Every axis of PPO, with the papers' values as defaults."""

    aggregation: Aggregation = "token_mean"
    """One mean over all tokens of the optimizer step."""
    beta: float = Field(default=0.02, ge=0)
    """Weight of the per-token KL penalty in the reward (Ouyang et al. 2022, appendix C.4), at first if adaptive."""
    kl_estimator: KLEstimator = "k1"
    kl_placement: KLPlacement = "reward"
    target_kl: float | None = Field(default=None, gt=0)
    """KL to the SFT policy in nats per completion that the weight is steered to; none: the weight is fixed."""
    kl_horizon: float = Field(default=10_000, gt=0)
    """Completions over which the weight may change by a fifth, if there is a target (Ziegler et al. 2019)."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount (Ouyang et al. 2022 do not discount)."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """λ of generalised advantage estimation; 1 is Monte Carlo, 0 one-step."""
    value_clip: float | None = Field(default=0.2, gt=0)
    """How far the value may move from its old one before its loss stops improving; none: it may go anywhere."""
    value_weight: float = Field(default=0.1, gt=0)
    """Weight of the value loss beside the policy loss. The critic has its own AdamW, whose steps do not depend on it;
    it decides only how often the critic's gradient is clipped."""
    value_learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of AdamW for the critic."""
    whiten_rewards: bool = False
    """Scale the rewards of tokens to variance 1 over the rollout batch; their mean stays."""
    whiten_advantages: bool = True
    """Shift and scale advantages to mean 0 and variance 1 over the tokens of the rollout batch."""

    @model_validator(mode="after")
    def _controller_has_a_lever(self) -> Self:
        if self.target_kl is not None and (self.kl_placement != "reward" or not self.beta):
            raise ValueError("target_kl moves the weight of the KL penalty in the reward; expected kl_placement reward "
                             "and a beta above 0 to start from")  # fmt: skip
        return self


def ppo(**options: Any) -> OnlineAlgorithm:
    """Return PPO with the given `PPO` options."""
    axes = read_options(PPO, "ppo", options)

    def next_beta(rollouts: Rollouts) -> float | None:
        if axes.target_kl is None:
            return None
        beta = axes.beta if rollouts.beta is None else rollouts.beta
        completions = rollouts.mask.shape[0]
        divergence = (rollouts.old_logprobs - rollouts.reference_logprobs) * rollouts.mask
        return adapted_beta(beta, float(divergence.sum()) / completions, axes.target_kl, axes.kl_horizon, completions)

    def targets(rollouts: Rollouts) -> Targets:
        assert rollouts.values is not None, "the loop provides values because a critic is needed"
        at_end = last_token(rollouts.mask) * shaped_rewards(rollouts, axes).unsqueeze(-1)
        rewards = (at_end - kl_in_reward(rollouts, axes)) * rollouts.mask
        if axes.whiten_rewards:
            rewards = whiten(rewards, rollouts.mask, shift=False)
        counted = loss_mask(rollouts, axes)
        advantages = gae(rewards, rollouts.values, rollouts.mask, axes.gamma, axes.lam)
        returns = advantages + rollouts.values * rollouts.mask
        if axes.whiten_advantages:
            advantages = whiten(advantages, counted)
        return Targets(advantages, counted, returns, next_beta(rollouts))

    def loss(new: Prediction, old: Experience) -> Loss:
        assert new.values is not None
        assert old.old_values is not None
        assert old.returns is not None
        log_ratio = token_log_ratio(new, old)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high, axes.dual_clip)
        penalty = kl_in_loss(log_ratio, new, old, axes)
        value_loss = clipped_value_loss(new.values, old.old_values, old.returns, axes.value_clip)
        total = weighted(surrogate + penalty + axes.value_weight * value_loss, old)
        clipped = value_clipped(new.values, old.old_values, old.returns, axes.value_clip)
        return total, diagnostics(log_ratio, surrogate, penalty, new, old, axes) | {
            "value_loss": weighted(value_loss, old),
            "value_clip_fraction": average(clipped.float(), old),
        }

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm("ppo", 1, "arXiv:1707.06347", axes, targets, weights, loss, ("critic", "reference"))
