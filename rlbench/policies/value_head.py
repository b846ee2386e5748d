"""A critic: a copy of a policy's backbone with a scalar head."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from rlbench.policies.causal_lm import Policy, positions
from rlbench.policies.device import DtypeName, autocast


class Critic(nn.Module):
    """Predicts, for each completion token, the value of the state in which it is chosen.

    The head starts at zero, so that before training every value is 0.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(policy.model.base_model)
        hidden = policy.model.config.get_text_config().hidden_size
        self.head = nn.Linear(hidden, 1, device=policy.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.device = policy.device
        self.dtype: DtypeName = policy.dtype

    def forward(self, input_ids: Tensor, attention_mask: Tensor, columns: int) -> Tensor:
        """Values [B, columns] of the states before the last `columns` tokens of `input_ids` [B, L]."""
        with autocast(self.device, self.dtype):
            output = self.backbone(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=positions(attention_mask),
                use_cache=False,
            )
        hidden = output.last_hidden_state[:, -columns - 1 : -1]
        values: Tensor = self.head(hidden.to(self.head.weight.dtype)).squeeze(-1)
        return values
