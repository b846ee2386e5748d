"""What each algorithm is, as identities: on-policy, at length 1, at equal rewards, at the reference."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from rlbench.algorithms.algorithm import PairPrediction
from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.ppo import ppo

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]


@pytest.mark.parametrize("make", [ppo, grpo, gspo], ids=["ppo", "grpo", "gspo"])
def test_on_policy_the_ratio_is_one_and_nothing_is_clipped(make, rollouts, step):
    data = rollouts(LENGTHS)
    _, diagnostics, _, _ = step(make(), data, data.old_logprobs)
    assert diagnostics["clip_fraction"] == 0
    assert diagnostics["approx_kl"] == 0


def test_on_policy_grpo_and_gspo_are_the_same_policy_gradient(rollouts, step):
    data = rollouts(LENGTHS)
    found = [step(algorithm, data, data.old_logprobs)[2] for algorithm in (grpo(beta=0), gspo())]
    torch.testing.assert_close(found[0], found[1])
    advantages = grpo().targets(data).advantages
    lengths = torch.tensor(LENGTHS).unsqueeze(-1)
    torch.testing.assert_close(found[0], -advantages / (8 * lengths) * data.mask, atol=1e-7, rtol=1e-6)


def test_on_policy_ppo_is_the_policy_gradient_over_all_tokens(rollouts, step):
    data = rollouts(LENGTHS)
    algorithm = ppo()
    _, _, gradient, _ = step(algorithm, data, data.old_logprobs)
    expected = -algorithm.targets(data).advantages / sum(LENGTHS)
    torch.testing.assert_close(gradient, expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("clip", [{"clip_low": 0.2, "clip_high": 0.2}, {"clip_low": 3e-4, "clip_high": 4e-4}])
def test_at_length_one_gspo_is_grpo(rollouts, step, random, clip):
    data = rollouts([1] * 8)
    new = data.old_logprobs + 0.3 * torch.randn(8, 1, generator=random, dtype=torch.float64)
    token, sequence = (step(algorithm, data, new) for algorithm in (grpo(beta=0, **clip), gspo(**clip)))
    assert token[0] == sequence[0]
    assert torch.equal(token[2], sequence[2])
    assert 0 < token[1]["clip_fraction"] == sequence[1]["clip_fraction"] < 1


def test_at_greater_lengths_they_differ(rollouts, step, random):
    data = rollouts(LENGTHS)
    new = data.old_logprobs + 0.3 * torch.randn(data.mask.shape, generator=random, dtype=torch.float64)
    clip = {"clip_low": 0.2, "clip_high": 0.2}
    token, sequence = (step(algorithm, data, new)[2] for algorithm in (grpo(beta=0, **clip), gspo(**clip)))
    assert float((token - sequence).abs().max()) > 1e-2


@pytest.mark.parametrize("make", [lambda: grpo(beta=0), gspo], ids=["grpo", "gspo"])
def test_every_sequence_weighs_the_same_whatever_its_length(make, rollouts, step):
    data = rollouts([1, 10, 100, 1000], group_size=2)
    data = replace(data, rewards=torch.tensor([1.0, 0, 1, 0], dtype=torch.float64))
    _, _, gradient, _ = step(make(), data, data.old_logprobs)
    weights = gradient.sum(-1).abs()
    torch.testing.assert_close(weights / weights.sum(), torch.full((4,), 0.25, dtype=torch.float64))


def test_gspo_moves_all_tokens_of_a_sequence_alike_even_off_policy(rollouts, step, random):
    data = rollouts(LENGTHS)
    new = data.old_logprobs + 0.1 * torch.randn(data.mask.shape, generator=random, dtype=torch.float64)
    _, _, gradient, _ = step(gspo(clip_low=0.5, clip_high=0.5), data, new)
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(gradient[row, :length], gradient[row, :1].expand(length))


@pytest.mark.parametrize("value", [0.0, 1.0, -0.3])
@pytest.mark.parametrize("make", [lambda: grpo(beta=0), gspo], ids=["grpo", "gspo"])
def test_a_constant_reward_gives_exactly_no_gradient(make, rollouts, step, random, value):
    data = rollouts(LENGTHS)
    data = replace(data, rewards=torch.full_like(data.rewards, value))
    new = data.old_logprobs + 0.3 * torch.randn(data.mask.shape, generator=random, dtype=torch.float64)
    loss, _, gradient, _ = step(make(), data, new)
    assert loss == 0
    assert float(gradient.abs().max()) == 0


def test_a_zero_reward_leaves_grpo_at_the_reference(rollouts, step):
    data = rollouts(LENGTHS)
    data = replace(data, rewards=torch.zeros_like(data.rewards), reference_logprobs=data.old_logprobs)
    loss, _, gradient, _ = step(grpo(beta=1.0), data, data.old_logprobs)
    assert loss == 0
    assert float(gradient.abs().max()) == 0


def test_a_zero_reward_leaves_ppo_with_a_new_critic_at_the_reference(rollouts, step):
    data = rollouts(LENGTHS)
    data = replace(
        data,
        rewards=torch.zeros_like(data.rewards),
        reference_logprobs=data.old_logprobs,
        values=torch.zeros_like(data.values),
    )
    loss, _, gradient, value_gradient = step(ppo(), data, data.old_logprobs)
    assert loss == 0
    assert float(gradient.abs().max()) == 0
    assert float(value_gradient.abs().max()) == 0


def test_grpos_penalty_follows_kl_of_the_reference_to_the_policy(step, rollouts):
    # axis 1 of the design: k3 in the loss; by enumeration, one sequence of one token for each of five outcomes
    logits = torch.tensor([0.3, -1.0, 0.8, 0.0, -0.4], dtype=torch.float64, requires_grad=True)
    other = torch.log_softmax(torch.tensor([0.0, 0.5, -0.5, 1.0, 0.2], dtype=torch.float64), -1)
    logprobs = torch.log_softmax(logits, -1)
    data = rollouts([1] * 5, group_size=5)
    data = replace(
        data,
        rewards=torch.zeros(5, dtype=torch.float64),
        old_logprobs=logprobs.detach().unsqueeze(-1),
        reference_logprobs=other.unsqueeze(-1),
    )
    _, _, gradient, _ = step(grpo(beta=2.0), data, data.old_logprobs)
    chance = 5 * logprobs.detach().exp()  # the batch is uniform over outcomes, the policy is not
    (found,) = torch.autograd.grad((gradient.squeeze(-1) * chance * logprobs).sum(), logits)
    divergence = kl_divergence(Categorical(logits=other), Categorical(logits=logits))
    (expected,) = torch.autograd.grad(2.0 * divergence, logits)
    torch.testing.assert_close(found, expected)


def test_ppo_pays_the_divergence_out_of_the_reward(rollouts):
    # with lambda 1 and values 0 the first advantage is reward - beta * (sequence k1 to the reference)
    data = rollouts(LENGTHS)
    data = replace(data, values=torch.zeros_like(data.values))
    targets = ppo(lam=1.0, beta=0.7, whiten_advantages=False).targets(data)
    divergence = ((data.old_logprobs - data.reference_logprobs) * data.mask).sum(-1)
    torch.testing.assert_close(targets.advantages[:, 0], data.rewards - 0.7 * divergence)
    torch.testing.assert_close(targets.returns, targets.advantages)


def test_ppos_reward_reaches_every_token_up_to_the_first(rollouts):
    # fairness.md: rewards aligned with tokens and masks with predictions gave zero returns elsewhere
    data = rollouts(LENGTHS)
    data = replace(data, values=torch.zeros_like(data.values), reference_logprobs=data.old_logprobs)
    data = replace(data, rewards=torch.ones_like(data.rewards))
    targets = ppo(whiten_advantages=False).targets(data)
    for row, length in enumerate(LENGTHS):
        expected = [0.95 ** (length - 1 - column) for column in range(length)] + [0.0] * (7 - length)
        assert targets.advantages[row].tolist() == pytest.approx(expected)


def test_ppo_whitens_over_the_tokens_of_the_batch_and_leaves_the_returns_alone(rollouts):
    data = rollouts(LENGTHS)
    white, plain = (ppo(whiten_advantages=flag).targets(data) for flag in (True, False))
    counted = white.advantages[data.mask]
    assert float(counted.mean()) == pytest.approx(0, abs=1e-9)
    assert float(counted.var(correction=0)) == pytest.approx(1, abs=1e-6)
    assert torch.equal(white.returns, plain.returns)
    torch.testing.assert_close(
        torch.corrcoef(torch.stack([counted, plain.advantages[data.mask]]))[0, 1].item(), 1.0, atol=1e-9, rtol=0
    )


def test_ppos_critic_learns_the_return(rollouts, step):
    data = rollouts(LENGTHS)
    algorithm = ppo(value_clip=1e6)
    returns = algorithm.targets(data).returns
    _, diagnostics, _, gradient = step(algorithm, data, data.old_logprobs, values=returns)
    assert diagnostics["value_loss"] == pytest.approx(0, abs=1e-12)
    assert float(gradient.abs().max()) == pytest.approx(0, abs=1e-12)
    _, diagnostics, _, gradient = step(algorithm, data, data.old_logprobs, values=returns + 2)
    assert diagnostics["value_loss"] == pytest.approx(2)
    assert float(gradient.sum()) == pytest.approx(0.1 * 2)


@pytest.mark.parametrize("make", [grpo, gspo, ppo], ids=["grpo", "gspo", "ppo"])
def test_a_better_completion_is_made_more_likely(make, rollouts, step):
    data = rollouts([3] * 4)
    data = replace(
        data,
        rewards=torch.tensor([0.0, 0, 1, 0], dtype=torch.float64),
        reference_logprobs=data.old_logprobs,
        values=torch.zeros_like(data.values),
    )
    _, _, gradient, _ = step(make(), data, data.old_logprobs)
    assert bool((gradient[2] < 0).all())
    assert bool((gradient[[0, 1, 3]] > 0).all())


def test_clip_fraction_counts_the_tokens_without_gradient(rollouts, step, random):
    data = rollouts([6] * 8)
    new = data.old_logprobs + 0.5 * torch.randn(8, 6, generator=random, dtype=torch.float64)
    for algorithm in (grpo(beta=0), ppo(), gspo()):
        _, diagnostics, gradient, _ = step(algorithm, data, new)
        assert diagnostics["clip_fraction"] == pytest.approx(float((gradient == 0).double().mean()))
        assert 0.1 < diagnostics["clip_fraction"] < 0.9


def test_dpo_is_ln_2_at_the_reference_and_prefers_nothing():
    here = torch.tensor([-3.0, -8.0, -0.5])
    loss, diagnostics = dpo().loss(PairPrediction(here, here - 1, here, here - 1), 3)
    assert loss.item() == pytest.approx(math.log(2))
    assert diagnostics["reward_margin"].item() == 0
    assert diagnostics["preference_accuracy"].item() == 0


def test_dpo_reports_margin_and_accuracy():
    zero = torch.zeros(4)
    new = PairPrediction(torch.tensor([1.0, 2, -1, 3]), torch.tensor([0.0, 3, -2, 0]), zero, zero)
    _, diagnostics = dpo(beta=0.5).loss(new, 4)
    assert diagnostics["preference_accuracy"].item() == 0.75
    assert diagnostics["reward_margin"].item() == pytest.approx(0.5 * (1 - 1 + 1 + 3) / 4)
