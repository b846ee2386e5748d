"""Losses on pairs: DPO, IPO and a reward model's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from rlbench.functional.losses import bradley_terry, dpo, ipo

repeatable = settings(derandomize=True, deadline=None)


def scalars(*values):
    return [torch.tensor([value], dtype=torch.float64) for value in values]


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


def test_a_wrong_label_with_probability_a_half_teaches_nothing_and_with_zero_it_is_dpo():
    chosen, rejected = torch.tensor([0.4, -2.0, 9.0]), torch.tensor([1.0, 3.0, -9.0])
    assert torch.equal(dpo(chosen, rejected, 0.3, 0.0), dpo(chosen, rejected, 0.3))
    assert torch.equal(dpo(chosen, rejected, 0.3, 0.5), dpo(rejected, chosen, 0.3, 0.5))


@repeatable
@given(st.floats(-20, 20), st.floats(0.01, 0.49), st.floats(0.05, 2))
def test_conservative_dpo_expects_the_loss_over_wrong_labels(margin, smoothing, beta):
    # Mitchell 2023, equation 3
    m, zero = scalars(margin, 0.0)
    right, wrong = (math.log1p(math.exp(sign * beta * margin)) for sign in (-1, 1))
    assert float(dpo(m, zero, beta, smoothing)) == pytest.approx((1 - smoothing) * right + smoothing * wrong)


@pytest.mark.parametrize("smoothing", [0.1, 0.3])
def test_conservative_dpo_stops_where_the_model_is_as_sure_as_the_label(smoothing):
    # Mitchell 2023: the gradient is 0 at sigma(beta h) = 1 - epsilon
    margin = torch.tensor([math.log((1 - smoothing) / smoothing) / 0.2], dtype=torch.float64, requires_grad=True)
    dpo(margin, torch.zeros(1), 0.2, smoothing).sum().backward()
    assert margin.grad.item() == pytest.approx(0, abs=1e-12)


@repeatable
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.05, 2))
def test_ipo_regresses_the_margin_on_half_the_inverse_of_tau(chosen, rejected, tau):
    c, r = scalars(chosen, rejected)
    target = 1 / (2 * tau)
    assert float(ipo(r + target, r, tau)) == pytest.approx(0, abs=1e-20)
    assert float(ipo(c, r, tau)) == pytest.approx(float(ipo(r + 2 * target, c, tau)))  # symmetric about the target
    assert float(ipo(c + 3, r + 3, tau)) == pytest.approx(float(ipo(c, r, tau)))


def test_published_ipo_loss_at_the_reference():
    # Azar et al. 2023, equation 17, at h = 0 and tau = 0.1
    assert ipo(torch.zeros(2), torch.zeros(2), 0.1).tolist() == pytest.approx([25.0, 25.0])


def test_a_reward_model_is_as_likely_as_its_labels():
    chosen, rejected = torch.tensor([0.3, -2.0, 7.0]), torch.tensor([1.1, -2.0, 1.0])
    chances = torch.sigmoid(chosen - rejected)
    torch.testing.assert_close(bradley_terry(chosen, rejected), -chances.log())
    assert bradley_terry(chosen, rejected)[1].item() == pytest.approx(math.log(2))
    torch.testing.assert_close(bradley_terry(chosen + 5, rejected + 5), bradley_terry(chosen, rejected))


def test_a_margin_asks_for_that_much_more():
    # Touvron et al. 2023, equation 2
    chosen, rejected = torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0])
    margin = torch.tensor([2.0, 0.5])
    torch.testing.assert_close(bradley_terry(chosen, rejected, margin), bradley_terry(chosen - margin, rejected))
    assert bradley_terry(chosen, rejected, margin)[0].item() == pytest.approx(math.log(2))


def test_centring_pulls_the_mean_reward_to_zero_and_not_the_difference():
    chosen = torch.tensor([4.0], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    extra = bradley_terry(chosen, rejected, centring=0.01) - bradley_terry(chosen, rejected)
    assert extra.item() == pytest.approx(0.36)
    extra.sum().backward()
    assert chosen.grad.item() == pytest.approx(rejected.grad.item())
    assert chosen.grad.item() > 0
    opposite = bradley_terry(torch.tensor([3.0]), torch.tensor([-3.0]), centring=5.0)
    assert opposite.item() == bradley_terry(torch.tensor([3.0]), torch.tensor([-3.0])).item()


def test_a_reward_models_loss_stays_finite_however_wrong_it_is():
    assert bradley_terry(torch.tensor([-1e4, 1e4]), torch.tensor([1e4, -1e4])).tolist() == [2e4, 0.0]


def test_gradients_against_finite_differences(random):
    c, r = (torch.randn(6, generator=random, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert gradcheck(lambda x, y: dpo(x, y, 0.5), (c, r))
    assert gradcheck(lambda x, y: dpo(x, y, 0.5, 0.2), (c, r))
    assert gradcheck(lambda x, y: ipo(x, y, 0.5), (c, r))
    assert gradcheck(lambda x, y: bradley_terry(x, y, 0.4, 0.3), (c, r))
