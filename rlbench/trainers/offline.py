"""The offline loop: draw preference pairs from the shared SFT policy once, then learn from them.

The pairs are drawn inside the run, on the prompts that the online algorithms see, labelled by the same reward, and
charged to the same budget.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import OfflineAlgorithm, PairPrediction
from rlbench.errors import InputError
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.rollouts.collect import collect, frozen_logprobs
from rlbench.rollouts.meter import Meter
from rlbench.rollouts.preferences import rank_pairs
from rlbench.seeding import stream
from rlbench.trainers.trainer import Job, Learner, Progress, Trained


@dataclass(frozen=True)
class Pair:
    """A prompt with a preferred and a rejected completion, as token ids."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


class OfflineLoop:
    """State of one preference-based run between optimizer steps."""

    def __init__(self, algorithm: OfflineAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        self.progress = Progress(0, Meter(), [])

    def run(self) -> Trained:
        """Draw the pairs, then train, each from its last checkpoint or from the start."""
        pairs = self._draw()
        job, options = self.job, self.algorithm.options
        if not pairs:
            raise InputError(
                f"no preference pair could be drawn for seed {job.seed}: in every group all completions got the same "
                f"reward; use a reward or prompts that tell completions apart"
            )
        per_epoch = -(-len(pairs) // options.batch_size)
        total = options.epochs * per_epoch
        self.learner = Learner(job.policy.model, options.learning_rate, options, total)
        self._resume()
        progress = self.progress
        first = job.batches  # rows of the curve before this one belong to the drawing of pairs
        while progress.step - first < total:
            self._optimizer_step(pairs, progress.step - first, per_epoch)
            progress.step += 1
            if (progress.step - first) % (4 * job.checkpoint_every) == 0 and progress.step - first < total:
                job.checkpoints.save(progress.step, self.learner.tensors("policy"), progress.to_json())
        progress.log(progress.position(), dev_reward=job.dev_reward(job.policy, progress.step, progress.meter))
        return Trained(progress.curve, progress.meter, progress.rollouts_digest)

    def _draw(self) -> list[Pair]:
        """Sample and label completions batch by batch; what was drawn before an interruption is kept."""
        job, pairs = self.job, list[Pair]()
        saved = job.preferences.latest()
        if saved is not None:
            self.progress = Progress.from_json(saved.state["progress"])
            pairs = [Pair(*pair) for pair in saved.state["pairs"]]
        progress = self.progress
        while progress.step < job.batches:
            pairs += self._draw_batch(progress.step)
            progress.step += 1
            if progress.step % job.checkpoint_every == 0 or progress.step == job.batches:
                state = [[pair.prompt, pair.chosen, pair.rejected] for pair in pairs]
                job.preferences.save(progress.step, {}, {"progress": progress.to_json(), "pairs": state})
        return pairs

    def _draw_batch(self, step: int) -> list[Pair]:
        job, progress = self.job, self.progress
        position = progress.position()
        dev = job.dev_reward(job.reference, step, progress.meter) if step % job.dev_every == 0 else None
        generator = job.generator("rollouts", step)
        collected = collect(job.reference, job.batch(step), job.sampling, job.reward, generator, progress.meter)
        progress.absorb(collected.digest())
        random = stream(job.seed, job.task, "pairs", step)
        indices = rank_pairs(collected.rewards, job.sampling.completions_per_prompt, random)
        progress.log(position, **collected.statistics(), dev_reward=dev, pairs=float(len(indices)))
        tokens = [list(completion.tokens) for completion in collected.completions]
        return [Pair(collected.prompts[chosen], tokens[chosen], tokens[rejected]) for chosen, rejected in indices]

    def _optimizer_step(self, pairs: Sequence[Pair], taken: int, per_epoch: int) -> None:
        job, options, meter = self.job, self.algorithm.options, self.progress.meter
        position, dev = self.progress.position(), None
        if taken % (4 * job.dev_every) == 0 and taken > 0:
            dev = job.dev_reward(job.policy, self.progress.step, meter)
        epoch, place = divmod(taken, per_epoch)
        order = stream(job.seed, job.task, "pair order", epoch).permutation(len(pairs))
        chosen = [pairs[index] for index in order[place * options.batch_size : (place + 1) * options.batch_size]]
        rate = self.learner.learning_rate(taken)
        totals: dict[str, float] = defaultdict(float)
        for start in range(0, len(chosen), options.micro_batch_size):
            part = chosen[start : start + options.micro_batch_size]
            batch = _both_sides(part, job.policy.pad_token_id, job.policy.device)
            reference, _ = frozen_logprobs(job.reference, batch, 1.0, 2 * len(part), meter)
            with meter.phase("update", job.policy.device) as phase:
                new = job.policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
                prediction = _prediction(new, reference, batch.mask)
                loss, diagnostics = self.algorithm.loss(prediction, len(chosen))
                loss.backward()  # type: ignore[no-untyped-call]
                tokens = int(batch.attention_mask.sum())
                phase.tokens += tokens
            meter.forward_backward(job.policy.parameters, tokens)
            meter.trained_tokens += int(batch.mask.sum())
            for name, value in {"loss": loss, **diagnostics}.items():
                totals[name] += float(value.detach())
        with meter.phase("update", job.policy.device):
            norm = self.learner.step(taken, self.progress.step)
        meter.optimizer_steps += 1
        self.progress.log(position, dev_reward=dev, grad_norm=norm, learning_rate=rate, **totals)

    def _resume(self) -> None:
        checkpoint = self.job.checkpoints.latest()
        if checkpoint is not None:
            self.learner.restore("policy", checkpoint.tensors)
            self.progress = Progress.from_json(checkpoint.state)


def _both_sides(pairs: Sequence[Pair], pad: int, device: torch.device) -> TokenBatch:
    """Chosen completions of all pairs, then the rejected ones, as one batch of 2 x len(pairs) sequences."""
    prompts = [pair.prompt for pair in pairs]
    completions = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    return token_batch(prompts + prompts, completions, pad, device)


def _prediction(new: Tensor, reference: Tensor, mask: Tensor) -> PairPrediction:
    chosen, rejected = (new * mask).sum(-1).chunk(2)
    reference_chosen, reference_rejected = (reference * mask).sum(-1).chunk(2)
    return PairPrediction(chosen, rejected, reference_chosen, reference_rejected)
