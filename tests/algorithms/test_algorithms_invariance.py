"""Loss and gradient do not depend on how a batch is laid out or cut (identities of the design)."""

from dataclasses import fields, replace

import pytest
import torch

from rlbench.algorithms.algorithm import PairPrediction
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]
PER_TOKEN = ("mask", "old_logprobs", "reference_logprobs", "values")


@pytest.fixture
def batch(rollouts, moved):
    data = rollouts(LENGTHS)
    return data, moved(data.old_logprobs), moved(data.values)


def near(found, expected):
    """At most 1e-6 apart, relative to the largest element."""
    assert float((found - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def same(found, expected, rows=None, columns=slice(None)):
    loss, diagnostics, gradient, value_gradient = expected
    assert found[0] == pytest.approx(loss, rel=1e-6)
    assert found[1] == pytest.approx(diagnostics, rel=1e-6, abs=1e-9)
    rows = torch.arange(len(gradient)) if rows is None else rows
    near(found[2][:, columns], gradient[rows])
    near(found[3][:, columns], value_gradient[rows])


@pytest.mark.parametrize("size", [1, 3, 5])
def test_micro_batches_of_any_size_add_up_to_the_step(online, batch, step, size):
    data, new, values = batch
    whole = step(online, data, new, values)
    assert abs(whole[0]) > 1e-3
    assert float(whole[2].abs().max()) > 1e-3
    same(step(online, data, new, values, list(torch.arange(8).split(size))), whole)


def test_the_order_of_sequences_does_not_matter(online, batch, step, random, take):
    data, new, values = batch
    order = torch.cat([group * 4 + torch.randperm(4, generator=random) for group in (1, 0)])
    same(step(online, take(data, order), new[order], values[order]), step(online, data, new, values), order)


@pytest.mark.parametrize("garbage", [0.0, -40.0, 40.0])
def test_padding_columns_do_not_matter_whatever_stands_in_them(online, batch, step, pad, garbage):
    data, new, values = batch
    extra = torch.full((8, 3), -garbage, dtype=torch.float64)
    found = step(online, pad(data, 3, garbage), torch.cat([new, extra], -1), torch.cat([values, 2 * extra], -1))
    same(found, step(online, data, new, values), columns=slice(7))
    assert float(found[2][:, 7:].abs().max()) == 0
    assert float(found[3][:, 7:].abs().max()) == 0


def test_what_stands_after_the_end_of_a_completion_does_not_matter(online, batch, step):
    data, new, values = batch
    expected = step(online, data, new, values)
    assert float(expected[2][~data.mask].abs().max()) == 0
    assert float(expected[3][~data.mask].abs().max()) == 0
    other = replace(
        data,
        old_logprobs=torch.where(data.mask, data.old_logprobs, 30.0),
        reference_logprobs=torch.where(data.mask, data.reference_logprobs, -30.0),
        values=torch.where(data.mask, data.values, 1e3),
    )
    same(step(online, other, torch.where(data.mask, new, -9.0), torch.where(data.mask, values, -1e3)), expected)


def test_a_masked_batch_is_the_batch_of_its_parts(online, batch, step):
    """Every sequence alone and without padding, under the weights of the whole step, adds up to the step."""
    data, new, values = batch
    whole = step(online, data, new, values)
    targets = online.targets(data)
    weights = online.weights(targets.mask, data.max_new_tokens)
    total = 0.0
    for row, length in enumerate(LENGTHS):
        cut = slice(row, row + 1), slice(0, length)
        alone = replace(data, **{name: getattr(data, name)[cut] for name in PER_TOKEN})
        returns = None if targets.returns is None else targets.returns[cut]
        part = replace(targets, advantages=targets.advantages[cut], mask=targets.mask[cut], returns=returns)
        weighed = replace(online, weights=lambda mask, limit, cut=cut: weights[cut])
        loss, _, gradient, value_gradient = step(weighed, alone, new[cut], values[cut], targets=part)
        total += loss
        near(gradient, whole[2][cut])
        near(value_gradient, whole[3][cut])
    assert total == pytest.approx(whole[0], rel=1e-6)


def test_a_mean_over_each_micro_batch_would_depend_on_its_size(batch, step):
    """The defect that weights of the whole step avoid, so that the tests above can fail."""
    data, new, _ = batch
    algorithm = grpo(aggregation="token_mean", beta=0)
    targets = algorithm.targets(data)
    whole = step(algorithm, data, new, targets=targets)[2]
    apart = []
    for rows in torch.arange(8).split(3):
        piece = replace(data, **{name: getattr(data, name)[rows] for name in PER_TOKEN})
        part = replace(targets, advantages=targets.advantages[rows], mask=targets.mask[rows])
        apart.append(step(algorithm, piece, new[rows], targets=part)[2] / 3)
    assert float((torch.cat(apart) - whole).abs().max()) > 1e-2 * float(whole.abs().max())


@pytest.mark.parametrize("algorithm", [grpo(beta=0), gspo()], ids=["grpo", "gspo"])
def test_extreme_ratios_are_those_of_counted_tokens(algorithm, rollouts, step):
    data = rollouts([3, 1, 2, 2])
    _, found, _, _ = step(algorithm, data, data.old_logprobs + 0.25, slices=list(torch.arange(4).split(1)))
    assert found["ratio_min"] == pytest.approx(2.718281828**0.25)
    assert found["ratio_max"] == pytest.approx(2.718281828**0.25)


def test_a_micro_batch_of_truncated_completions_only_leaves_the_extremes_alone(rollouts, step):
    data = rollouts([3, 1, 2, 2])
    algorithm = grpo(beta=0, truncated="mask")
    slices = list(torch.arange(4).split(1))
    _, found, _, _ = step(algorithm, data, data.old_logprobs + 0.25, slices=slices)
    assert found["ratio_min"] == pytest.approx(2.718281828**0.25)
    nothing = replace(data, truncated=torch.ones(4, dtype=torch.bool))
    loss, found, gradient, _ = step(algorithm, nothing, data.old_logprobs + 0.25, slices=slices)
    assert loss == 0
    assert float(gradient.abs().max()) == 0
    assert "ratio_min" not in found


@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_of_pairs_add_up_in_any_order(preference, pairs, random, size):
    data = pairs(6)
    data.chosen.requires_grad_()
    data.rejected.requires_grad_()
    whole, expected = preference.loss(data, 6)
    gradients = torch.autograd.grad(whole, (data.chosen, data.rejected))
    total, diagnostics = 0.0, dict.fromkeys(expected, 0.0)
    for rows in torch.randperm(6, generator=random).split(size):
        part = PairPrediction(**{field.name: getattr(data, field.name)[rows] for field in fields(data)})
        loss, found = preference.loss(part, 6)
        loss.backward()
        total += loss.item()
        for name in found:
            diagnostics[name] += found[name].item()
    assert total == pytest.approx(whole.item(), rel=1e-6)
    assert diagnostics == pytest.approx({name: value.item() for name, value in expected.items()})
    near(data.chosen.grad, gradients[0])
    near(data.rejected.grad, gradients[1])
