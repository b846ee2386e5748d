import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from rlbench.functional.losses import clipped, clipped_surrogate, clipped_value_loss, dpo
from rlbench.functional.ratios import sequence_log_ratio

repeatable = settings(derandomize=True, deadline=None)

LOW, HIGH = 0.2, 0.3
numbers = st.floats(-2, 2).filter(lambda x: abs(x) > 1e-3)


def surrogate_and_gradient(log_ratio, advantage):
    x = torch.tensor(log_ratio, dtype=torch.float64, requires_grad=True)
    loss = clipped_surrogate(x, torch.tensor(advantage, dtype=torch.float64), LOW, HIGH)
    loss.backward()
    return loss.item(), x.grad.item()


@repeatable
@given(numbers, numbers)
def test_an_element_is_marked_clipped_exactly_when_it_has_no_gradient(log_ratio, advantage):
    _, gradient = surrogate_and_gradient(log_ratio, advantage)
    marked = clipped(torch.tensor(log_ratio, dtype=torch.float64), torch.tensor(advantage), LOW, HIGH)
    assert bool(marked) == (gradient == 0)


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
    found = clipped(torch.tensor(math.log(ratio)), torch.tensor(float(advantage)), LOW, HIGH)
    assert bool(found) is marked


def test_without_advantage_there_is_neither_loss_nor_gradient_nor_clipping(random):
    x = torch.randn(50, generator=random).requires_grad_()
    loss = clipped_surrogate(x, torch.zeros(50), LOW, HIGH)
    loss.sum().backward()
    assert loss.abs().max().item() == 0
    assert float(x.grad.abs().max()) == 0
    assert not bool(clipped(x, torch.zeros(50), LOW, HIGH).any())


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


def test_a_value_that_moved_past_the_clip_towards_its_target_has_no_gradient():
    value = torch.tensor([0.5, 0.1, -0.5], dtype=torch.float64, requires_grad=True)
    clipped_value_loss(value, torch.zeros(3), torch.ones(3), 0.2).sum().backward()
    assert value.grad.tolist() == pytest.approx([0.0, 0.1 - 1, -0.5 - 1])


def test_dpo_is_ln_2_at_the_reference():
    for beta in (0.01, 0.1, 5.0):
        assert dpo(torch.zeros(3), torch.zeros(3), beta).tolist() == pytest.approx([math.log(2)] * 3)


@repeatable
@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0.01, 2))
def test_dpo_is_the_surprise_of_a_bradley_terry_model(chosen, rejected, beta):
    c, r = (torch.tensor([x], dtype=torch.float64) for x in (chosen, rejected))
    one, other = float(dpo(c, r, beta)), float(dpo(r, c, beta))
    assert math.exp(-one) + math.exp(-other) == pytest.approx(1)
    assert one - other == pytest.approx(-beta * (chosen - rejected), abs=1e-9)
    assert float(dpo(c + 3, r + 3, beta)) == pytest.approx(one)


def test_dpo_gradient_is_equation_7_of_the_paper():
    # Rafailov et al. 2023, section 4: weight beta * sigma(rejected reward - chosen reward), up for one, down for other
    chosen = torch.tensor([0.4, -2.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    dpo(chosen, rejected, 0.1).sum().backward()
    weight = 0.1 * torch.sigmoid(0.1 * (rejected - chosen)).detach()
    torch.testing.assert_close(chosen.grad, -weight)
    torch.testing.assert_close(rejected.grad, weight)


def test_dpo_stays_finite_far_from_the_reference():
    loss = dpo(torch.tensor([-1e4, 1e4]), torch.tensor([1e4, -1e4]), 0.1)
    assert loss.tolist() == pytest.approx([2000.0, 0.0])


def test_gradients_against_finite_differences(random):
    x, a, v, o, r = (torch.randn(4, 6, generator=random, dtype=torch.float64) for _ in range(5))
    mask = torch.arange(6) < torch.tensor([[6], [1], [4], [2]])
    kinks = [math.log(1 - LOW), math.log(1 + HIGH)]
    assert min(float((x - kink).abs().min()) for kink in kinks) > 1e-4, "finite differences must not cross a kink"
    assert float(((v - o).abs() - 0.2).abs().min()) > 1e-4
    for tensor in (x, a, v):
        tensor.requires_grad_()
    assert gradcheck(lambda y: clipped_surrogate(y, a.detach(), LOW, HIGH), (x,))
    assert gradcheck(lambda y: clipped_value_loss(y, o, r, 0.2), (v,))
    assert gradcheck(lambda y: sequence_log_ratio(y, mask), (x,))
    assert gradcheck(lambda y: clipped_surrogate(sequence_log_ratio(y, mask), a.detach(), LOW, HIGH), (x,))
    assert gradcheck(lambda c, d: dpo(c[:, 0], d[:, 0], 0.5), (x, a))
