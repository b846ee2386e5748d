"""Samples completions: the prompt is read once for all its completions, and finished sequences leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from rlbench.policies.causal_lm import Policy, positions
from rlbench.policies.device import autocast
from rlbench.policies.padding import left_pad


@dataclass(frozen=True)
class Completion:
    """Sampled tokens (the stop token included, if one was drawn) and whether the length limit cut them off."""

    tokens: tuple[int, ...]
    truncated: bool


@torch.no_grad()
def generate(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    samples_per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> list[Completion]:
    """Sample from the full distribution softmax(logits / temperature).

    Args:
        policy: the model to sample from.
        prompts: token ids of each prompt.
        samples_per_prompt: completions of every prompt.
        max_new_tokens: length limit, the stop token included.
        temperature: greater than 0.
        generator: random stream on the policy's device.

    Returns:
        len(prompts) x samples_per_prompt completions; those of one prompt stand next to each other.

    Raises:
        InputError: a prompt and its completion would not fit into the model's context.
    """
    device = policy.device
    policy.check_fit(max(map(len, prompts)) + max_new_tokens, "the longest prompt with its completion")
    input_ids, attention = left_pad(prompts, policy.pad_token_id, device)
    cache = DynamicCache(config=policy.model.config)
    with autocast(device, policy.dtype):
        output = policy.model(
            input_ids=input_ids,
            attention_mask=attention,
            position_ids=positions(attention),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    cache.batch_repeat_interleave(samples_per_prompt)
    logits = output.logits[:, -1].repeat_interleave(samples_per_prompt, dim=0)
    attention = attention.repeat_interleave(samples_per_prompt, dim=0)
    stops = torch.tensor(policy.stop_token_ids, device=device)
    total = logits.shape[0]
    drawn = torch.full((total, max_new_tokens), -1, dtype=torch.long, device=device)
    alive = torch.arange(total, device=device)
    for step in range(max_new_tokens):
        # Every row draws its noise at every step, alive or not: a completion does not depend on when others end.
        waiting = torch.empty((total, logits.shape[-1]), device=device).exponential_(generator=generator)[alive]
        # The first of competing exponential clocks with rates p_i is i with probability p_i (the Gumbel-max trick).
        tokens = (logits.float() / temperature - waiting.clamp(min=1e-30).log()).argmax(-1)
        drawn[alive, step] = tokens
        going = ~torch.isin(tokens, stops)
        if step + 1 == max_new_tokens or not bool(going.any()):
            break
        if not bool(going.all()):
            rows = going.nonzero().squeeze(-1)
            alive, tokens, attention = alive[rows], tokens[rows], attention[rows]
            cache.batch_select_indices(rows)
        attention = torch.cat([attention, attention.new_ones((len(alive), 1))], dim=-1)
        with autocast(device, policy.dtype):
            output = policy.model(
                input_ids=tokens.unsqueeze(-1),
                attention_mask=attention,
                position_ids=positions(attention)[:, -1:],
                past_key_values=cache,
                use_cache=True,
            )
        logits = output.logits[:, -1]
    return _collect(drawn, policy.stop_token_ids)


def _collect(drawn: Tensor, stops: Sequence[int]) -> list[Completion]:
    completions = []
    for row in drawn.tolist():
        tokens = tuple(token for token in row if token >= 0)
        completions.append(Completion(tokens, truncated=tokens[-1] not in stops))
    return completions
