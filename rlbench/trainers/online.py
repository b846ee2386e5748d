"""The online loop: sample a rollout batch, learn from it, log what happened, repeat until the budget is spent."""

from __future__ import annotations

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import OnlineAlgorithm, PreferenceAlgorithm, Rollouts
from rlbench.functional.kl import k1, k3
from rlbench.functional.masking import masked_mean
from rlbench.policies.padding import TokenBatch
from rlbench.rollouts.collect import Collected, collect, frozen_logprobs
from rlbench.rollouts.meter import Meter
from rlbench.trainers.gradient import GradientUpdate
from rlbench.trainers.pairs import PairUpdate
from rlbench.trainers.trainer import Job, Progress, Trained, Update
from rlbench.trainers.trust_region import TrustRegionUpdate


class OnlineLoop:
    """State of one online run between rollout batches."""

    def __init__(self, algorithm: OnlineAlgorithm | PreferenceAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        self.update = _update(algorithm, job)
        self.progress = Progress(0, Meter(), [])

    def run(self) -> Trained:
        """Train from the last checkpoint, or from the start, until the budget is spent."""
        self._resume()
        job, progress = self.job, self.progress
        while progress.step < job.batches:
            before = progress.step
            self._batch()
            if progress.step // job.checkpoint_every > before // job.checkpoint_every and progress.step < job.batches:
                job.checkpoints.save(progress.step, self.update.tensors(), progress.to_json())
        progress.log(progress.position(), **job.dev_rewards(job.policy, progress.step, progress.meter))
        return Trained(progress.curve, progress.meter, progress.rollouts_digest)

    def _batch(self) -> None:
        """Draw completions until a batch is full, learn from them, and add a row to the curve."""
        job, progress, meter = self.job, self.progress, self.progress.meter
        position = progress.position()
        dev = job.dev_rewards(job.policy, progress.step, meter) if progress.due(job.dev_every) else {"dev_reward": None}
        drawn, kept, batches = self._draw()
        measured = drawn.statistics(job.sampling.completions_per_prompt)
        if len(kept) < len(drawn.rewards):
            measured["kept_fraction"] = len(kept) / len(drawn.rewards)
        if kept:
            collected = drawn.rows(kept)
            batch = collected.batch(job.policy.pad_token_id, job.policy.device)
            rollouts, entropies = self._rollouts(batch, collected)
            measured |= _distances(rollouts, entropies)
            measured |= self.update(batch, rollouts, progress, progress.step + batches - 1)
        progress.log(position, **dev, **measured)
        progress.step += batches

    def _draw(self) -> tuple[Collected, list[int], int]:
        """Everything that was drawn, the rows of it to learn from, and the number of rollout batches that it took."""
        job, progress = self.job, self.progress
        group, keep = job.sampling.completions_per_prompt, getattr(self.algorithm, "keep", None)
        drawn: Collected | None = None
        kept: list[int] = []
        for step in range(progress.step, job.batches):
            generator, meter = job.generator("rollouts", step), progress.meter
            collected = collect(job.policy, job.batch(step), job.sampling, job.reward, generator, meter, job.gold)
            progress.absorb(collected.digest())
            drawn = collected if drawn is None else drawn + collected
            if keep is None:
                kept = list(range(len(drawn.rewards)))
            else:
                groups = keep(torch.tensor(drawn.rewards), group).nonzero().flatten().tolist()
                kept = [index * group + member for index in groups for member in range(group)]
            if len(kept) >= job.prompts_per_batch * group:
                break
        assert drawn is not None, "a batch is drawn only while there is budget"
        return drawn, kept, step + 1 - progress.step

    def _rollouts(self, batch: TokenBatch, collected: Collected) -> tuple[Rollouts, Tensor]:
        """What is fixed before the update, and the entropy of every token [B, T]."""
        job, meter = self.job, self.progress.meter
        temperature, rows = job.logprob_temperature(self.algorithm.options), self.algorithm.options.micro_batch_size
        old, entropies = frozen_logprobs(job.policy, batch, temperature, rows, meter)
        reference, _ = frozen_logprobs(job.reference, batch, temperature, rows, meter)
        device = job.policy.device
        rollouts = Rollouts(
            mask=batch.mask,
            old_logprobs=old,
            reference_logprobs=reference,
            rewards=torch.tensor(collected.rewards, dtype=torch.float32, device=device),
            truncated=torch.tensor([each.truncated for each in collected.completions], device=device),
            group_size=job.sampling.completions_per_prompt,
            max_new_tokens=job.sampling.max_new_tokens,
            values=self.update.values(batch, meter),
            beta=self.progress.beta,
        )
        return rollouts, entropies

    def _resume(self) -> None:
        checkpoint = self.job.checkpoints.latest()
        if checkpoint is not None:
            self.update.restore(checkpoint.tensors)
            self.progress = Progress.from_json(checkpoint.state)


def _update(algorithm: OnlineAlgorithm | PreferenceAlgorithm, job: Job) -> Update:
    if isinstance(algorithm, PreferenceAlgorithm):
        return PairUpdate(algorithm, job)
    if algorithm.update == "trust_region":
        return TrustRegionUpdate(algorithm, job)
    return GradientUpdate(algorithm, job)


def _distances(rollouts: Rollouts, entropies: Tensor) -> dict[str, float]:
    """How far the policy that sampled is from the SFT policy, in nats per completion, and its entropy per token."""
    log_ratio = rollouts.old_logprobs - rollouts.reference_logprobs
    sequences = rollouts.mask.shape[0]
    return {
        "kl_nats": float((k1(log_ratio) * rollouts.mask).sum()) / sequences,
        "kl_k3_nats": float((k3(log_ratio) * rollouts.mask).sum()) / sequences,
        "entropy": float(masked_mean(entropies, rollouts.mask)),
    }
