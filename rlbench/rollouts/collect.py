"""Samples completions for a batch of prompts and lets the reward judge them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlbench.policies.causal_lm import Policy
from rlbench.policies.generation import Completion, generate
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.records import Candidate, Sample
from rlbench.rollouts.meter import Meter
from rlbench.seeding import derive

Reward = Callable[[Sequence[Candidate]], list[float]]
"""A grader in the role of the reward: one finite value per candidate."""


@dataclass(frozen=True)
class Sampling:
    """How training samples: the same for every arm of an experiment."""

    completions_per_prompt: int
    max_new_tokens: int
    temperature: float


@dataclass(frozen=True)
class Collected:
    """Completions of a batch of prompts, those of one prompt next to each other, with their rewards."""

    prompts: list[list[int]]
    """Token ids of the prompt of every completion."""
    completions: list[Completion]
    rewards: list[float]

    def batch(self, pad: int, device: torch.device) -> TokenBatch:
        """All sequences as padded tensors."""
        return token_batch(self.prompts, [completion.tokens for completion in self.completions], pad, device)

    def digest(self) -> str:
        """sha256 over the sampled tokens: equal digests mean equal rollouts."""
        tokens = repr([completion.tokens for completion in self.completions])
        return hashlib.sha256(tokens.encode()).hexdigest()

    def statistics(self) -> dict[str, float]:
        """Diagnostics of the batch under the names used in training curves."""
        rewards = torch.tensor(self.rewards, dtype=torch.float64)
        lengths = [len(completion.tokens) for completion in self.completions]
        return {
            "reward_mean": float(rewards.mean()),
            "reward_std": float(rewards.std()) if len(rewards) > 1 else 0.0,
            "length_mean": sum(lengths) / len(lengths),
            "length_max": float(max(lengths)),
            "truncated_fraction": sum(completion.truncated for completion in self.completions) / len(lengths),
        }


def named_generator(device: torch.device, *names: int | str) -> torch.Generator:
    """Random stream on `device` with the given name."""
    return torch.Generator(device=device).manual_seed(derive(*names))


def collect(
    policy: Policy,
    samples: Sequence[Sample],
    sampling: Sampling,
    reward: Reward,
    generator: torch.Generator,
    meter: Meter,
) -> Collected:
    """Sample completions of every prompt, judge them, and charge both to the meter."""
    count = sampling.completions_per_prompt
    with meter.phase("rollout", policy.device) as phase:
        prompts = [policy.encode_prompt(sample.prompt) for sample in samples]
        completions = generate(policy, prompts, count, sampling.max_new_tokens, sampling.temperature, generator)
        generated = sum(len(completion.tokens) for completion in completions)
        phase.tokens += generated
    with meter.phase("reward", policy.device) as phase:
        candidates = [
            Candidate(samples[row // count], policy.decode(completion.tokens), row % count)
            for row, completion in enumerate(completions)
        ]
        rewards = reward(candidates)
        phase.tokens += generated
    meter.prompts += len(samples)
    meter.completions += len(completions)
    meter.generated_tokens += generated
    meter.reward_calls += len(completions)
    meter.forward(policy.parameters, sum(len(prompt) for prompt in prompts) + generated)
    repeated = [prompt for prompt in prompts for _ in range(count)]
    return Collected(repeated, completions, rewards)


@torch.no_grad()
def frozen_logprobs(
    policy: Policy, batch: TokenBatch, temperature: float, rows: int, meter: Meter
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [B, T] of a batch without gradients, `rows` sequences at a time."""
    pieces = []
    with meter.phase("logprob", policy.device) as phase:
        for part in batch.slices(rows):
            pieces.append(policy.logprobs_and_entropy(part.input_ids, part.attention_mask, part.columns, temperature))
        tokens = int(batch.attention_mask.sum())
        phase.tokens += tokens
    meter.forward(policy.parameters, tokens)
    return torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces])
