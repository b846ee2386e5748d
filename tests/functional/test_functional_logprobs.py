import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Categorical

from rlbench.functional.logprobs import entropy, token_logprobs


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


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_gradients_are_those_of_torchs_float64_cross_entropy(logits, tokens, temperature):
    # token_logprobs computes in float32, too coarse for finite differences: compare with a float64 gradient instead
    single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
    token_logprobs(single, tokens, temperature).sum().backward()
    (-F.cross_entropy((double / temperature).flatten(0, 1), tokens.flatten(), reduction="sum")).backward()
    torch.testing.assert_close(single.grad.double(), double.grad, atol=1e-6, rtol=1e-5)


def test_gradient_of_the_entropy_against_float64(logits):
    single, double = logits.clone().requires_grad_(), logits.double().requires_grad_()
    entropy(single).sum().backward()
    Categorical(logits=double).entropy().sum().backward()
    torch.testing.assert_close(single.grad.double(), double.grad, atol=1e-5, rtol=1e-4)
