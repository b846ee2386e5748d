"""Samples completions for a batch of prompts and lets the reward judge them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlbench.functional.advantages import tells_apart
from rlbench.policies.causal_lm import Policy
from rlbench.policies.generation import Completion, generate
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.records import Candidate, Rewards, Sample
from rlbench.rollouts.meter import Meter
from rlbench.seeding import derive

Reward = Callable[[Sequence[Candidate]], Rewards]
"""A grader in the role of the reward."""


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
    texts: list[str]
    rewards: list[float]
    parts: dict[str, list[float]]
    """What else the grader measured, by column."""
    gold: list[float]
    """Gold rewards, NaN where a completion has none; empty where there is none beside the reward."""

    def batch(self, pad: int, device: torch.device) -> TokenBatch:
        """All sequences as padded tensors."""
        return token_batch(self.prompts, [completion.tokens for completion in self.completions], pad, device)

    def digest(self) -> str:
        """sha256 over the sampled tokens: equal digests mean equal rollouts."""
        tokens = repr([completion.tokens for completion in self.completions])
        return hashlib.sha256(tokens.encode()).hexdigest()

    def rows(self, index: Sequence[int]) -> Collected:
        """The completions named by `index`."""
        return Collected(
            [self.prompts[row] for row in index],
            [self.completions[row] for row in index],
            [self.texts[row] for row in index],
            [self.rewards[row] for row in index],
            {name: [values[row] for row in index] for name, values in self.parts.items()},
            [self.gold[row] for row in index] if self.gold else [],
        )

    def __add__(self, other: Collected) -> Collected:
        return Collected(
            self.prompts + other.prompts,
            self.completions + other.completions,
            self.texts + other.texts,
            self.rewards + other.rewards,
            {name: values + other.parts[name] for name, values in self.parts.items()},
            self.gold + other.gold,
        )

    def statistics(self, group_size: int) -> dict[str, float]:
        """Diagnostics of the batch under the names used in training curves."""
        rewards = torch.tensor(self.rewards, dtype=torch.float64)
        lengths = [len(completion.tokens) for completion in self.completions]
        equal = ~tells_apart(rewards, group_size)
        found = {
            "reward_mean": float(rewards.mean()),
            "reward_std": float(rewards.std()) if len(rewards) > 1 else 0.0,
            "zero_variance_groups": float(equal.double().mean()),
            "length_mean": sum(lengths) / len(lengths),
            "length_max": float(max(lengths)),
            "truncated_fraction": sum(completion.truncated for completion in self.completions) / len(lengths),
            "empty_fraction": sum(not text.strip() for text in self.texts) / len(lengths),
        }
        if (gold := mean_of_known(self.gold)) is not None:
            found["gold_mean"] = gold
        for name, values in self.parts.items():
            if (part := mean_of_known(values)) is not None:
                found[f"reward_part_{name}"] = part
        return found


def mean_of_known(values: Sequence[float]) -> float | None:
    """The mean of the values that are numbers; None without any."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else None


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
    gold: Reward | None = None,
) -> Collected:
    """Sample completions of every prompt, judge them, and charge both to the meter.

    `gold` judges them too. Training learns nothing from it, and it costs neither reward calls nor training seconds.
    """
    count = sampling.completions_per_prompt
    with meter.phase("rollout", policy.device) as phase:
        prompts = [policy.encode_prompt(sample.prompt) for sample in samples]
        completions = generate(policy, prompts, count, sampling.max_new_tokens, sampling.temperature, generator)
        generated = sum(len(completion.tokens) for completion in completions)
        phase.tokens += generated
    with meter.phase("reward", policy.device) as phase:
        texts = [policy.decode(completion.tokens) for completion in completions]
        candidates = [
            Candidate(
                samples[row // count],
                text,
                row % count,
                {"tokens": float(len(completion.tokens)), "truncated": float(completion.truncated)},
            )
            for row, (text, completion) in enumerate(zip(texts, completions, strict=True))
        ]
        rewards = reward(candidates)
        phase.tokens += generated
    meter.prompts += len(samples)
    meter.completions += len(completions)
    meter.generated_tokens += generated
    meter.reward_calls += len(completions)
    meter.forward(policy.parameters, sum(len(prompt) for prompt in prompts) + generated)
    repeated = [prompt for prompt in prompts for _ in range(count)]
    parts = {name: list(values) for name, values in rewards.parts.items()}
    measured: list[float] = []
    if gold is not None:
        with meter.phase("gold", policy.device) as phase:
            measured = list(gold(candidates).values)
            phase.tokens += generated
    return Collected(repeated, completions, texts, list(rewards.values), parts, measured)


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
