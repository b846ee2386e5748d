"""Axis 1 of the design: what each KL estimator does at each place, by enumeration through the algorithms' own terms.

A rollout batch holds one completion of one token for each outcome of a five-way softmax, and the weights of the step
are the outcomes' chances, so that the gradient of the step's loss is the expected one.
"""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from rlbench.algorithms.algorithm import Experience, Prediction, Rollouts
from rlbench.algorithms.dapo import dapo
from rlbench.algorithms.dr_grpo import dr_grpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.options import PolicyGradient
from rlbench.algorithms.ppo import ppo
from rlbench.algorithms.reinforce_pp import reinforce_pp
from rlbench.algorithms.rloo import rloo
from rlbench.algorithms.terms import kl_in_loss, kl_in_reward, token_log_ratio
from rlbench.errors import InputError

BETA = 1.7
LOSSES = [grpo, gspo, dr_grpo, dapo, rloo, reinforce_pp, ppo]


@pytest.fixture
def logits():
    return torch.tensor([0.3, -1.0, 0.8, 0.0, -0.4], dtype=torch.float64, requires_grad=True)


@pytest.fixture
def reference():
    return torch.log_softmax(torch.tensor([0.0, 0.5, -0.5, 1.0, 0.2], dtype=torch.float64), -1)


@pytest.fixture
def data(logits, reference):
    logprobs = torch.log_softmax(logits, -1).detach().unsqueeze(-1)
    zero = torch.zeros(5, dtype=torch.float64)
    mask = torch.ones((5, 1), dtype=torch.bool)
    return Rollouts(mask, logprobs, reference.unsqueeze(-1), zero, zero.bool(), 5, 1, values=zero.unsqueeze(-1))


def toward_reference(logits, reference):
    """Gradient of KL(policy ‖ reference)."""
    return torch.autograd.grad(kl_divergence(Categorical(logits=logits), Categorical(logits=reference)), logits)[0]


def from_reference(logits, reference):
    """Gradient of KL(reference ‖ policy)."""
    return torch.autograd.grad(kl_divergence(Categorical(logits=reference), Categorical(logits=logits)), logits)[0]


def nothing(logits, reference):
    return torch.zeros_like(logits)


def expected_gradient(estimator, placement, logits, data):
    """Of the terms alone, so that combinations that the options refuse can be had too."""
    axes = PolicyGradient.model_construct(beta=BETA, kl_estimator=estimator, kl_placement=placement)
    chance = data.old_logprobs.exp()
    old = Experience(data.mask, chance, data.old_logprobs, data.reference_logprobs, torch.zeros_like(chance))
    new = Prediction(torch.log_softmax(logits, -1).unsqueeze(-1))
    in_loss = kl_in_loss(token_log_ratio(new, old), new, old, axes)
    in_reward = kl_in_reward(data, axes) * new.logprobs  # −reward x score function
    return torch.autograd.grad((chance * (in_loss + in_reward)).sum(), logits)[0] / BETA


SIX = [
    ("k1", "loss", nothing),
    ("k2", "loss", toward_reference),
    ("k3", "loss", from_reference),
    ("k3", "loss_times_ratio", toward_reference),
    ("k1", "loss_times_ratio", toward_reference),
    ("k1", "reward", toward_reference),
]


@pytest.mark.parametrize(("estimator", "placement", "direction"), SIX)
def test_the_expected_gradient_of_an_estimator_at_its_place(estimator, placement, direction, logits, reference, data):
    found = expected_gradient(estimator, placement, logits, data)
    torch.testing.assert_close(found, direction(logits, reference), atol=1e-14, rtol=1e-12)
    for other in {toward_reference, from_reference, nothing} - {direction}:
        assert float((found - other(logits, reference)).norm()) > 0.1


@pytest.mark.parametrize(
    ("estimator", "placement"), [("k3", "reward"), ("k2", "reward"), ("k2", "loss_times_ratio")], ids=str
)
def test_the_expected_gradient_belongs_to_no_divergence(estimator, placement, logits, reference, data):
    found = expected_gradient(estimator, placement, logits, data)
    for direction in (toward_reference, from_reference):
        wanted = direction(logits, reference)
        assert float((found - wanted).norm()) > 0.1 * float(wanted.norm())
        assert float(torch.cosine_similarity(found, wanted, dim=0)) < 0.999


@pytest.mark.parametrize("make", LOSSES)
@pytest.mark.parametrize(
    ("estimator", "placement", "direction"), [pytest.param(*row, id=f"{row[0]}-{row[1]}") for row in SIX[1:]]
)
def test_every_algorithm_has_it_at_length_one(make, estimator, placement, direction, logits, reference, data, step):
    """The whole loss, with equal rewards; a group's mean is taken off the penalty, which changes no expectation."""
    axes = {"beta": BETA, "kl_estimator": estimator, "kl_placement": placement}
    axes |= {"overlong_buffer": 0.0} if make is dapo else {}
    axes |= {"advantage": "mean_only"} if hasattr(make().options, "advantage") else {}
    axes |= {"whiten_advantages": False} if make in (ppo, reinforce_pp) else {}
    algorithm = make(**axes)
    chance = data.old_logprobs.exp()
    weighed = replace(algorithm, weights=lambda mask, limit: chance)
    _, _, slope, _ = step(weighed, data, data.old_logprobs)
    found = torch.autograd.grad((slope.squeeze(-1) * torch.log_softmax(logits, -1)).sum(), logits)[0] / BETA
    torch.testing.assert_close(found, direction(logits, reference), atol=1e-14, rtol=1e-12)


@pytest.mark.parametrize("make", LOSSES)
@pytest.mark.parametrize(
    ("estimator", "placement", "reason"),
    [
        ("k1", "loss", "its expected gradient is 0, so nothing would hold the policy near the reference"),
        ("k2", "reward", "its expected gradient belongs to no divergence; expected k1 in the reward"),
        ("k3", "reward", "its expected gradient belongs to no divergence; expected k1 in the reward"),
        ("k2", "loss_times_ratio", "its expected gradient belongs to no divergence; expected k3"),
    ],
)
def test_what_regularises_towards_nothing_is_refused_with_the_reason(make, estimator, placement, reason):
    with pytest.raises(InputError) as caught:
        make(beta=0.1, kl_estimator=estimator, kl_placement=placement)
    message = str(caught.value)
    assert message.startswith(f"algorithm {make.__name__!r}: kl_estimator {estimator} with kl_placement {placement}: ")
    assert reason in message
    assert make(beta=0, kl_estimator=estimator, kl_placement=placement).options.beta == 0


@pytest.mark.parametrize("estimator", ["k1", "k3"])
@pytest.mark.parametrize("make", LOSSES)
def test_times_the_ratio_it_is_a_divergence_at_length_two_as_well(make, estimator, random):
    """By enumeration of all completions of two tokens over three letters, the second given the first.

    The ratio of a token gives the divergence of the next token's distribution at the states that are visited, that
    of a completion the divergence of completions, which also counts that other states are visited.
    """
    shapes = [(3,), (3, 3), (3,), (3, 3)]
    first, second, *other = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes)
    parameters = (first.requires_grad_(), second.requires_grad_())

    def both(logits):
        start, then = (torch.log_softmax(part, -1) for part in logits)
        return torch.stack([torch.stack([start[a], then[a, b]]) for a in range(3) for b in range(3)])

    new, reference = both(parameters), both(other)
    chance = new.detach().sum(-1, keepdim=True).exp()
    weights = (chance / 2 if make is rloo else chance).expand(9, 2)  # rloo's loss of a completion stands at each token
    old = Experience(torch.ones(9, 2, dtype=torch.bool), weights, new.detach(), reference, 0 * reference)
    axes = {"overlong_buffer": 0.0} if make is dapo else {}
    algorithm = make(beta=1.0, kl_estimator=estimator, kl_placement="loss_times_ratio", **axes)
    loss, _ = algorithm.loss(Prediction(new, values=new.detach()), replace(old, old_values=new.detach(), returns=new))
    at_start, after = (
        kl_divergence(Categorical(logits=mine), Categorical(logits=theirs))
        for mine, theirs in zip(parameters, other, strict=True)
    )
    visits = torch.softmax(first, -1)
    wanted = at_start + ((visits if make is rloo else visits.detach()) * after).sum()
    for found, expected in zip(
        torch.autograd.grad(loss, parameters, retain_graph=True), torch.autograd.grad(wanted, parameters), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)
