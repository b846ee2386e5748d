"""Optimizer, schedule, clipping, and putting them back."""

import copy
import itertools

import pytest
import torch
from torch import nn

from rlbench.algorithms.options import Adam
from rlbench.errors import Diverged
from rlbench.trainers.trainer import Learner


def learner(total=20, module=None, **options):
    module = module or nn.Linear(3, 2)
    return Learner(module, 0.1, Adam(**options), total)


def backward(module, seed, scale=1.0):
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    (scale * module(x).pow(2).sum()).backward()


def test_the_linear_schedule_falls_from_the_peak_to_nothing():
    rates = [learner().learning_rate(taken) for taken in range(21)]
    assert rates[0] == 0.1
    assert rates[10] == pytest.approx(0.05)
    assert rates[20] == 0
    steps = [one - other for one, other in itertools.pairwise(rates)]
    assert steps == pytest.approx([steps[0]] * 20)


def test_the_constant_schedule_stays():
    assert {learner(schedule="constant").learning_rate(taken) for taken in range(21)} == {0.1}


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_warmup_rises_from_above_zero_to_the_peak(schedule):
    rates = [learner(schedule=schedule, warmup=0.25).learning_rate(taken) for taken in range(20)]
    assert rates[0] > 0
    assert rates[:6] == sorted(rates[:6])
    assert rates[5] == max(rates) == 0.1
    assert all(rate > 0 for rate in rates)


def test_gradients_are_clipped_to_the_norm_and_reported_before():
    one = learner(max_grad_norm=0.5)
    backward(one.module, 0)
    before = torch.cat([parameter.grad.flatten() for parameter in one.module.parameters()])
    seen = []
    one.optimizer.register_step_pre_hook(
        lambda *_: seen.append(torch.cat([parameter.grad.flatten() for parameter in one.module.parameters()]))
    )
    norm = one.step(0, 0)
    assert norm == pytest.approx(before.norm().item())
    assert norm > 0.5
    torch.testing.assert_close(seen[0], before * (0.5 / norm), rtol=1e-4, atol=1e-7)
    assert all(parameter.grad is None for parameter in one.module.parameters())


def test_a_gradient_that_is_not_finite_changes_nothing():
    one = learner()
    before = copy.deepcopy(one.module.state_dict())
    backward(one.module, 0, scale=float("inf"))
    with pytest.raises(Diverged, match="the gradient norm became nan at step 7") as caught:
        one.step(3, 7)
    assert caught.value.step == 7
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_what_is_put_back_goes_on_as_if_nothing_had_happened(steps):
    torch.manual_seed(0)
    first = learner(weight_decay=0.1)
    start = copy.deepcopy(first.module)
    for taken in range(steps):
        backward(first.module, taken)
        first.step(taken, taken)
    saved = {name: tensor.clone() for name, tensor in first.tensors("x").items()}
    second = learner(weight_decay=0.1, module=start)
    second.restore("x", {**saved, "other.weights.weight": torch.zeros(1)})
    for taken in range(steps, steps + 4):
        for one in (first, second):
            backward(one.module, taken)
            one.step(taken, taken)
    for a, b in zip(first.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)
