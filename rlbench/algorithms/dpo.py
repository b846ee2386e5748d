"""DPO: direct preference optimisation.

Rafailov et al. 2023 (arXiv:2305.18290), equation 7, on summed log-probabilities, the stop token included.

The pairs are drawn in each run from the shared SFT policy, on the prompts that the online algorithms see, and
labelled by the same reward; their completions and reward calls count against the same budget.
Deviations from the paper: dropout is off.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rlbench.algorithms.algorithm import Loss, OfflineAlgorithm, Optimization, PairPrediction, read_options
from rlbench.functional.losses import dpo as dpo_loss


class DPO(Optimization):
    """Every axis of DPO, with the paper's values as defaults."""

    learning_rate: float = Field(default=3e-5, gt=0)
    """Peak learning rate of AdamW for the policy."""
    beta: float = Field(default=0.1, gt=0)
    """Strength of the implied KL constraint (section 6)."""
    epochs: int = Field(default=4, ge=1)
    """Passes over the run's preference pairs. The paper makes one; its data are not bound to a small budget."""
    batch_size: int = Field(default=64, ge=1)
    """Pairs per optimizer step (the paper's appendix B)."""


def dpo(**options: Any) -> OfflineAlgorithm:
    """Return DPO with the given `DPO` options."""
    axes = read_options(DPO, "dpo", options)

    def loss(new: PairPrediction, pairs: int) -> Loss:
        chosen = new.chosen - new.reference_chosen
        rejected = new.rejected - new.reference_rejected
        total = dpo_loss(chosen, rejected, axes.beta).sum() / pairs
        return total, {
            "policy_loss": total,
            "preference_accuracy": (chosen > rejected).float().sum() / pairs,
            "reward_margin": axes.beta * (chosen - rejected).sum() / pairs,
        }

    return OfflineAlgorithm("dpo", 1, axes, loss)
