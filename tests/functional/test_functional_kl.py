"""Expected values and gradients of the KL estimators, by enumeration on a five-way softmax (axis 1 of the design)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from rlbench.functional.kl import k1, k2, k3

repeatable = settings(derandomize=True, deadline=None)


@pytest.fixture
def logits(random):
    return torch.randn(5, generator=random, dtype=torch.float64).requires_grad_()


@pytest.fixture
def reference(random):
    return torch.log_softmax(torch.randn(5, generator=random, dtype=torch.float64), -1)


def gradient(value, logits):
    return torch.autograd.grad(value, logits)[0]


def forward_kl(logits, reference):
    """KL(policy || reference)."""
    return kl_divergence(Categorical(logits=logits), Categorical(logits=reference))


def reverse_kl(logits, reference):
    """KL(reference || policy)."""
    return kl_divergence(Categorical(logits=reference), Categorical(logits=logits))


@repeatable
@given(st.floats(-20, 20))
def test_k3_is_never_negative_and_zero_only_at_zero(log_ratio):
    x = torch.tensor(log_ratio, dtype=torch.float64)
    assert float(k3(x)) >= 0
    assert abs(log_ratio) < 1e-6 or float(k3(x)) > 0


@repeatable
@given(st.floats(-20, 20).filter(lambda x: abs(x) > 1e-3))
def test_near_the_reference_all_squares_agree_and_far_away_k3_tells_the_sides_apart(log_ratio):
    x = torch.tensor(log_ratio, dtype=torch.float64)
    assert float(k2(x)) == float(k2(-x)) >= 0
    assert float(k1(x)) == -float(k1(-x))
    assert float(k3(x)) <= float(k2(x)) if log_ratio >= 0 else float(k3(x)) >= float(k2(x))
    small = x / 2e4
    torch.testing.assert_close(k3(small), k2(small), rtol=1e-3, atol=1e-18)


def test_k3_keeps_its_precision_near_zero():
    x = torch.tensor([1e-3, -1e-3, 1e-4], dtype=torch.float32)
    torch.testing.assert_close(k3(x), x**2 / 2, rtol=2e-3, atol=1e-10)


def test_both_estimate_the_divergence_without_bias(logits, reference):
    logprobs = torch.log_softmax(logits, -1)
    for estimator in (k1, k3):
        expected = (logprobs.exp() * estimator(logprobs - reference)).sum()
        torch.testing.assert_close(expected, forward_kl(logits, reference))


def test_k1_in_the_loss_does_not_regularise(logits, reference):
    logprobs = torch.log_softmax(logits, -1)
    expected = (logprobs.detach().exp() * k1(logprobs - reference)).sum()
    assert float(gradient(expected, logits).abs().max()) < 1e-15


def test_k2_in_the_loss_follows_the_divergence_though_it_is_biased(logits, reference):
    logprobs = torch.log_softmax(logits, -1)
    value = (logprobs.detach().exp() * k2(logprobs - reference)).sum()
    torch.testing.assert_close(gradient(value, logits), gradient(forward_kl(logits, reference), logits))
    assert abs(float(value.detach() - forward_kl(logits, reference).detach())) > 1e-2


def test_k3_in_the_loss_follows_the_other_divergence(logits, reference):
    logprobs = torch.log_softmax(logits, -1)
    found = gradient((logprobs.detach().exp() * k3(logprobs - reference)).sum(), logits)
    torch.testing.assert_close(found, gradient(reverse_kl(logits, reference), logits))
    assert float((found - gradient(forward_kl(logits, reference), logits)).abs().max()) > 1e-2


def test_k3_times_the_ratio_follows_the_divergence(logits, reference):
    logprobs = torch.log_softmax(logits, -1)
    ratio = (logprobs - logprobs.detach()).exp()
    found = gradient((logprobs.detach().exp() * ratio * k3(logprobs - reference)).sum(), logits)
    torch.testing.assert_close(found, gradient(forward_kl(logits, reference), logits))


@pytest.mark.parametrize("estimator", [k1, k2, k3])
def test_only_k1_in_the_reward_follows_the_divergence(logits, reference, estimator):
    logprobs = torch.log_softmax(logits, -1)
    penalty = estimator(logprobs - reference).detach()
    found = gradient((logprobs.detach().exp() * logprobs * penalty).sum(), logits)
    distances = [
        float((found - gradient(kl(logits, reference), logits)).abs().max()) for kl in (forward_kl, reverse_kl)
    ]
    assert (distances[0] < 1e-14) == (estimator is k1)
    assert distances[1] > 1e-2


def test_gradients_against_finite_differences(random):
    x = torch.randn(6, generator=random, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(k1, (x,))
    assert torch.autograd.gradcheck(k2, (x,))
    assert torch.autograd.gradcheck(k3, (x,))
