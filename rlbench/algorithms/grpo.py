"""GRPO: group relative policy optimisation.

Shao et al. 2024, DeepSeekMath (arXiv:2402.03300), equation 3: token ratios, clipped; advantages from the group of
completions of one prompt; mean over the tokens of a completion, then over completions; β·k3 in the loss.

Deviations from the paper: several optimizer steps per rollout batch by default (the paper takes one), because the
clip acts only then; dropout is off.
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
from rlbench.functional.advantages import group_advantages
from rlbench.functional.kl import k3
from rlbench.functional.losses import clipped, clipped_surrogate
from rlbench.functional.masking import sequence_mean_weights


class GRPO(OnlineOptimization):
    """Every axis of GRPO, with the paper's values as defaults."""

    clip_low: float = Field(default=0.2, gt=0, lt=1)
    """ε below 1."""
    clip_high: float = Field(default=0.2, gt=0)
    """ε above 1."""
    beta: float = Field(default=0.04, ge=0)
    """Weight of k3(π ‖ SFT policy) in the loss (section 4.2)."""
    advantage_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the group's sample standard deviation."""


def grpo(**options: Any) -> OnlineAlgorithm:
    """Return GRPO with the given `GRPO` options."""
    axes = read_options(GRPO, "grpo", options)

    def targets(rollouts: Rollouts) -> Targets:
        advantages = group_advantages(rollouts.rewards, rollouts.group_size, axes.advantage_epsilon)
        return Targets(advantages.unsqueeze(-1) * rollouts.mask)

    def loss(new: Prediction, old: Experience) -> Loss:
        log_ratio = torch.where(old.mask, new.logprobs - old.old_logprobs, 0.0)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high)
        penalty = k3(torch.where(old.mask, new.logprobs - old.reference_logprobs, 0.0))
        clip = clipped(log_ratio, old.advantages, axes.clip_low, axes.clip_high)
        return weighted(surrogate, old) + axes.beta * weighted(penalty, old), {
            "policy_loss": weighted(surrogate, old),
            "kl_loss": weighted(penalty, old),
            "approx_kl": weighted(log_ratio.exp() - 1 - log_ratio, old),
            "clip_fraction": weighted(clip.float(), old),
        }

    return OnlineAlgorithm("grpo", 1, axes, targets, sequence_mean_weights, loss)
