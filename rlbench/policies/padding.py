"""The only code that pads: token sequences of unequal length become rectangular tensors with masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def left_pad(sequences: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack token ids so that all sequences end in the last column: ids and attention mask, both [B, L]."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask[row, width - len(sequence) :] = 1
    return ids.to(device), mask.to(device)


@dataclass(frozen=True)
class TokenBatch:
    """Prompts padded on the left and completions padded on the right, side by side.

    The last T columns of `input_ids` and `attention_mask` [B, P + T] hold the completions; `mask` [B, T] is True on
    their tokens.
    """

    input_ids: Tensor
    attention_mask: Tensor
    mask: Tensor

    @property
    def columns(self) -> int:
        """T, the number of completion columns."""
        return self.mask.shape[1]

    def rows(self, index: Tensor) -> TokenBatch:
        """The sequences named by `index` [b]."""
        return TokenBatch(self.input_ids[index], self.attention_mask[index], self.mask[index])

    def sequences(self) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids of every prompt and every completion, without padding."""
        head = self.attention_mask[:, : -self.columns].bool()
        prompts = [ids[real].tolist() for ids, real in zip(self.input_ids[:, : -self.columns], head, strict=True)]
        tails = [ids[real].tolist() for ids, real in zip(self.input_ids[:, -self.columns :], self.mask, strict=True)]
        return prompts, tails

    def slices(self, rows: int) -> list[TokenBatch]:
        """The batch in consecutive parts of at most `rows` sequences."""
        order = torch.arange(self.mask.shape[0], device=self.mask.device)
        return [self.rows(order[start : start + rows]) for start in range(0, len(order), rows)]


def token_batch(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], pad: int, device: torch.device
) -> TokenBatch:
    """Lay out each prompt with its completion.

    Args:
        prompts: token ids, none empty.
        completions: token ids, one sequence per prompt.
        pad: id that fills unused places.
        device: where the tensors go.
    """
    ids, attention = left_pad(prompts, pad, device)
    width = max(len(completion) for completion in completions)
    tail = torch.full((len(completions), width), pad, dtype=torch.long)
    mask = torch.zeros((len(completions), width), dtype=torch.bool)
    for row, completion in enumerate(completions):
        tail[row, : len(completion)] = torch.tensor(completion, dtype=torch.long)
        mask[row, : len(completion)] = True
    tail, mask = tail.to(device), mask.to(device)
    return TokenBatch(torch.cat([ids, tail], dim=-1), torch.cat([attention, mask.long()], dim=-1), mask)
