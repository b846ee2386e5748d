"""The gradient of every loss, along every axis, against float64 finite differences: of log-probabilities and logits."""

from dataclasses import replace

import pytest
import torch
from torch.autograd import gradcheck

from rlbench.algorithms.algorithm import PairPrediction, Prediction
from rlbench.functional.logprobs import token_logprobs
from rlbench.functional.losses import bradley_terry
from rlbench.functional.masking import token_mean_weights

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]


def check(function, *inputs):
    for tensor in inputs:
        tensor.requires_grad_()
    assert float(sum(part.abs().sum() for part in torch.autograd.grad(function(*inputs), inputs))) > 1e-3
    assert gradcheck(function, inputs, atol=1e-7, rtol=1e-5)


def test_of_the_log_probabilities_and_the_values(online, rollouts, moved, experience):
    data = rollouts(LENGTHS)
    part = experience(online, data)
    new, values = moved(data.old_logprobs), moved(data.values)
    if "critic" in online.needs:
        check(lambda logprobs, value: online.loss(Prediction(logprobs, value), part)[0], new, values)
    else:
        check(lambda logprobs: online.loss(Prediction(logprobs), part)[0], new)


def test_of_the_logits(online, rollouts, random, experience):
    """Through the softmax and the temperature, as a policy's output layer sees it."""
    data = rollouts([3, 1, 2, 2], group_size=2)
    old = torch.randn(4, 3, 5, generator=random, dtype=torch.float64)
    tokens = torch.randint(5, (4, 3), generator=random)
    new = old + 0.2 * torch.randn(old.shape, generator=random, dtype=torch.float64)
    data = replace(data, old_logprobs=token_logprobs(old, tokens, 0.8), truncated=torch.tensor([False] * 3 + [True]))
    part = experience(online, data)
    check(lambda logits: online.loss(Prediction(token_logprobs(logits, tokens, 0.8), data.values), part)[0], new)


def test_of_pairs(preference, pairs):
    data = pairs(5)

    def loss(chosen, rejected):
        return preference.loss(replace(data, chosen=chosen, rejected=rejected), 7)[0]

    check(loss, data.chosen.clone(), data.rejected.clone())


def test_of_the_logits_of_pairs(preference, random):
    logits, tokens = (torch.randn(4, 3, 5, generator=random, dtype=torch.float64) for _ in range(2))
    tokens = tokens.argmax(-1)
    reference = torch.randn(4, generator=random, dtype=torch.float64)
    lengths = torch.tensor([3, 2, 1, 3])
    mask = torch.arange(3) < lengths.unsqueeze(-1)

    def loss(scores):
        chosen, rejected = (token_logprobs(scores, tokens) * mask).sum(-1).chunk(2)
        return preference.loss(PairPrediction(chosen, rejected, *reference.chunk(2), *lengths.chunk(2)), 2)[0]

    check(loss, logits)


@pytest.mark.parametrize(
    "options", [{}, {"margin": 0.7}, {"centring": 0.3}, {"margin": 0.2, "centring": 0.01}], ids=str
)
def test_of_a_reward_models_loss(random, options):
    chosen, rejected = (torch.randn(6, generator=random, dtype=torch.float64) for _ in range(2))
    check(lambda *rewards: bradley_terry(*rewards, **options).mean(), chosen, rejected)


def test_of_the_cross_entropy_of_demonstrations(random):
    logits = torch.randn(3, 4, 5, generator=random, dtype=torch.float64)
    tokens = torch.randint(5, (3, 4), generator=random)
    mask = torch.arange(4) < torch.tensor([[4], [1], [3]])
    check(lambda scores: -(token_logprobs(scores, tokens) * token_mean_weights(mask)).sum(), logits)
