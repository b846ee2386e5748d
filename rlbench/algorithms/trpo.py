"""TRPO: trust region policy optimisation.

Schulman et al. 2015 (arXiv:1502.05477), equation 14 and appendix C: maximise the importance-weighted advantage under
mean KL(π_old ‖ π) ≤ δ. The step is the natural gradient, found by conjugate gradient on Fisher-vector products,
scaled to the edge of the region and shortened until KL and objective hold. Several completions per prompt are the
paper's "vine" procedure at the first state, so a group's mean is the baseline.

Deviations from the paper: the roll-out state is always the prompt; KL and Fisher matrix are means over the tokens of
the rollout batch; dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from rlbench.algorithms.algorithm import Experience, Loss, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.algorithms.options import Online, read_options
from rlbench.algorithms.terms import loss_mask, movement, shaped_rewards, token_log_ratio, weighted
from rlbench.functional.advantages import GroupAdvantage, group_advantages
from rlbench.functional.masking import Aggregation, aggregation_weights


class TRPO(Online):
    """Every axis of TRPO, with the paper's values as defaults. A rollout batch makes one step."""

    max_kl: float = Field(default=0.01, gt=0)
    """δ: mean KL(π_old ‖ π) in nats per token that a step may reach (section 8)."""
    cg_iterations: int = Field(default=10, ge=1)
    """Iterations of conjugate gradient (appendix C)."""
    cg_damping: float = Field(default=0.1, ge=0)
    """Added to the diagonal of the Fisher matrix; sets how far directions go that hardly change the policy."""
    line_search_steps: int = Field(default=10, ge=1)
    """How often a step is shortened before it is given up."""
    line_search_factor: float = Field(default=0.5, gt=0, lt=1)
    """By what it is shortened each time."""
    aggregation: Aggregation = "token_mean"
    """Weights of the tokens in the objective."""
    advantage: GroupAdvantage = "mean_only"
    """How rewards of a group become advantages."""
    advantage_epsilon: float = Field(default=1e-6, gt=0)
    """Added to the group's standard deviation, if `advantage` has one."""


def trpo(**options: Any) -> OnlineAlgorithm:
    """Return TRPO with the given `TRPO` options."""
    axes = read_options(TRPO, "trpo", options)

    def targets(rollouts: Rollouts) -> Targets:
        rewards = shaped_rewards(rollouts, axes)
        advantages = group_advantages(rewards, rollouts.group_size, axes.advantage, axes.advantage_epsilon)
        return Targets(advantages.unsqueeze(-1) * rollouts.mask, loss_mask(rollouts, axes))

    def loss(new: Prediction, old: Experience) -> Loss:
        log_ratio = token_log_ratio(new, old)
        surrogate = -log_ratio.exp() * old.advantages
        return weighted(surrogate, old), {"policy_loss": weighted(surrogate, old)} | movement(log_ratio, new, old)

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm(
        "trpo", 1, "arXiv:1502.05477", axes, targets, weights, loss, ("reference",), update="trust_region"
    )
