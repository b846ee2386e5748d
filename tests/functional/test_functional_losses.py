import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from rlbench.functional.losses import (
    clipped_above,
    clipped_below,
    clipped_surrogate,
    clipped_value_loss,
    value_clipped,
)
from rlbench.functional.ratios import sequence_log_ratio, sequence_sum

repeatable = settings(derandomize=True, deadline=None)

LOW, HIGH = 0.2, 0.3
numbers = st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3)


def surrogate_and_gradient(log_ratio, advantage, dual_clip=None):
    x = torch.tensor(log_ratio, dtype=torch.float64, requires_grad=True)
    loss = clipped_surrogate(x, torch.tensor(advantage, dtype=torch.float64), LOW, HIGH, dual_clip)
    loss.backward()
    return loss.item(), x.grad.item()


@repeatable
@given(numbers, numbers, st.sampled_from([None, 1.5, 3.0]))
def test_an_element_is_marked_clipped_exactly_when_it_has_no_gradient(log_ratio, advantage, dual_clip):
    _, gradient = surrogate_and_gradient(log_ratio, advantage, dual_clip)
    x, a = torch.tensor(log_ratio, dtype=torch.float64), torch.tensor(advantage)
    below, above = bool(clipped_below(x, a, LOW)), bool(clipped_above(x, a, HIGH, dual_clip))
    assert (below or above) == (gradient == 0)
    assert not (below and above)
    assert not below or log_ratio < 0
    assert not above or log_ratio > 0


@repeatable
@given(numbers, numbers.filter(lambda x: x < 0), st.sampled_from([1.5, 3.0]))
def test_the_dual_clip_bounds_the_loss_of_a_bad_token(log_ratio, advantage, dual_clip):
    # Ye et al. 2020, equation 5: the objective of a negative advantage is at least c A
    loss, gradient = surrogate_and_gradient(log_ratio, advantage, dual_clip)
    without, slope = surrogate_and_gradient(log_ratio, advantage)
    assert loss == pytest.approx(min(without, -dual_clip * advantage))
    assert gradient == (0 if math.exp(log_ratio) > dual_clip else slope)


def test_the_dual_clip_leaves_good_tokens_alone(random):
    x = torch.randn(50, generator=random, dtype=torch.float64)
    advantages = torch.rand(50, generator=random, dtype=torch.float64)
    assert torch.equal(clipped_surrogate(x, advantages, LOW, HIGH, 1.5), clipped_surrogate(x, advantages, LOW, HIGH))


@repeatable
@given(numbers, numbers)
def test_where_it_is_not_clipped_it_is_the_plain_policy_gradient(log_ratio, advantage):
    loss, gradient = surrogate_and_gradient(log_ratio, advantage)
    plain = -math.exp(log_ratio) * advantage
    assert loss >= plain - 1e-12  # pessimistic: it never promises more than the ratio does
    if gradient != 0:
        assert loss == pytest.approx(plain)
        assert gradient == pytest.approx(plain)


@pytest.mark.parametrize(
    ("ratio", "advantage", "marked"),
    [(1.5, 1, True), (1.5, -1, False), (0.5, 1, False), (0.5, -1, True), (1.25, 1, False), (0.75, -1, True)],
)
def test_only_moves_that_went_far_enough_in_the_wanted_direction_are_clipped(ratio, advantage, marked):
    x, a = torch.tensor(math.log(ratio)), torch.tensor(float(advantage))
    assert bool(clipped_below(x, a, LOW) | clipped_above(x, a, HIGH)) is marked


def test_without_advantage_there_is_neither_loss_nor_gradient_nor_clipping(random):
    x = torch.randn(50, generator=random).requires_grad_()
    loss = clipped_surrogate(x, torch.zeros(50), LOW, HIGH)
    loss.sum().backward()
    assert loss.abs().max().item() == 0
    assert float(x.grad.abs().max()) == 0
    assert not bool(clipped_below(x, torch.zeros(50), LOW).any())
    assert not bool(clipped_above(x, torch.zeros(50), HIGH, 1.5).any())


def test_on_policy_the_gradient_is_minus_the_advantage(random):
    advantages = torch.randn(20, generator=random)
    x = torch.zeros(20, requires_grad=True)
    clipped_surrogate(x, advantages, 3e-4, 4e-4).sum().backward()
    assert torch.equal(x.grad, -advantages)


def test_the_sequence_ratio_of_one_token_is_its_token_ratio(random):
    log_ratio = torch.randn(5, 4, generator=random)
    mask = torch.tensor([[True, False, False, False]]).expand(5, 4)
    assert torch.equal(sequence_log_ratio(log_ratio, mask)[:, 0], log_ratio[:, 0])


def test_the_sequence_ratio_is_the_geometric_mean_of_the_token_ratios(random):
    log_ratio = torch.randn(3, 6, generator=random, dtype=torch.float64)
    lengths = [6, 2, 3]
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(-1)
    found = sequence_log_ratio(torch.where(mask, log_ratio, 1e3), mask).exp()
    for row, length in enumerate(lengths):
        expected = float(log_ratio[row, :length].exp().prod()) ** (1 / length)
        assert found[row].tolist() == pytest.approx([expected] * 6)


def test_a_sequence_sum_is_the_logarithm_of_a_product_of_chances(random):
    logprobs = -torch.rand(3, 6, generator=random, dtype=torch.float64)
    lengths = [6, 2, 3]
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(-1)
    found = sequence_sum(torch.where(mask, logprobs, 1e3), mask).exp()
    for row, length in enumerate(lengths):
        assert found[row].tolist() == pytest.approx([float(logprobs[row, :length].exp().prod())] * 6)


def test_published_sequence_ratio_of_a_uniform_shift():
    mask = torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(sequence_log_ratio(torch.full((2, 5), 0.3), mask), torch.full((2, 5), 0.3))


@repeatable
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_the_value_loss_is_squared_error_and_at_least_that(value, old, target):
    v, o, r = (torch.tensor(x, dtype=torch.float64) for x in (value, old, target))
    loss = float(clipped_value_loss(v, o, r, 0.2))
    assert loss >= 0.5 * (value - target) ** 2
    if abs(value - old) <= 0.2:
        assert loss == pytest.approx(0.5 * (value - target) ** 2)


@repeatable
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3), st.sampled_from([None, 0.2, 1.0]))
def test_a_value_is_marked_clipped_exactly_when_its_loss_has_no_gradient(value, old, target, clip):
    if abs(value - target) < 1e-3 or (clip and abs(abs(value - old) - clip) < 1e-3):
        return  # there is no gradient at the target itself, and a kink at the clip
    v = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    o, r = (torch.tensor(x, dtype=torch.float64) for x in (old, target))
    clipped_value_loss(v, o, r, clip).backward()
    assert bool(value_clipped(v.detach(), o, r, clip)) == (v.grad.item() == 0)


def test_without_a_clip_the_value_loss_is_half_the_squared_error(random):
    value, old, target = (torch.randn(20, generator=random, dtype=torch.float64) for _ in range(3))
    torch.testing.assert_close(clipped_value_loss(value, old, target, None), (value - target).square() / 2)
    torch.testing.assert_close(clipped_value_loss(value, old, target, 1e6), (value - target).square() / 2)


def test_a_value_that_moved_past_the_clip_towards_its_target_has_no_gradient():
    value = torch.tensor([0.5, 0.1, -0.5], dtype=torch.float64, requires_grad=True)
    clipped_value_loss(value, torch.zeros(3), torch.ones(3), 0.2).sum().backward()
    assert value.grad.tolist() == pytest.approx([0.0, 0.1 - 1, -0.5 - 1])


def test_gradients_against_finite_differences(random):
    x, a, v, o, r = (torch.randn(4, 6, generator=random, dtype=torch.float64) for _ in range(5))
    mask = torch.arange(6) < torch.tensor([[6], [1], [4], [2]])
    kinks = [math.log(1 - LOW), math.log(1 + HIGH), math.log(1.5)]
    assert min(float((x - kink).abs().min()) for kink in kinks) > 1e-4, "finite differences must not cross a kink"
    assert float(((v - o).abs() - 0.2).abs().min()) > 1e-4
    for tensor in (x, a, v):
        tensor.requires_grad_()
    assert gradcheck(lambda y: clipped_surrogate(y, a.detach(), LOW, HIGH), (x,))
    assert gradcheck(lambda y: clipped_value_loss(y, o, r, 0.2), (v,))
    assert gradcheck(lambda y: sequence_log_ratio(y, mask), (x,))
    assert gradcheck(lambda y: clipped_surrogate(sequence_log_ratio(y, mask), a.detach(), LOW, HIGH), (x,))
    assert gradcheck(lambda y: clipped_value_loss(y, o, r, None), (v,))
    assert gradcheck(lambda y: clipped_surrogate(y, a.detach(), LOW, HIGH, 1.5), (x,))


@pytest.mark.parametrize("advantage", [1.0, 0.0, -1.0])
def test_a_ratio_that_overflows_gives_neither_an_infinite_loss_nor_a_gradient_that_is_no_number(advantage):
    x = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = clipped_surrogate(x, torch.full((2,), advantage), LOW, HIGH)
    loss.sum().backward()
    assert bool(torch.isfinite(loss).all())
    assert bool(torch.isfinite(x.grad).all())
