import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torch.distributions import Categorical, kl_divergence

from rlbench.functional.logprobs import categorical_kl, entropy, token_logprobs


@pytest.fixture
def logits(random):
    return 4 * torch.randn(3, 5, 11, generator=random)


@pytest.fixture
def tokens(random):
    return torch.randint(11, (3, 5), generator=random)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
def test_log_probabilities_are_minus_the_cross_entropy(logits, tokens, temperature):
    expected = -F.cross_entropy((logits / temperature).flatten(0, 1), tokens.flatten(), reduction="none")
    torch.testing.assert_close(token_logprobs(logits, tokens, temperature).flatten(), expected)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
def test_entropy_is_that_of_torchs_categorical(logits, temperature):
    expected = Categorical(logits=logits / temperature).entropy()
    torch.testing.assert_close(entropy(logits, temperature), expected, atol=1e-5, rtol=1e-5)


def test_probabilities_of_all_tokens_sum_to_one(logits):
    every = torch.arange(11).expand(3, 5, 11)
    total = sum(token_logprobs(logits, every[..., token]).exp() for token in range(11))
    torch.testing.assert_close(total, torch.ones(3, 5))


def test_entropy_lies_between_zero_and_that_of_the_uniform_distribution(logits):
    assert bool((entropy(logits) >= 0).all())
    assert entropy(torch.zeros(1, 1, 11)).item() == pytest.approx(torch.log(torch.tensor(11.0)).item())
    sure = torch.zeros(1, 1, 11)
    sure[..., 3] = 1e4
    assert entropy(sure).item() == 0.0


def test_a_shift_of_the_logits_changes_nothing_even_a_large_one(logits, tokens):
    torch.testing.assert_close(
        token_logprobs(logits + 300, tokens), token_logprobs(logits, tokens), atol=1e-4, rtol=1e-4
    )
    assert bool(torch.isfinite(token_logprobs(logits * 1e6, tokens)).all())


def test_half_precision_logits_are_summed_in_float32(logits, tokens):
    half = logits.bfloat16()
    found = token_logprobs(half, tokens)
    assert found.dtype == torch.float32
    assert entropy(half).dtype == torch.float32
    assert torch.equal(found, token_logprobs(half.float(), tokens))


def test_double_precision_is_kept(logits, tokens):
    double = logits.double()
    for found in (token_logprobs(double, tokens), entropy(double), categorical_kl(double, double + 1)):
        assert found.dtype == torch.float64
    expected = -F.cross_entropy(double.flatten(0, 1), tokens.flatten(), reduction="none")
    torch.testing.assert_close(token_logprobs(double, tokens).flatten(), expected, atol=1e-14, rtol=1e-14)


def test_gradients_against_finite_differences(random):
    logits, other = (torch.randn(2, 2, 5, generator=random, dtype=torch.float64).requires_grad_() for _ in range(2))
    tokens = torch.randint(5, (2, 2), generator=random)
    for temperature in (1.0, 0.6):
        assert gradcheck(lambda x, t=temperature: token_logprobs(x, tokens, t), (logits,))
        assert gradcheck(lambda x, t=temperature: entropy(x, t), (logits,))
        assert gradcheck(lambda x, y, t=temperature: categorical_kl(x, y, t), (logits, other))


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
def test_the_divergence_is_that_of_torchs_categorical(logits, temperature, random):
    other = 4 * torch.randn(logits.shape, generator=random)
    expected = kl_divergence(Categorical(logits=logits / temperature), Categorical(logits=other / temperature))
    torch.testing.assert_close(categorical_kl(logits, other, temperature), expected, atol=1e-5, rtol=1e-5)
    assert float(categorical_kl(logits, logits + 3, temperature).abs().max()) < 1e-5


def test_at_equal_distributions_the_divergence_has_no_slope_and_the_fisher_matrix_as_curvature(random):
    logits = torch.randn(1, 1, 5, generator=random, dtype=torch.float64)
    flat = logits.flatten()

    def divergence(x):
        return categorical_kl(logits, x.view(1, 1, 5)).sum()

    assert float(torch.autograd.functional.jacobian(divergence, flat).abs().max()) < 1e-15
    chances = torch.softmax(flat, -1)
    fisher = torch.diag(chances) - torch.outer(chances, chances)
    torch.testing.assert_close(torch.autograd.functional.hessian(divergence, flat), fisher)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradients_are_those_of_torchs_float64_cross_entropy(logits, tokens, temperature):
    single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
    token_logprobs(single, tokens, temperature).sum().backward()
    (-F.cross_entropy((double / temperature).flatten(0, 1), tokens.flatten(), reduction="sum")).backward()
    torch.testing.assert_close(single.grad.double(), double.grad, atol=1e-6, rtol=1e-5)


def test_gradient_of_the_entropy_against_float64(logits):
    single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
    entropy(single).sum().backward()
    Categorical(logits=double).entropy().sum().backward()
    torch.testing.assert_close(single.grad.double(), double.grad, atol=1e-5, rtol=1e-4)
