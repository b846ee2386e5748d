"""DPO: direct preference optimisation, with its variants IPO, conservative and length-normalised DPO.

Rafailov et al. 2023 (arXiv:2305.18290), equation 7, on summed log-probabilities, the stop token included.
`loss: ipo` is Azar et al. 2023 (arXiv:2310.12036), equation 17; `label_smoothing` is Mitchell 2023; `logprobs: mean`
divides by the length.

The pairs are drawn in each run from the shared SFT policy, on the prompts that the online algorithms see, and
labelled by the same reward; their completions and reward calls count against the same budget.
Deviations from the paper: several passes over the pairs; dropout is off.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from rlbench.algorithms.algorithm import PreferenceAlgorithm
from rlbench.algorithms.options import Preference, read_options
from rlbench.algorithms.terms import preference_loss


class DPO(Preference):
    """Every axis of DPO, with the paper's values as defaults."""

    learning_rate: float = Field(default=3e-5, gt=0)
    """Peak learning rate of AdamW for the policy."""
    epochs: int = Field(default=4, ge=1)
    """Passes over the run's preference pairs. The paper makes one; its data are not bound to a small budget."""
    batch_size: int = Field(default=64, ge=1)
    """Pairs per optimizer step (the paper's appendix B)."""


def dpo(**options: Any) -> PreferenceAlgorithm:
    """Return DPO with the given `DPO` options."""
    axes = read_options(DPO, "dpo", options)
    return PreferenceAlgorithm("dpo", 1, "arXiv:2305.18290", axes, partial(preference_loss, axes=axes))
