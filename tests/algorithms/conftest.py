"""Random rollout batches, and the loss of an optimizer step taken in any slices."""

from dataclasses import replace

import pytest
import torch

from rlbench.algorithms.algorithm import Experience, Prediction, Rollouts
from rlbench.trainers.trainer import Tally

torch.set_num_threads(1)


@pytest.fixture
def random():
    return torch.Generator().manual_seed(20240607)


@pytest.fixture
def rollouts(random):
    """Rollouts of the given lengths, with groups of `group_size` and random log-probabilities, values and rewards."""

    def make(lengths, group_size=4):
        batch, columns = len(lengths), max(lengths)
        mask = torch.arange(columns) < torch.tensor(lengths).unsqueeze(-1)

        def draw(scale):
            return scale * torch.randn(batch, columns, generator=random, dtype=torch.float64)

        old = -1 + draw(0.3)
        rewards = torch.randn(batch, generator=random, dtype=torch.float64)
        truncated = mask.sum(-1) == columns
        return Rollouts(mask, old, old + draw(0.2), rewards, truncated, group_size, columns, draw(0.5))

    return make


@pytest.fixture
def step():
    """Loss, diagnostics and gradient [B, T] of one optimizer step on all rollouts, computed in `slices` of rows."""

    def run(algorithm, rollouts, logprobs, values=None, slices=None, targets=None):
        targets = targets or algorithm.targets(rollouts)
        logprobs = logprobs.detach().clone().requires_grad_()
        values = rollouts.values.detach().clone() if values is None else values.detach().clone()
        values.requires_grad_()
        weights = algorithm.weights(targets.mask, rollouts.max_new_tokens)
        total, tally = 0.0, Tally(1)
        for rows in slices or [torch.arange(len(logprobs))]:
            experience = Experience(
                mask=targets.mask[rows],
                weights=weights[rows],
                old_logprobs=rollouts.old_logprobs[rows],
                reference_logprobs=rollouts.reference_logprobs[rows],
                advantages=targets.advantages[rows],
                old_values=rollouts.values[rows],
                returns=None if targets.returns is None else targets.returns[rows],
                total_weight=float(weights.sum()),
            )
            loss, found = algorithm.loss(Prediction(logprobs[rows], values[rows]), experience)
            loss.backward()
            total += loss.item()
            tally.add(found)
        value_gradient = torch.zeros_like(values) if values.grad is None else values.grad
        return total, tally.result(), logprobs.grad, value_gradient

    return run


@pytest.fixture
def pad():
    """Append columns of garbage on the right."""

    def wider(rollouts, columns, garbage):
        rows = rollouts.mask.shape[0]

        def extend(tensor):
            return torch.cat([tensor, torch.full((rows, columns), garbage, dtype=tensor.dtype)], dim=-1)

        mask = torch.cat([rollouts.mask, torch.zeros((rows, columns), dtype=torch.bool)], dim=-1)
        return replace(
            rollouts,
            mask=mask,
            old_logprobs=extend(rollouts.old_logprobs),
            reference_logprobs=extend(rollouts.reference_logprobs),
            values=extend(rollouts.values),
        )

    return wider
