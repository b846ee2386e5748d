"""What each algorithm is, as identities: on-policy, at length 1, at equal rewards, at the reference."""

import math
from dataclasses import replace

import pytest
import torch

from rlbench.algorithms.algorithm import PairPrediction
from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.online_dpo import online_dpo
from rlbench.algorithms.ppo import ppo
from rlbench.registry import load

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]


def test_on_policy_the_ratio_is_one_and_nothing_is_clipped(online, rollouts, step):
    data = rollouts(LENGTHS)
    _, diagnostics, _, _ = step(online, data, data.old_logprobs)
    clips = [name for name in diagnostics if name.startswith("clip_fraction")]
    assert len(clips) == (0 if online.name == "trpo" else 3)
    assert {diagnostics[name] for name in clips} <= {0.0}
    assert (diagnostics["ratio_min"], diagnostics["ratio_max"], diagnostics["approx_kl"]) == (1, 1, 0)


def test_on_policy_every_axis_of_the_ratio_is_without_effect(rollouts, step):
    """Where nothing has moved, GRPO with any clip, dual clip or KL weight at the reference is the same gradient."""
    data = rollouts(LENGTHS)
    data = replace(data, reference_logprobs=data.old_logprobs)
    expected = step(grpo(beta=0), data, data.old_logprobs)[2]
    for options in ({"clip_low": 1e-3, "clip_high": 1e-3}, {"dual_clip": 1.5}, {"beta": 3.0}):
        torch.testing.assert_close(step(grpo(**options), data, data.old_logprobs)[2], expected)


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


def test_a_better_completion_is_made_more_likely(online, rollouts, step):
    data = rollouts([3] * 4)
    data = replace(
        data,
        truncated=torch.zeros(4, dtype=torch.bool),
        rewards=torch.tensor([0.0, 0, 1, 0], dtype=torch.float64),
        reference_logprobs=data.old_logprobs,
        values=torch.zeros_like(data.values),
    )
    _, _, gradient, _ = step(online, data, data.old_logprobs)
    assert float(gradient[2].sum()) < 0
    assert float(gradient[2, -1]) < 0
    assert float((gradient[[0, 1, 3]].sum(-1) - gradient[2].sum()).min()) > 0


def test_dpo_is_ln_2_at_the_reference_and_prefers_nothing(preference, pairs):
    data = pairs(3)
    data = replace(data, chosen=data.reference_chosen, rejected=data.reference_rejected)
    loss, diagnostics = preference.loss(data, 3)
    if preference.options.loss == "sigmoid":
        assert loss.item() == pytest.approx(math.log(2))
    else:  # the margin is 0 and should be 1/(2 beta)
        assert loss.item() == pytest.approx((1 / (2 * preference.options.beta)) ** 2)
    assert diagnostics["reward_margin"].item() == 0
    assert diagnostics["preference_accuracy"].item() == 0


def test_dpo_reports_margin_and_accuracy():
    zero, four = torch.zeros(4), torch.full((4,), 4)
    chosen, rejected = torch.tensor([1.0, 2, -1, 3]), torch.tensor([0.0, 3, -2, 0])
    _, diagnostics = dpo(beta=0.5).loss(PairPrediction(chosen, rejected, zero, zero, four, four), 4)
    assert diagnostics["preference_accuracy"].item() == 0.75
    assert diagnostics["reward_margin"].item() == pytest.approx(0.5 * (1 - 1 + 1 + 3) / 4)


def test_length_normalised_dpo_is_dpo_at_length_one_and_forgets_repetition(pairs):
    data = pairs(4)
    mean, total = dpo(logprobs="mean"), dpo()
    ones = torch.ones(4, dtype=torch.long)
    short = replace(data, chosen_tokens=ones, rejected_tokens=ones)
    assert mean.loss(short, 4)[0].item() == total.loss(short, 4)[0].item()
    again = replace(
        data,
        chosen=3 * data.chosen,
        reference_chosen=3 * data.reference_chosen,
        chosen_tokens=3 * data.chosen_tokens,
    )
    assert mean.loss(again, 4)[0].item() == pytest.approx(mean.loss(data, 4)[0].item())
    assert total.loss(again, 4)[0].item() != pytest.approx(total.loss(data, 4)[0].item())


def test_online_dpo_is_dpo_on_the_same_pairs(pairs):
    data = pairs(4)
    for options in ({}, {"loss": "ipo"}, {"logprobs": "mean"}, {"label_smoothing": 0.1}):
        assert online_dpo(**options).loss(data, 4)[0].item() == dpo(**options).loss(data, 4)[0].item()


GROUPED = ["grpo", "gspo", "dr_grpo", "dapo", "rloo", "trpo"]


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("kind", ["sample_std", "population_std", "mean_only", "leave_one_out"])
def test_group_advantages_sum_to_zero(name, kind, rollouts):
    data = rollouts([3] * 8)
    advantages = load("algorithms", name)(advantage=kind).targets(data).advantages
    totals = advantages.view(2, 4, 3).sum(1)
    torch.testing.assert_close(totals, torch.zeros_like(totals))
    assert float(advantages.abs().min()) > 0


PUBLISHED = [
    ("sample_std", 2.475, -0.354),
    ("population_std", 2.646, -0.378),
    ("mean_only", 0.875, -0.125),
    ("leave_one_out", 1.0, -0.143),
]


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize(("kind", "right", "wrong"), PUBLISHED)
def test_published_advantages_of_one_correct_of_eight(name, kind, right, wrong, rollouts):
    data = replace(rollouts([2] * 8, group_size=8), max_new_tokens=50)
    data = replace(
        data,
        rewards=torch.tensor([0.0, 0, 0, 0, 0, 1, 0, 0], dtype=torch.float64),
        reference_logprobs=data.old_logprobs,
    )
    advantages = load("algorithms", name)(advantage=kind).targets(data).advantages
    assert advantages[5].tolist() == pytest.approx([right] * 2, abs=5e-4)
    for row in (0, 1, 2, 3, 4, 6, 7):
        assert advantages[row].tolist() == pytest.approx([wrong] * 2, abs=5e-4)


def test_each_paper_has_its_own_definition_of_an_advantage():
    kinds = {name: load("algorithms", name)().options.advantage for name in GROUPED}
    assert kinds == {
        "grpo": "sample_std",
        "gspo": "sample_std",
        "dapo": "sample_std",
        "dr_grpo": "mean_only",
        "rloo": "leave_one_out",
        "trpo": "mean_only",
    }
