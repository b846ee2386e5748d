"""What sets RLOO, Dr. GRPO, DAPO, REINFORCE++ and TRPO apart, in the words of their papers."""

from dataclasses import replace

import pytest
import torch

from rlbench.algorithms.dapo import dapo
from rlbench.algorithms.dr_grpo import dr_grpo
from rlbench.algorithms.ppo import ppo
from rlbench.algorithms.reinforce_pp import reinforce_pp
from rlbench.algorithms.rloo import rloo
from rlbench.algorithms.trpo import trpo

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]


def test_rloo_is_the_score_function_of_whole_completions(rollouts, step):
    # Ahmadian et al. 2024, equation 6: 1/B sum (r_i - baseline_i) grad log pi(y_i), undivided by the length
    data = rollouts(LENGTHS)
    algorithm = rloo(beta=0)
    _, _, gradient, _ = step(algorithm, data, data.old_logprobs)
    for group in (range(4), range(4, 8)):
        for row in group:
            others = [float(data.rewards[other]) for other in group if other != row]
            expected = -(float(data.rewards[row]) - sum(others) / 3) / 8
            assert gradient[row, : LENGTHS[row]].tolist() == pytest.approx([expected] * LENGTHS[row])


def test_on_policy_rloo_with_the_ratio_of_completions_is_rloo_without(rollouts, step):
    data = rollouts(LENGTHS)
    plain, ratio = (step(rloo(ratio=kind), data, data.old_logprobs)[2] for kind in ("none", "sequence"))
    torch.testing.assert_close(ratio, plain)


def test_off_policy_rloos_ratio_is_that_of_completion_probabilities(rollouts, step, moved):
    data = rollouts(LENGTHS)
    new = moved(data.old_logprobs, 0.02)
    _, _, gradient, _ = step(rloo(ratio="sequence", beta=0, clip_low=0.9, clip_high=9.0), data, new)
    _, _, plain, _ = step(rloo(beta=0), data, data.old_logprobs)
    for row, length in enumerate(LENGTHS):
        chances = [float(tensor[row, :length].exp().prod()) for tensor in (new, data.old_logprobs)]
        expected = plain[row, :length] * chances[0] / chances[1]
        torch.testing.assert_close(gradient[row, :length], expected)


def test_rloo_pays_the_divergence_of_the_completion_out_of_its_reward(rollouts):
    data = rollouts(LENGTHS)
    free = replace(data, reference_logprobs=data.old_logprobs)
    divergence = ((data.old_logprobs - data.reference_logprobs) * data.mask).sum(-1)
    paid = replace(free, rewards=data.rewards - 0.4 * divergence)
    torch.testing.assert_close(rloo(beta=0.4).targets(data).advantages, rloo(beta=0.4).targets(paid).advantages)


def test_dr_grpo_is_grpo_without_its_two_normalisations(rollouts, step):
    # Liu et al. 2025: each token of a completion weighs (r - mean) / (B * limit)
    data = replace(rollouts(LENGTHS), max_new_tokens=20)
    _, _, gradient, _ = step(dr_grpo(), data, data.old_logprobs)
    for group in (range(4), range(4, 8)):
        mean = sum(float(data.rewards[row]) for row in group) / 4
        for row in group:
            expected = -(float(data.rewards[row]) - mean) / (8 * 20)
            assert gradient[row, : LENGTHS[row]].tolist() == pytest.approx([expected] * LENGTHS[row])


def test_dapo_weighs_every_token_of_the_step_alike(rollouts, step):
    data = replace(rollouts(LENGTHS), max_new_tokens=100)  # far from the overlong buffer
    algorithm = dapo()
    advantages = algorithm.targets(data).advantages
    _, _, gradient, _ = step(algorithm, data, data.old_logprobs)
    torch.testing.assert_close(gradient, -advantages / sum(LENGTHS), rtol=1e-6, atol=0)


def test_dapo_lets_good_tokens_rise_further_than_they_may_fall(rollouts, step):
    data = replace(rollouts([1] * 4), max_new_tokens=100)
    data = replace(data, rewards=torch.tensor([1.0, 1, 0, 0], dtype=torch.float64))
    ratios = torch.tensor([[1.27], [1.29], [0.81], [0.79]], dtype=torch.float64)
    _, found, gradient, _ = step(dapo(), data, data.old_logprobs + ratios.log())
    assert (gradient.squeeze(-1) == 0).tolist() == [False, True, False, True]
    assert (found["clip_fraction_low"], found["clip_fraction_high"]) == (0.25, 0.25)


def test_dapo_keeps_only_groups_that_tell_completions_apart():
    rewards = torch.tensor([1.0, 1, 0, 1, 0, 0, 1, 0])
    assert dapo().keep(rewards, 2).tolist() == [False, True, False, True]
    assert dapo(dynamic_sampling=False).keep is None


@pytest.mark.parametrize("baseline", ["none", "group"])
def test_reinforce_pp_is_the_reward_less_the_penalties_still_to_come(rollouts, baseline):
    data = rollouts(LENGTHS)
    targets = reinforce_pp(beta=0.3, whiten_advantages=False, baseline=baseline).targets(data)
    for row, length in enumerate(LENGTHS):
        start = row // 4 * 4
        reward = float(data.rewards[row]) - (float(data.rewards[start : start + 4].mean()) if baseline != "none" else 0)
        for column in range(length):
            left = float((data.old_logprobs - data.reference_logprobs)[row, column:length].sum())
            assert float(targets.advantages[row, column]) == pytest.approx(reward - 0.3 * left)


def test_reinforce_pp_normalises_over_the_tokens_of_the_batch(rollouts):
    counted = reinforce_pp().targets(data := rollouts(LENGTHS)).advantages[data.mask]
    assert float(counted.mean()) == pytest.approx(0, abs=1e-9)
    assert float(counted.var(correction=0)) == pytest.approx(1, abs=1e-6)


def test_reinforce_pp_is_ppo_with_an_ignorant_critic_and_lambda_one(rollouts, step, moved):
    data = rollouts(LENGTHS)
    data = replace(data, values=torch.zeros_like(data.values))
    new = moved(data.old_logprobs)
    for aggregation in ("sequence_mean", "token_mean", "constant"):
        axes = {"beta": 0.1, "aggregation": aggregation}
        found = step(reinforce_pp(**axes), data, new)[2]
        torch.testing.assert_close(found, step(ppo(**axes, lam=1.0), data, new)[2])


def test_on_policy_trpos_objective_has_the_policy_gradient(rollouts, step):
    data = rollouts(LENGTHS)
    algorithm = trpo()
    loss, _, gradient, _ = step(algorithm, data, data.old_logprobs)
    advantages = algorithm.targets(data).advantages
    torch.testing.assert_close(gradient, -advantages / sum(LENGTHS), rtol=1e-6, atol=0)
    assert loss == pytest.approx(-float(advantages.sum()) / sum(LENGTHS))
