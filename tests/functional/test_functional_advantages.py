import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.functional.advantages import discounted_returns, gae, group_advantages, tells_apart

repeatable = settings(derandomize=True, deadline=None)

EPSILON = 1e-6
KINDS = ["sample_std", "population_std", "mean_only", "leave_one_out"]


groups_of_rewards = st.integers(2, 8).flatmap(
    lambda size: st.lists(st.lists(st.floats(-3, 3, width=32), min_size=size, max_size=size), min_size=1)
)


@repeatable
@given(groups_of_rewards, st.sampled_from(KINDS))
def test_group_advantages_sum_to_zero_in_every_group(groups, kind):
    rewards = torch.tensor(groups, dtype=torch.float64)
    advantages = group_advantages(rewards.flatten(), rewards.shape[1], kind, EPSILON).view_as(rewards)
    torch.testing.assert_close(advantages.sum(-1), torch.zeros(len(groups), dtype=torch.float64), atol=1e-6, rtol=0)


@repeatable
@given(groups_of_rewards)
def test_leave_one_out_compares_with_the_mean_of_the_others(groups):
    size = len(groups[0])
    rewards = torch.tensor(groups, dtype=torch.float64)
    found = group_advantages(rewards.flatten(), size, "leave_one_out", EPSILON).view_as(rewards)
    for row, group in enumerate(groups):
        for place, reward in enumerate(group):
            others = [group[other] for other in range(size) if other != place]
            assert float(found[row, place]) == pytest.approx(reward - sum(others) / len(others), abs=1e-6)
    plain = group_advantages(rewards.flatten(), size, "mean_only", EPSILON).view_as(rewards)
    torch.testing.assert_close(found, size / (size - 1) * plain)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("sample_std", 2.475, -0.354),
        ("population_std", 2.646, -0.378),
        ("mean_only", 0.875, -0.125),
        ("leave_one_out", 1.0, -0.143),
    ],
)
def test_published_advantages_of_one_correct_of_eight(kind, right, wrong):
    # design/algorithms.md, axis 3
    advantages = group_advantages(torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 0]), 8, kind, EPSILON)
    assert float(advantages[3]) == pytest.approx(right, abs=5e-4)
    assert advantages[[0, 1, 2, 4, 5, 6, 7]].tolist() == pytest.approx([wrong] * 7, abs=5e-4)


@pytest.mark.parametrize("correction", [0, 1])
def test_divided_by_the_deviation_they_have_variance_one(random, correction):
    rewards = torch.rand(8, generator=random, dtype=torch.float64)
    kind = KINDS[1 - correction]
    advantages = group_advantages(rewards, 8, kind, 1e-12).tolist()
    assert np.var(advantages, ddof=correction) == pytest.approx(1)


def test_the_epsilon_matters_where_rewards_are_nearly_constant():
    rewards = torch.tensor([0.5, 0.5 + 1e-4], dtype=torch.float64)
    sizes = [float(group_advantages(rewards, 2, "sample_std", epsilon)[1]) for epsilon in (1e-9, 1e-4)]
    assert sizes[0] == pytest.approx(2**-0.5, rel=1e-4)
    assert sizes[1] == pytest.approx(5e-5 / (1e-4 * 2**-0.5 + 1e-4), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1 / 3, -7.3, 1e6])
def test_a_group_of_equal_rewards_gets_exactly_zero(kind, value):
    rewards = torch.cat([torch.full((7,), value), torch.arange(7.0)])
    advantages = group_advantages(rewards, 7, kind, 1e-12)
    assert advantages[:7].tolist() == [0.0] * 7
    assert float(advantages[7:].abs().min()) == 0  # the middle one
    assert float(advantages[7:].abs().max()) > 1
    assert tells_apart(rewards, 7).tolist() == [False, True]


@pytest.mark.parametrize("kind", KINDS)
def test_groups_do_not_see_each_other(random, kind):
    rewards = torch.rand(24, generator=random)
    whole = group_advantages(rewards, 4, kind, EPSILON)
    for start in range(0, 24, 4):
        alone = group_advantages(rewards[start : start + 4], 4, kind, EPSILON)
        torch.testing.assert_close(alone, whole[start : start + 4])


@pytest.mark.parametrize(("kind", "scaled"), [(kind, 1 if "std" in kind else 17) for kind in KINDS])
def test_shifting_the_rewards_changes_nothing_and_scaling_them_only_without_a_deviation(random, kind, scaled):
    rewards = torch.rand(8, generator=random, dtype=torch.float64)
    expected = scaled * group_advantages(rewards, 8, kind, 1e-12)
    torch.testing.assert_close(group_advantages(17 * rewards - 4, 8, kind, 1e-12), expected)


@pytest.fixture
def episode(random):
    lengths = [7, 1, 4, 3]
    mask = torch.arange(7) < torch.tensor(lengths).unsqueeze(-1)
    rewards, values = (torch.randn(4, 7, generator=random, dtype=torch.float64) for _ in range(2))
    return rewards, values, mask, lengths


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_lambda_one_is_the_monte_carlo_return_minus_the_value(episode, gamma):
    rewards, values, mask, lengths = episode
    advantages = gae(rewards, values, mask, gamma, 1.0)
    for row, length in enumerate(lengths):
        for start in range(length):
            powers = gamma ** np.arange(length - start)
            expected = powers @ rewards[row, start:length].numpy() - float(values[row, start])
            assert float(advantages[row, start]) == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_lambda_zero_is_the_one_step_error(episode, gamma):
    rewards, values, mask, lengths = episode
    advantages = gae(rewards, values, mask, gamma, 0.0)
    for row, length in enumerate(lengths):
        following = [*values[row, 1:length].tolist(), 0.0]
        expected = rewards[row, :length] + gamma * torch.tensor(following, dtype=torch.float64) - values[row, :length]
        torch.testing.assert_close(advantages[row, :length], expected)


@pytest.mark.parametrize("lam", [0.3, 0.95])
def test_in_between_it_averages_the_n_step_advantages(episode, lam):
    # Schulman et al. 2015, equations 11 to 16: A = (1 - lam) * sum of lam^(n-1) A_n; after the end all A_n are equal
    rewards, values, mask, lengths = episode
    gamma = 0.9
    advantages = gae(rewards, values, mask, gamma, lam)
    for row, length in enumerate(lengths):
        reward, value = rewards[row, :length].tolist(), [*values[row, :length].tolist(), 0.0]
        for start in range(length):
            left = length - start
            n_step = [
                sum(gamma**i * reward[start + i] for i in range(n)) + gamma**n * value[start + n] - value[start]
                for n in range(1, left + 1)
            ]
            weights = [(1 - lam) * lam ** (n - 1) for n in range(1, left)] + [lam ** (left - 1)]
            assert sum(weights) == pytest.approx(1)
            assert float(advantages[row, start]) == pytest.approx(float(np.dot(weights, n_step)))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (0.7, 1.0), (1.0, 0.0)])
def test_it_is_the_discounted_sum_of_one_step_errors(episode, gamma, lam):
    # equation 16 term by term: sum over l of (gamma lam)^l (r + gamma V' - V) at t + l
    rewards, values, mask, lengths = episode
    found = gae(rewards, values, mask, gamma, lam)
    for row, length in enumerate(lengths):
        r, v = rewards[row, :length].tolist(), [*values[row, :length].tolist(), 0.0]
        errors = [r[step] + gamma * v[step + 1] - v[step] for step in range(length)]
        for start in range(length):
            expected = sum((gamma * lam) ** later * errors[start + later] for later in range(length - start))
            assert float(found[row, start]) == pytest.approx(expected)


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_discounted_returns_are_sums_of_what_is_still_to_come(episode, gamma):
    rewards, _, mask, lengths = episode
    found = discounted_returns(rewards, mask, gamma)
    for row, length in enumerate(lengths):
        for start in range(length):
            expected = sum(gamma**later * float(rewards[row, start + later]) for later in range(length - start))
            assert float(found[row, start]) == pytest.approx(expected)
        assert found[row, length:].tolist() == [0.0] * (7 - length)


@pytest.mark.parametrize("lam", [1.0, 0.95])
def test_a_reward_at_the_last_token_reaches_the_first_ones_advantage(lam):
    # fairness.md: a PPO elsewhere never saw its reward because rewards and masks were misaligned
    mask = torch.arange(9) < torch.tensor([[6]])
    rewards = torch.zeros(1, 9)
    rewards[0, 5] = 1.0
    advantages = gae(rewards, torch.zeros(1, 9), mask, 1.0, lam)
    assert advantages[0, :6].tolist() == pytest.approx([lam ** (5 - step) for step in range(6)])
    assert advantages[0, 6:].tolist() == [0.0] * 3


def test_what_is_not_counted_has_no_influence_and_no_advantage(episode):
    rewards, values, mask, _ = episode
    expected = gae(rewards, values, mask, 1.0, 0.95)
    noise = 1e6 * torch.ones_like(values)
    actual = gae(torch.where(mask, rewards, noise), torch.where(mask, values, -noise), mask, 1.0, 0.95)
    assert torch.equal(actual, expected)
    assert bool((actual[~mask] == 0).all())


def test_a_critic_that_knows_the_future_leaves_no_advantage(random):
    # V_t = the remaining reward: every one-step error is 0, whatever lambda
    rewards = torch.randn(3, 5, generator=random, dtype=torch.float64)
    mask = torch.ones(3, 5, dtype=torch.bool)
    values = rewards.flip(-1).cumsum(-1).flip(-1)
    for lam in (0.0, 0.5, 1.0):
        assert float(gae(rewards, values, mask, 1.0, lam).abs().max()) < 1e-12


def test_gradients_against_finite_differences(episode):
    rewards, values, mask, _ = episode
    rewards.requires_grad_()
    values.requires_grad_()
    assert torch.autograd.gradcheck(lambda r, v: gae(r, v, mask, 0.9, 0.95), (rewards, values))
    for kind in KINDS:
        assert torch.autograd.gradcheck(
            lambda r, kind=kind: group_advantages(r.flatten(), 7, kind, EPSILON), (rewards,)
        )
