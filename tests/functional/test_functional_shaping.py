"""Rewards before they become advantages, against values worked out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.functional.shaping import adapted_beta, overlong_penalty, shape_rewards

repeatable = settings(derandomize=True, deadline=None)


def test_published_soft_punishment_of_overlong_completions():
    # Yu et al. 2025, equation 13 with section 4.1's L_max 20,480 and L_cache 4,096
    lengths = torch.tensor([1, 16_384, 16_385, 17_408, 18_432, 19_456, 20_480])
    expected = [0.0, 0.0, -1 / 4096, -0.25, -0.5, -0.75, -1.0]
    assert overlong_penalty(lengths, 20_480, 0.2).tolist() == pytest.approx(expected, abs=1e-6)


@repeatable
@given(st.integers(1, 500), st.floats(0.01, 1), st.integers(1, 500))
def test_the_punishment_falls_from_none_to_one_at_the_limit(limit, buffer, length):
    length = min(length, limit)
    here, longer = overlong_penalty(torch.tensor([length, min(length + 1, limit)]), limit, buffer).tolist()
    assert -1 <= longer <= here <= 0
    assert float(overlong_penalty(torch.tensor([limit]), limit, buffer)) == pytest.approx(-1, abs=1e-4)
    if length <= limit * (1 - buffer) - 1e-6:
        assert here == 0


def test_rewards_are_scaled_then_clipped_and_then_pay_for_a_missing_end():
    rewards = torch.tensor([0.2, 0.9, -4.0, 0.9])
    truncated = torch.tensor([False, False, False, True])
    assert shape_rewards(rewards, truncated, 2.0, 1.0, 0.3).tolist() == pytest.approx([0.4, 1.0, -1.0, 0.7])
    assert shape_rewards(rewards, truncated, 2.0, None, 0.3).tolist() == pytest.approx([0.4, 1.8, -8.0, 1.5])
    assert shape_rewards(rewards, truncated, 1.0, None, 0.0).tolist() == rewards.tolist()


def test_published_steps_of_the_controller():
    # Ziegler et al. 2019, section 2.2: K = 0.1 per batch, that is completions / horizon; the error is cut at 20 %
    for kl, expected in ((6.0, 1.0), (6.6, 1.01), (7.2, 1.02), (60.0, 1.02), (5.4, 0.99), (0.0, 0.98), (-3.0, 0.98)):
        assert adapted_beta(1.0, kl, 6.0, 1000, 100) == pytest.approx(expected)


@repeatable
@given(st.floats(1e-4, 10), st.floats(-5, 100), st.floats(0.01, 20), st.floats(0.1, 1e5), st.integers(1, 4096))
def test_the_weight_moves_towards_the_target_by_a_fifth_at_most(beta, kl, target, horizon, completions):
    found = adapted_beta(beta, kl, target, horizon, completions)
    assert 0.8 * beta * (1 - 1e-12) <= found <= 1.2 * beta * (1 + 1e-12)
    assert (found > beta) <= (kl > target)
    assert (found < beta) <= (kl < target)


@pytest.mark.parametrize("kl_per_beta", [0.5, 4.0])
def test_in_closed_loop_the_divergence_settles_at_its_target(kl_per_beta):
    """A policy whose divergence is the inverse of the weight, as in a quadratic landscape."""
    beta = 0.02
    for _ in range(400):
        beta = adapted_beta(beta, kl_per_beta / beta, 6.0, 1000, 200)
    assert kl_per_beta / beta == pytest.approx(6.0, rel=1e-3)
