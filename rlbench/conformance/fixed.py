"""What every check is made of: a tiny policy in a folder, and a rollout batch whose every number is fixed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from rlbench.policies.causal_lm import Policy
from rlbench.policies.padding import TokenBatch, left_pad
from rlbench.policies.tiny import build_tiny, character_tokenizer

LETTERS = "abcdefgh "
PROMPTS = ("ab", "cdefg")
GROUP_SIZE = 8
MAX_NEW_TOKENS = 16
LENGTHS = (10, 2, 5, 10, 1, 3, 7, 4, 6, 10, 2, 8, 9, 3, 10, 5)
SEED = 17
"""Of tokens and log-probabilities; one with which no loss nearly cancels out."""
CUT_OFF = (3, 14)
"""Rows that have no stop token although they are as long as they could be."""
REWARDS = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.9, 0.1, 0.4, 1.0, 0.0, 0.6, 0.3)
PAIRS = (("ab", "cde", "fg"), ("cdefg", "h", "abba"), ("h", "gg", "cafe"), ("abc", "deaf bed", "a"))
"""(prompt, preferred completion, other completion); completions differ in length."""


@dataclass(frozen=True)
class Plan:
    """A rollout batch: two prompts with `GROUP_SIZE` completions each. B sequences, T completion columns.

    `tails` [B, T] are the tokens as they would be generated: after the stop token anything may follow.
    """

    prompts: tuple[str, ...]
    prompt_ids: tuple[tuple[int, ...], ...]
    tails: Tensor
    mask: Tensor
    old: Tensor
    reference: Tensor
    rewards: Tensor
    truncated: Tensor
    pad: int

    def with_rewards(self, rewards: Tensor, reference: Tensor | None = None) -> Plan:
        """The same batch with other rewards [B] and, if given, other log-probabilities of the reference [B, T]."""
        return replace(self, rewards=rewards, reference=self.reference if reference is None else reference)

    def batch(self) -> TokenBatch:
        """Prompts and counted tokens side by side, as our loops lay them out."""
        head, attention = left_pad(self.prompt_ids, self.pad, self.tails.device)
        tails = torch.where(self.mask, self.tails, self.pad)
        return TokenBatch(torch.cat([head, tails], -1), torch.cat([attention, self.mask.long()], -1), self.mask)


def save_policy(folder: Path) -> None:
    """Write the tiny Llama whose losses and gradients are compared, with weights large enough to prefer tokens."""
    policy = build_tiny([LETTERS], hidden_size=16, layers=2, heads=2, max_positions=64, seed=0)
    _randomise(policy.model, 1)
    policy.tokenizer.split_special_tokens = False  # as usual: a trainer may append the stop token as text
    policy.save(folder)


def save_policy_with_dropout(folder: Path) -> None:
    """Write a tiny GPT-2 with the dropout that its family has by default, 0.1."""
    tokenizer = character_tokenizer([LETTERS])
    tokenizer.split_special_tokens = False
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=64,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = GPT2LMHeadModel(config)
    _randomise(model, 2)
    Policy(model, tokenizer, (int(tokenizer.eos_token_id),), torch.device("cpu")).save(folder)


def _randomise(model: torch.nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))


def make_plan(policy: Policy, temperature: float = 1.0) -> Plan:
    """The rollout batch of `policy`; its old and reference log-probabilities lie around those of the policy."""
    rows = len(LENGTHS)
    generator = torch.Generator().manual_seed(SEED)
    tails = torch.randint(4, len(policy.tokenizer), (rows, max(LENGTHS)), generator=generator)
    mask = torch.arange(tails.shape[1]) < torch.tensor(LENGTHS).unsqueeze(-1)
    for row, length in enumerate(LENGTHS):
        if row not in CUT_OFF:
            tails[row, length - 1] = policy.stop_token_id
    prompts = tuple(prompt for prompt in PROMPTS for _ in range(GROUP_SIZE))
    truncated = torch.tensor([row in CUT_OFF for row in range(rows)])
    nothing = torch.zeros(tails.shape)
    ids = tuple(tuple(policy.encode_prompt(prompt)) for prompt in prompts)
    plan = Plan(prompts, ids, tails, mask, nothing, nothing, torch.tensor(REWARDS), truncated, policy.pad_token_id)
    batch = plan.batch()
    with torch.no_grad():
        logprobs = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, temperature)
    old = logprobs + 0.3 * torch.randn(logprobs.shape, generator=generator)
    reference = logprobs + 0.5 * torch.randn(logprobs.shape, generator=generator)
    return replace(plan, old=old, reference=reference)
