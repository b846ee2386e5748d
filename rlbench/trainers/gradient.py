"""The usual update: several passes of AdamW steps over a rollout batch, for the policy and perhaps a critic."""

from __future__ import annotations

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import Experience, OnlineAlgorithm, Prediction, Rollouts, Targets
from rlbench.policies.padding import TokenBatch
from rlbench.policies.value_head import Critic
from rlbench.rollouts.meter import Meter
from rlbench.seeding import stream
from rlbench.trainers.trainer import Job, Learner, Progress, Tally


class GradientUpdate:
    """Policy and critic with their optimizers."""

    def __init__(self, algorithm: OnlineAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        options = algorithm.options
        self.steps = options.epochs * options.minibatches
        total = job.batches * self.steps
        self.actor = Learner(job.policy.model, options.learning_rate, options, total)
        self.critic: Critic | None = None
        self.critic_learner: Learner | None = None
        if "critic" in algorithm.needs:
            rate = float(getattr(options, "value_learning_rate", options.learning_rate))
            self.critic = Critic(job.policy)
            self.critic_learner = Learner(self.critic, rate, options, total)

    def __call__(self, batch: TokenBatch, rollouts: Rollouts, progress: Progress, step: int) -> dict[str, float]:
        """Take all optimizer steps on one rollout batch; return the diagnostics' means over the steps."""
        options = self.algorithm.options
        targets = self.algorithm.targets(rollouts)
        parts = [rows for epoch in range(options.epochs) for rows in self._minibatches(len(batch.mask), step, epoch)]
        # A minibatch without a token that counts would only follow AdamW's momentum.
        plan = [(number, rows) for number, rows in enumerate(parts) if bool(targets.mask[rows].any())]
        tally = Tally(len(plan))
        taken = step * self.steps
        rate = self.actor.learning_rate(taken)
        for number, rows in plan:
            self._optimizer_step(batch, rollouts, targets, rows, progress, taken + number, tally)
        found = tally.result() | {"learning_rate": rate}
        if targets.returns is not None and rollouts.values is not None:
            found["value_explained_variance"] = _explained(rollouts.values, targets.returns, targets.mask)
        if targets.next_beta is not None:
            found["beta"] = options.beta if rollouts.beta is None else rollouts.beta
            progress.beta = targets.next_beta
        return found

    def _minibatches(self, sequences: int, step: int, epoch: int) -> list[Tensor]:
        """Rows of every optimizer step of a pass, in a new order each time."""
        random = stream(self.job.seed, self.job.task, "minibatches", step, epoch)
        order = torch.from_numpy(random.permutation(sequences)).to(self.job.policy.device)
        return list(order.tensor_split(self.algorithm.options.minibatches))

    def _optimizer_step(
        self,
        batch: TokenBatch,
        rollouts: Rollouts,
        targets: Targets,
        rows: Tensor,
        progress: Progress,
        taken: int,
        tally: Tally,
    ) -> None:
        job, meter = self.job, progress.meter
        temperature = job.logprob_temperature(self.algorithm.options)
        with meter.phase("update", job.policy.device) as phase:
            weights = torch.zeros_like(rollouts.mask, dtype=torch.float32)
            weights[rows] = self.algorithm.weights(targets.mask[rows], rollouts.max_new_tokens)
            for start in range(0, len(rows), self.algorithm.options.micro_batch_size):
                index = rows[start : start + self.algorithm.options.micro_batch_size]
                part = batch.rows(index)
                logprobs = job.policy.logprobs(part.input_ids, part.attention_mask, part.columns, temperature)
                prediction = Prediction(logprobs, self._values(part))
                loss, found = self.algorithm.loss(prediction, experience(rollouts, targets, weights, index))
                loss.backward()  # type: ignore[no-untyped-call]
                tally.add({"loss": loss, **found})
                tokens = int(part.attention_mask.sum())
                phase.tokens += tokens
                meter.forward_backward(job.policy.parameters * (2 if self.critic else 1), tokens)
                meter.trained_tokens += int(part.mask.sum())
            tally.add({"grad_norm": self.actor.step(taken, progress.step)})
            if self.critic_learner is not None:
                tally.add({"value_grad_norm": self.critic_learner.step(taken, progress.step)})
            meter.optimizer_steps += 1

    def values(self, batch: TokenBatch, meter: Meter) -> Tensor | None:
        """Values [B, T] of the critic before the update; None without a critic."""
        if self.critic is None:
            return None
        with torch.no_grad(), meter.phase("logprob", self.job.policy.device):
            parts = [self._values(part) for part in batch.slices(self.algorithm.options.micro_batch_size)]
        meter.forward(self.job.policy.parameters, int(batch.attention_mask.sum()))
        return torch.cat([part for part in parts if part is not None])

    def _values(self, part: TokenBatch) -> Tensor | None:
        if self.critic is None:
            return None
        values: Tensor = self.critic(part.input_ids, part.attention_mask, part.columns)
        return values

    def tensors(self) -> dict[str, Tensor]:
        """Weights and optimizer moments, for a checkpoint."""
        critic = {} if self.critic_learner is None else self.critic_learner.tensors("critic")
        return self.actor.tensors("policy") | critic

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        self.actor.restore("policy", tensors)
        if self.critic_learner is not None:
            self.critic_learner.restore("critic", tensors)


def experience(rollouts: Rollouts, targets: Targets, weights: Tensor, index: Tensor) -> Experience:
    """The rows of a rollout batch named by `index` [b]; `weights` [B, T] are those of the optimizer step."""
    return Experience(
        mask=targets.mask[index],
        weights=weights[index],
        old_logprobs=rollouts.old_logprobs[index],
        reference_logprobs=rollouts.reference_logprobs[index],
        advantages=targets.advantages[index],
        old_values=None if rollouts.values is None else rollouts.values[index],
        returns=None if targets.returns is None else targets.returns[index],
        total_weight=float(weights.sum()) or 1.0,
    )


def _explained(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """Share of the variance of the returns that the critic foresaw: 1 is all, 0 is none, below 0 is worse than none."""
    if not bool(mask.any()):
        return 0.0
    told, came = values[mask], returns[mask]
    spread = float(came.var(correction=0))
    return 1 - float((came - told).var(correction=0)) / spread if spread > 0 else 0.0
