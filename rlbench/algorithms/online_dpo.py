"""Online DPO: DPO on fresh pairs of the policy in training.

Guo et al. 2024, "Direct language model alignment from online AI feedback" (arXiv:2402.04792), algorithm 1: every
rollout batch gives pairs, labelled by the reward; the loss is that of DPO (or IPO) on them.

Deviations from the paper: a group of completions gives up to G/2 pairs (best with worst, second best with second
worst, …) instead of one pair of two, learnt from in several optimizer steps instead of one; the label is the
reward's, not a language model's; dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from rlbench.algorithms.algorithm import PreferenceAlgorithm
from rlbench.algorithms.options import Preference, read_options
from rlbench.algorithms.terms import preference_loss


class OnlineDPO(Preference):
    """Every axis of online DPO, with the paper's values as defaults."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate of AdamW for the policy."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the pairs of each rollout batch."""
    minibatches: int = Field(default=4, ge=1)
    """Optimizer steps per pass; each takes an equal share of the pairs."""


def online_dpo(**options: Any) -> PreferenceAlgorithm:
    """Return online DPO with the given `OnlineDPO` options."""
    axes = read_options(OnlineDPO, "online_dpo", options)
    loss = partial(preference_loss, axes=axes)
    return PreferenceAlgorithm("online_dpo", 1, "arXiv:2402.04792", axes, loss, data="rollouts->pairs")
