"""The online loop: sample a rollout batch, fix its targets, take several optimizer steps on it, repeat."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import Experience, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.functional.kl import k1, k3
from rlbench.functional.masking import masked_mean
from rlbench.policies.padding import TokenBatch
from rlbench.policies.value_head import Critic
from rlbench.rollouts.collect import Collected, collect, frozen_logprobs
from rlbench.rollouts.meter import Meter
from rlbench.seeding import stream
from rlbench.trainers.trainer import Job, Learner, Progress, Trained


class OnlineLoop:
    """State of one online run between rollout batches."""

    def __init__(self, algorithm: OnlineAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        options = algorithm.options
        steps = job.batches * options.epochs * options.minibatches
        self.actor = Learner(job.policy.model, options.learning_rate, options, steps)
        self.critic: Critic | None = None
        self.critic_learner: Learner | None = None
        if algorithm.needs_critic:
            rate = float(getattr(options, "value_learning_rate", options.learning_rate))
            self.critic = Critic(job.policy)
            self.critic_learner = Learner(self.critic, rate, options, steps)
        self.progress = Progress(0, Meter(), [])

    def run(self) -> Trained:
        """Train from the last checkpoint, or from the start, until the budget is spent."""
        self._resume()
        job, progress = self.job, self.progress
        while progress.step < job.batches:
            self._batch()
            progress.step += 1
            if progress.step % job.checkpoint_every == 0 and progress.step < job.batches:
                self._save()
        progress.log(progress.position(), dev_reward=job.dev_reward(job.policy, progress.step, progress.meter))
        return Trained(progress.curve, progress.meter, progress.rollouts_digest)

    def _batch(self) -> None:
        """One rollout batch: rollouts, targets, epochs of minibatches, one row of the curve."""
        job, progress, meter = self.job, self.progress, self.progress.meter
        step, position = progress.step, progress.position()
        dev = job.dev_reward(job.policy, step, meter) if step % job.dev_every == 0 else None
        collected = collect(
            job.policy, job.batch(step), job.sampling, job.reward, job.generator("rollouts", step), meter
        )
        progress.absorb(collected.digest())
        batch = collected.batch(job.policy.pad_token_id, job.policy.device)
        rollouts, entropies = self._rollouts(batch, collected)
        targets = self.algorithm.targets(rollouts)
        diagnostics = self._update(batch, rollouts, targets)
        groups = rollouts.rewards.view(-1, rollouts.group_size)
        log_ratio = rollouts.old_logprobs - rollouts.reference_logprobs
        sequences = batch.mask.shape[0]
        progress.log(
            position,
            **collected.statistics(),
            dev_reward=dev,
            kl_nats=float((k1(log_ratio) * batch.mask).sum()) / sequences,
            kl_k3_nats=float((k3(log_ratio) * batch.mask).sum()) / sequences,
            entropy=float(masked_mean(entropies, batch.mask)),
            zero_variance_groups=float((groups.amax(-1) == groups.amin(-1)).float().mean()),
            learning_rate=self.actor.learning_rate(meter.optimizer_steps),
            **diagnostics,
        )

    def _rollouts(self, batch: TokenBatch, collected: Collected) -> tuple[Rollouts, Tensor]:
        job, meter = self.job, self.progress.meter
        temperature, rows = job.sampling.temperature, self.algorithm.options.micro_batch_size
        old, entropies = frozen_logprobs(job.policy, batch, temperature, rows, meter)
        reference, _ = frozen_logprobs(job.reference, batch, temperature, rows, meter)
        values = None
        if self.critic is not None:
            with torch.no_grad(), meter.phase("logprob", job.policy.device):
                parts = [self._values(part) for part in batch.slices(rows)]
                values = torch.cat([part for part in parts if part is not None])
            meter.forward(job.policy.parameters, int(batch.attention_mask.sum()))
        rewards = torch.tensor(collected.rewards, dtype=torch.float32, device=job.policy.device)
        group = job.sampling.completions_per_prompt
        return Rollouts(batch.mask, old, reference, rewards, group, values), entropies

    def _values(self, part: TokenBatch) -> Tensor | None:
        if self.critic is None:
            return None
        values: Tensor = self.critic(part.input_ids, part.attention_mask, part.columns)
        return values

    def _update(self, batch: TokenBatch, rollouts: Rollouts, targets: Targets) -> dict[str, float]:
        """All optimizer steps on one rollout batch; returns the diagnostics' means over the steps."""
        options, progress = self.algorithm.options, self.progress
        totals: dict[str, float] = defaultdict(float)
        steps = options.epochs * options.minibatches
        for epoch in range(options.epochs):
            random = stream(self.job.seed, self.job.task, "minibatches", progress.step, epoch)
            order = torch.from_numpy(random.permutation(batch.mask.shape[0])).to(batch.mask.device)
            for rows in order.tensor_split(options.minibatches):
                for name, value in self._optimizer_step(batch, rollouts, targets, rows).items():
                    totals[name] += value / steps
        return dict(totals)

    def _optimizer_step(
        self, batch: TokenBatch, rollouts: Rollouts, targets: Targets, rows: Tensor
    ) -> dict[str, float]:
        job, meter = self.job, self.progress.meter
        totals: dict[str, float] = defaultdict(float)
        with meter.phase("update", job.policy.device) as phase:
            weights = torch.zeros_like(rollouts.old_logprobs)
            weights[rows] = self.algorithm.weights(rollouts.mask[rows])
            for start in range(0, len(rows), self.algorithm.options.micro_batch_size):
                index = rows[start : start + self.algorithm.options.micro_batch_size]
                part = batch.rows(index)
                logprobs = job.policy.logprobs(
                    part.input_ids, part.attention_mask, part.columns, job.sampling.temperature
                )
                prediction = Prediction(logprobs, self._values(part))
                loss, diagnostics = self.algorithm.loss(prediction, _experience(rollouts, targets, weights, index))
                loss.backward()  # type: ignore[no-untyped-call]
                for name, value in {"loss": loss, **diagnostics}.items():
                    totals[name] += float(value.detach())
                tokens = int(part.attention_mask.sum())
                phase.tokens += tokens
                meter.forward_backward(job.policy.parameters * (2 if self.critic else 1), tokens)
                meter.trained_tokens += int(part.mask.sum())
            totals["grad_norm"] = self.actor.step(meter.optimizer_steps, self.progress.step)
            if self.critic_learner is not None:
                totals["value_grad_norm"] = self.critic_learner.step(meter.optimizer_steps, self.progress.step)
            meter.optimizer_steps += 1
        return totals

    def _save(self) -> None:
        tensors = self.actor.tensors("policy")
        if self.critic_learner is not None:
            tensors |= self.critic_learner.tensors("critic")
        self.job.checkpoints.save(self.progress.step, tensors, self.progress.to_json())

    def _resume(self) -> None:
        checkpoint = self.job.checkpoints.latest()
        if checkpoint is None:
            return
        self.actor.restore("policy", checkpoint.tensors)
        if self.critic_learner is not None:
            self.critic_learner.restore("critic", checkpoint.tensors)
        self.progress = Progress.from_json(checkpoint.state)


def _experience(rollouts: Rollouts, targets: Targets, weights: Tensor, index: Tensor) -> Experience:
    return Experience(
        mask=rollouts.mask[index],
        weights=weights[index],
        old_logprobs=rollouts.old_logprobs[index],
        reference_logprobs=rollouts.reference_logprobs[index],
        advantages=targets.advantages[index],
        old_values=None if rollouts.values is None else rollouts.values[index],
        returns=None if targets.returns is None else targets.returns[index],
    )
