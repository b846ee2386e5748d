"""GSPO: group sequence policy optimisation.

Zheng et al. 2025 (arXiv:2507.18071), equations 5 to 7: GRPO with one ratio per sequence, the geometric mean of its
token ratios, clipped to 1 − 3e-4 … 1 + 4e-4 (section 5.1). Every sequence has equal weight. No KL term.

With a single optimizer step per rollout batch the ratio is 1 and GSPO is GRPO, so at least 4 are required.
Deviations from the paper: dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Self

from pydantic import Field, model_validator

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
from rlbench.functional.ratios import sequence_log_ratio

WIDE_CLIP = 0.01


class GSPO(GroupPolicyGradient):
    """Every axis of GSPO, with the paper's values as defaults."""

    clip_low: float = Field(default=3e-4, gt=0, lt=1)
    """How far the sequence ratio may fall below 1 (section 5.1)."""
    clip_high: float = Field(default=4e-4, gt=0)
    """How far the sequence ratio may rise above 1."""

    @model_validator(mode="after")
    def _differs_from_grpo(self) -> Self:
        if self.epochs * self.minibatches < 4:
            raise ValueError(
                f"epochs x minibatches is {self.epochs * self.minibatches}, expected at least 4 optimizer steps per "
                f"rollout batch: with fewer, the sequence ratio hardly leaves 1 and GSPO is GRPO"
            )
        return self

    @model_validator(mode="after")
    def _weighs_sequences_equally(self) -> Self:
        if self.aggregation != "sequence_mean":
            raise ValueError(
                f"aggregation is {self.aggregation}, expected sequence_mean: the sequence ratio is the same for all "
                f"tokens, so sequences would weigh by their length (10 and 1000 tokens: 0.0099 and 0.9901)"
            )
        return self

    def suspicions(self) -> list[str]:
        """Those of its family, and a clip that was meant for token ratios."""
        found, widest = super().suspicions(), max(self.clip_low, self.clip_high)
        if widest < WIDE_CLIP:
            return found
        return [
            *found,
            f"gspo clips its sequence ratio at {widest:g}, about {widest / 4e-4:.0f} times the paper's 4e-4; a ratio "
            f"that is a mean over tokens hardly ever gets there, so nothing is clipped",
        ]


def gspo(**options: Any) -> OnlineAlgorithm:
    """Return GSPO with the given `GSPO` options."""
    axes = read_options(GSPO, "gspo", options)

    def targets(rollouts: Rollouts) -> Targets:
        rewards = shaped_rewards(rollouts, axes) - kl_in_reward(rollouts, axes).sum(-1)
        advantages = group_advantages(rewards, rollouts.group_size, axes.advantage, axes.advantage_epsilon)
        return Targets(advantages.unsqueeze(-1) * rollouts.mask, loss_mask(rollouts, axes))

    def loss(new: Prediction, old: Experience) -> Loss:
        token = token_log_ratio(new, old)
        log_ratio = sequence_log_ratio(token, old.mask)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high, axes.dual_clip)
        penalty = kl_in_loss(token, new, old, axes)  # a geometric mean would not make k1 and k3 unbiased
        return weighted(surrogate + penalty, old), diagnostics(log_ratio, surrogate, penalty, new, old, axes)

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm("gspo", 1, "arXiv:2507.18071", axes, targets, weights, loss, ("reference",))
