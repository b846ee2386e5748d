"""Steps on preference pairs, and the update that draws such pairs from every rollout batch (online DPO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import PairPrediction, PreferenceAlgorithm, Rollouts
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.rollouts.collect import frozen_logprobs
from rlbench.rollouts.meter import Meter
from rlbench.rollouts.preferences import draw_pairs
from rlbench.seeding import stream
from rlbench.trainers.trainer import Job, Learner, Progress, Tally


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a rejected completion, as token ids."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def pair_step(
    algorithm: PreferenceAlgorithm, job: Job, learner: Learner, pairs: Sequence[Pair], progress: Progress, taken: int
) -> dict[str, float]:
    """Take one optimizer step on `pairs`; return its diagnostics. `taken` steps of the plan came before."""
    options, meter, tally = algorithm.options, progress.meter, Tally(1)
    temperature = job.logprob_temperature(options)
    rate = learner.learning_rate(taken)
    for start in range(0, len(pairs), options.micro_batch_size):
        part = pairs[start : start + options.micro_batch_size]
        batch = _both_sides(part, job.policy.pad_token_id, job.policy.device)
        reference, _ = frozen_logprobs(job.reference, batch, temperature, 2 * len(part), meter)
        with meter.phase("update", job.policy.device) as phase:
            new = job.policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, temperature)
            loss, found = algorithm.loss(_prediction(new, reference, batch.mask), len(pairs))
            loss.backward()  # type: ignore[no-untyped-call]
            tokens = int(batch.attention_mask.sum())
            phase.tokens += tokens
        meter.forward_backward(job.policy.parameters, tokens)
        meter.trained_tokens += int(batch.mask.sum())
        tally.add({"loss": loss, **found})
    with meter.phase("update", job.policy.device):
        tally.add({"grad_norm": learner.step(taken, progress.step)})
    meter.optimizer_steps += 1
    return tally.result() | {"learning_rate": rate}


def _both_sides(pairs: Sequence[Pair], pad: int, device: torch.device) -> TokenBatch:
    """Chosen completions of all pairs, then the rejected ones, as one batch of 2 x len(pairs) sequences."""
    prompts = [pair.prompt for pair in pairs]
    completions = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    return token_batch(prompts + prompts, completions, pad, device)


def _prediction(new: Tensor, reference: Tensor, mask: Tensor) -> PairPrediction:
    chosen, rejected = (new * mask).sum(-1).chunk(2)
    reference_chosen, reference_rejected = (reference * mask).sum(-1).chunk(2)
    chosen_tokens, rejected_tokens = mask.sum(-1).chunk(2)
    return PairPrediction(chosen, rejected, reference_chosen, reference_rejected, chosen_tokens, rejected_tokens)


class PairUpdate:
    """The policy with its optimizer; every rollout batch gives pairs of its own completions."""

    def __init__(self, algorithm: PreferenceAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        options = algorithm.options
        self.steps = options.epochs * options.minibatches
        self.learner = Learner(job.policy.model, options.learning_rate, options, job.batches * self.steps)

    def __call__(self, batch: TokenBatch, rollouts: Rollouts, progress: Progress, step: int) -> dict[str, float]:
        """Take the optimizer steps on one rollout batch; return the diagnostics' means over them."""
        job, options = self.job, self.algorithm.options
        random = stream(job.seed, job.task, "pairs", step)
        prompts, completions = batch.sequences()
        indices = draw_pairs(rollouts.rewards.tolist(), rollouts.group_size, random, options.pairing)
        pairs = [Pair(prompts[chosen], completions[chosen], completions[rejected]) for chosen, rejected in indices]
        taken = step * self.steps
        tally = Tally(options.epochs * min(options.minibatches, len(pairs)))
        for epoch in range(options.epochs):
            order = stream(job.seed, job.task, "pair order", step, epoch).permutation(len(pairs))
            for number, rows in enumerate(torch.from_numpy(order).tensor_split(options.minibatches)):
                if len(rows):
                    chosen = [pairs[row] for row in rows.tolist()]
                    at = taken + epoch * options.minibatches + number
                    tally.add(pair_step(self.algorithm, job, self.learner, chosen, progress, at))
        return tally.result() | {"pairs": float(len(pairs)), "learning_rate": self.learner.learning_rate(taken)}

    def values(self, batch: TokenBatch, meter: Meter) -> Tensor | None:
        """Preference losses need no critic."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimizer moments, for a checkpoint."""
        return self.learner.tensors("policy")

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        self.learner.restore("policy", tensors)
