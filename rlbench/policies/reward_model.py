"""A reward model: a Hugging Face backbone with a scalar head on the last token that is no padding.

Ouyang et al. 2022 (arXiv:2203.02155), section 3.5; its loss is `functional.losses.bradley_terry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlbench.errors import InputError
from rlbench.policies.causal_lm import positions
from rlbench.policies.device import DtypeName, autocast


@dataclass(frozen=True)
class RewardModel:
    """A sequence classifier with one output, on a device."""

    model: Any
    tokenizer: Any
    device: torch.device
    dtype: DtypeName = "float32"

    def scores(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Reward [B] of every sequence of `input_ids` [B, L]; padding may stand on either side."""
        with autocast(self.device, self.dtype):
            output = self.model.base_model(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=positions(attention_mask),
                use_cache=False,
            )
            columns = torch.arange(input_ids.shape[1], device=input_ids.device)
            last = (columns * attention_mask).argmax(-1)
            rows = torch.arange(len(input_ids), device=input_ids.device)
            found: Tensor = self.model.score(output.last_hidden_state[rows, last])
        return found.squeeze(-1).float()


def load_reward_model(folder: str | Path, device: torch.device, dtype: DtypeName = "float32") -> RewardModel:
    """Load a folder (or hub id) that `AutoModelForSequenceClassification` reads.

    Raises:
        InputError: nothing loadable is there, weights are missing, or it has no scalar head called `score`.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        loaded: Any = AutoModelForSequenceClassification.from_pretrained(
            str(folder), dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # the libraries below raise errors of many types on damaged files
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"reward model {str(folder)!r} cannot be loaded: {first}; expected a folder (or hub id) with config.json, "
            f"*.safetensors and a tokenizer"
        ) from error
    model, report = loaded
    if report["missing_keys"]:  # transformers would fill them with random numbers
        missing = sorted(report["missing_keys"])
        raise InputError(
            f"reward model {str(folder)!r}: its *.safetensors lack {missing[0]} and {len(missing) - 1} more of the "
            f"weights that it needs; expected a trained reward model, not a language model"
        )
    if model.config.num_labels != 1 or not hasattr(model, "score"):
        raise InputError(
            f"reward model {str(folder)!r} has {model.config.num_labels} outputs; expected one, from a linear layer "
            f"called 'score' on the last token"
        )
    return RewardModel(model.to(device).eval(), tokenizer, device, dtype)
