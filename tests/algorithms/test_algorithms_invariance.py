"""Loss and gradient do not depend on how a batch is laid out or cut (identities of the design)."""

from dataclasses import replace

import pytest
import torch

from rlbench.algorithms.algorithm import PairPrediction
from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.ppo import ppo

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]
ONLINE = [ppo, grpo, gspo, lambda: gspo(clip_low=0.2, clip_high=0.2), lambda: ppo(whiten_advantages=False, lam=1.0)]
IDENTICAL = {"atol": 1e-7, "rtol": 1e-6}


@pytest.fixture(params=ONLINE, ids=["ppo", "grpo", "gspo", "gspo-wide", "ppo-plain"])
def algorithm(request):
    return request.param()


@pytest.fixture
def batch(rollouts, random):
    data = rollouts(LENGTHS)
    new = data.old_logprobs + 0.3 * torch.randn(data.mask.shape, generator=random, dtype=torch.float64)
    values = data.values + 0.3 * torch.randn(data.mask.shape, generator=random, dtype=torch.float64)
    return data, new, values


def same(found, expected, rows=None, columns=slice(None)):
    loss, diagnostics, gradient, value_gradient = expected
    assert found[0] == pytest.approx(loss, rel=1e-6, abs=1e-9)
    assert found[1] == pytest.approx(diagnostics, rel=1e-6, abs=1e-9)
    rows = torch.arange(len(gradient)) if rows is None else rows
    torch.testing.assert_close(found[2][:, columns], gradient[rows], **IDENTICAL)
    torch.testing.assert_close(found[3][:, columns], value_gradient[rows], **IDENTICAL)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_micro_batches_of_any_size_add_up_to_the_step(algorithm, batch, step, size):
    rollouts, new, values = batch
    whole = step(algorithm, rollouts, new, values)
    assert abs(whole[0]) > 1e-3
    assert float(whole[2].abs().max()) > 1e-3
    same(step(algorithm, rollouts, new, values, list(torch.arange(8).split(size))), whole)


def test_the_order_of_sequences_does_not_matter(algorithm, batch, step, random):
    rollouts, new, values = batch
    order = torch.cat([group * 4 + torch.randperm(4, generator=random) for group in (1, 0)])
    moved = replace(
        rollouts,
        mask=rollouts.mask[order],
        old_logprobs=rollouts.old_logprobs[order],
        reference_logprobs=rollouts.reference_logprobs[order],
        rewards=rollouts.rewards[order],
        values=rollouts.values[order],
    )
    same(step(algorithm, moved, new[order], values[order]), step(algorithm, rollouts, new, values), order)


@pytest.mark.parametrize("garbage", [0.0, -40.0, 40.0])
def test_padding_columns_do_not_matter_whatever_stands_in_them(algorithm, batch, step, pad, garbage):
    rollouts, new, values = batch
    extra = torch.full((8, 3), -garbage, dtype=torch.float64)
    found = step(algorithm, pad(rollouts, 3, garbage), torch.cat([new, extra], -1), torch.cat([values, 2 * extra], -1))
    same(found, step(algorithm, rollouts, new, values), columns=slice(7))
    assert float(found[2][:, 7:].abs().max()) == 0
    assert float(found[3][:, 7:].abs().max()) == 0


def test_tokens_after_the_end_of_a_completion_get_no_gradient(algorithm, batch, step):
    rollouts, new, values = batch
    _, _, gradient, value_gradient = step(algorithm, rollouts, new, values)
    assert float(gradient[~rollouts.mask].abs().max()) == 0
    assert float(value_gradient[~rollouts.mask].abs().max()) == 0


def test_gradients_against_finite_differences(algorithm, batch):
    from rlbench.algorithms.algorithm import Experience, Prediction

    rollouts, new, values = batch
    targets, weights = algorithm.targets(rollouts), algorithm.weights(rollouts.mask, rollouts.max_new_tokens)
    experience = Experience(
        rollouts.mask,
        weights,
        rollouts.old_logprobs,
        rollouts.reference_logprobs,
        targets.advantages,
        rollouts.values,
        targets.returns,
    )
    new.requires_grad_()
    values.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda logprobs, v: algorithm.loss(Prediction(logprobs, v), experience)[0], (new, values), atol=1e-7
    )


@pytest.mark.parametrize("size", [1, 2, 6])
def test_dpo_micro_batches_add_up_in_any_order(random, size):
    algorithm = dpo()
    numbers = [torch.randn(6, generator=random, dtype=torch.float64).requires_grad_() for _ in range(4)]
    whole, expected = algorithm.loss(PairPrediction(*numbers), 6)
    whole.backward()
    gradients = [numbers[0].grad.clone(), numbers[1].grad.clone()]
    for tensor in numbers:
        tensor.grad = None
    total, diagnostics = 0.0, dict.fromkeys(expected, 0.0)
    for rows in torch.randperm(6, generator=random).split(size):
        loss, found = algorithm.loss(PairPrediction(*[tensor[rows] for tensor in numbers]), 6)
        loss.backward()
        total += loss.item()
        for name in found:
            diagnostics[name] += found[name].item()
    assert total == pytest.approx(whole.item())
    assert diagnostics == pytest.approx({name: value.item() for name, value in expected.items()})
    for tensor, gradient in zip(numbers[:2], gradients, strict=True):
        torch.testing.assert_close(tensor.grad, gradient)
