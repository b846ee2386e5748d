"""GSPO: group sequence policy optimisation.

Zheng et al. 2025 (arXiv:2507.18071), equations 5 to 7: GRPO with one ratio per sequence, the geometric mean of its
token ratios, clipped to 1 − 3e-4 … 1 + 4e-4 (section 5.1). Every sequence has equal weight. No KL term.

With a single optimizer step per rollout batch the ratio is 1 and GSPO is GRPO, so at least 4 are required.
Deviations from the paper: dropout is off.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from pydantic import Field, model_validator

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
from rlbench.functional.advantages import group_advantages
from rlbench.functional.losses import clipped, clipped_surrogate
from rlbench.functional.masking import sequence_mean_weights
from rlbench.functional.ratios import sequence_log_ratio


class GSPO(OnlineOptimization):
    """Every axis of GSPO, with the paper's values as defaults."""

    clip_low: float = Field(default=3e-4, gt=0, lt=1)
    """How far the sequence ratio may fall below 1."""
    clip_high: float = Field(default=4e-4, gt=0)
    """How far the sequence ratio may rise above 1."""
    advantage_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the group's sample standard deviation."""

    @model_validator(mode="after")
    def _differs_from_grpo(self) -> Self:
        if self.epochs * self.minibatches < 4:
            raise ValueError(
                f"epochs x minibatches is {self.epochs * self.minibatches}, expected at least 4 optimizer steps per "
                f"rollout batch: with fewer, the sequence ratio hardly leaves 1 and GSPO is GRPO"
            )
        return self


def gspo(**options: Any) -> OnlineAlgorithm:
    """Return GSPO with the given `GSPO` options."""
    axes = read_options(GSPO, "gspo", options)

    def targets(rollouts: Rollouts) -> Targets:
        advantages = group_advantages(rollouts.rewards, rollouts.group_size, axes.advantage_epsilon)
        return Targets(advantages.unsqueeze(-1) * rollouts.mask)

    def loss(new: Prediction, old: Experience) -> Loss:
        log_ratio = torch.where(old.mask, new.logprobs - old.old_logprobs, 0.0)
        sequence = sequence_log_ratio(log_ratio, old.mask)
        surrogate = clipped_surrogate(sequence, old.advantages, axes.clip_low, axes.clip_high)
        clip = clipped(sequence, old.advantages, axes.clip_low, axes.clip_high)
        return weighted(surrogate, old), {
            "policy_loss": weighted(surrogate, old),
            "approx_kl": weighted(log_ratio.exp() - 1 - log_ratio, old),
            "clip_fraction": weighted(clip.float(), old),
        }

    return OnlineAlgorithm("gspo", 1, axes, targets, sequence_mean_weights, loss)
