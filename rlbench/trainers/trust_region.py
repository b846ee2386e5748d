"""TRPO's update: one natural-gradient step per rollout batch, shortened until it keeps to the KL bound.

The Fisher matrix is that of the policy's whole distribution at every token, so products with it need a second
derivative; attention therefore runs in its plain form.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from rlbench.algorithms.algorithm import OnlineAlgorithm, Prediction, Rollouts
from rlbench.errors import Diverged
from rlbench.functional.logprobs import categorical_kl, token_logprobs
from rlbench.functional.masking import token_mean_weights
from rlbench.functional.natural_gradient import backtrack, natural_step
from rlbench.policies.padding import TokenBatch
from rlbench.rollouts.meter import Meter
from rlbench.trainers.gradient import experience
from rlbench.trainers.trainer import Job, Progress, Tally


class TrustRegionUpdate:
    """The policy's parameters as one vector."""

    def __init__(self, algorithm: OnlineAlgorithm, job: Job) -> None:
        self.algorithm = algorithm
        self.job = job
        self.parameters = [parameter for parameter in job.policy.model.parameters() if parameter.requires_grad]

    def __call__(self, batch: TokenBatch, rollouts: Rollouts, progress: Progress, step: int) -> dict[str, float]:
        """Take one step; return the diagnostics of the policy it led to."""
        options, meter = self.algorithm.options, progress.meter
        work = _Work(self.algorithm, self.job, batch, rollouts, meter)
        with meter.phase("update", self.job.policy.device) as phase, sdpa_kernel(SDPBackend.MATH):
            phase.tokens += int(batch.attention_mask.sum())
            before, _ = work.measure()
            gradient = -work.gradient(self.parameters)
            norm = float(gradient.norm())
            if not bool(torch.isfinite(gradient).all()):
                raise Diverged(f"the gradient norm became {norm} at step {progress.step}", progress.step)
            start = parameters_to_vector(self.parameters).detach().clone()
            full = natural_step(
                gradient,
                work.fisher_product(self.parameters),
                options.max_kl,
                options.cg_iterations,
                options.cg_damping,
            )

            def evaluate(share: float) -> tuple[float, float]:
                vector_to_parameters(start + share * full, self.parameters)
                now, divergence = work.measure()
                return before["loss"] - now["loss"], divergence

            share, gained, divergence = (0.0, 0.0, 0.0)
            if norm > 0:
                share, gained, divergence = backtrack(
                    evaluate, options.max_kl, options.line_search_steps, options.line_search_factor
                )
            vector_to_parameters(start + share * full, self.parameters)
            after, _ = work.measure()
        meter.optimizer_steps += 1
        meter.trained_tokens += int(batch.mask.sum())
        return after | {"grad_norm": norm, "step_share": share, "objective_gain": gained, "step_kl": divergence}

    def values(self, batch: TokenBatch, meter: Meter) -> Tensor | None:
        """TRPO's baseline is the group's mean: there is no critic."""
        return None

    def tensors(self) -> dict[str, Tensor]:
        """The weights; a natural-gradient step has no other state."""
        return {f"policy.weights.{name}": value for name, value in self.job.policy.model.named_parameters()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        for name, parameter in self.job.policy.model.named_parameters():
            parameter.copy_(tensors[f"policy.weights.{name}"])


class _Work:
    """Objective, gradient and Fisher products on one rollout batch, a few rows at a time."""

    def __init__(
        self, algorithm: OnlineAlgorithm, job: Job, batch: TokenBatch, rollouts: Rollouts, meter: Meter
    ) -> None:
        self.algorithm, self.job, self.batch, self.meter = algorithm, job, batch, meter
        self.rollouts = rollouts
        self.targets = algorithm.targets(rollouts)
        self.weights = algorithm.weights(self.targets.mask, rollouts.max_new_tokens)
        self.kl_weights = token_mean_weights(self.targets.mask)
        self.temperature = job.logprob_temperature(algorithm.options)
        order = torch.arange(batch.mask.shape[0], device=batch.mask.device)
        self.slices = torch.split(order, algorithm.options.micro_batch_size)
        with torch.no_grad():
            self.old_logits = [self._logits(index) for index in self.slices]

    def _logits(self, index: Tensor) -> Tensor:
        part = self.batch.rows(index)
        self._charge(1, index)
        return self.job.policy.logits(part.input_ids, part.attention_mask, part.columns)

    def _charge(self, passes: int, index: Tensor) -> None:
        """Charge the cost of so many forward passes over some rows."""
        self.meter.forward(passes * self.job.policy.parameters, int(self.batch.attention_mask[index].sum()))

    def _loss(self, logits: Tensor, index: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        part = self.batch.rows(index)
        logprobs = token_logprobs(logits, part.input_ids[:, -part.columns :], self.temperature)
        return self.algorithm.loss(Prediction(logprobs), experience(self.rollouts, self.targets, self.weights, index))

    def _divergence(self, old_logits: Tensor, logits: Tensor, index: Tensor) -> Tensor:
        return (categorical_kl(old_logits, logits, self.temperature) * self.kl_weights[index]).sum()

    @torch.no_grad()
    def measure(self) -> tuple[dict[str, float], float]:
        """Loss and diagnostics of the present policy, and the mean KL(π_old ‖ π) in nats per token."""
        tally, divergence = Tally(1), 0.0
        for index, old_logits in zip(self.slices, self.old_logits, strict=True):
            logits = self._logits(index)
            loss, found = self._loss(logits, index)
            tally.add({"loss": loss, **found})
            divergence += float(self._divergence(old_logits, logits, index))
        return tally.result(), divergence

    def gradient(self, parameters: list[Tensor]) -> Tensor:
        """Gradient of the loss, [parameters]."""
        total = torch.zeros_like(parameters_to_vector(parameters))
        for index in self.slices:
            loss, _ = self._loss(self._logits(index), index)
            total += parameters_to_vector(torch.autograd.grad(loss, parameters))
            self._charge(2, index)  # a backward pass costs two forward passes
        return total

    def fisher_product(self, parameters: list[Tensor]) -> Callable[[Tensor], Tensor]:
        """v ↦ F v with F the Hessian of the mean KL(π_old ‖ π) at π_old."""

        def product(vector: Tensor) -> Tensor:
            total = torch.zeros_like(vector)
            for index, old_logits in zip(self.slices, self.old_logits, strict=True):
                divergence = self._divergence(old_logits, self._logits(index), index)
                slope = parameters_to_vector(torch.autograd.grad(divergence, parameters, create_graph=True))
                total += parameters_to_vector(torch.autograd.grad(slope.dot(vector), parameters))
                self._charge(6, index)  # backward, and backward through both passes
            return total

        return product
