from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.rollouts.preferences import draw_pairs

repeatable = settings(derandomize=True, deadline=None)


@st.composite
def batches(draw, values):
    size = draw(st.integers(1, 9))
    groups = draw(st.lists(st.lists(values, min_size=size, max_size=size), min_size=1, max_size=4))
    return groups, size


def pairs_of(groups, size, seed=0):
    return draw_pairs([reward for group in groups for reward in group], size, np.random.default_rng(seed))


@repeatable
@given(batches(st.integers(0, 3).map(float) | st.floats(-2, 2)), st.integers(0, 5))
def test_pairs_are_disjoint_within_a_prompt_and_strictly_better(batch, seed):
    groups, size = batch
    rewards = [reward for group in groups for reward in group]
    pairs = pairs_of(groups, size, seed)
    used = [index for pair in pairs for index in pair]
    assert len(used) == len(set(used))
    for chosen, rejected in pairs:
        assert chosen // size == rejected // size
        assert rewards[chosen] > rewards[rejected]


@repeatable
@given(batches(st.sampled_from([0.0, 1.0])), st.integers(0, 5))
def test_a_prompt_with_c_correct_of_g_gives_the_smaller_of_c_and_g_minus_c(batch, seed):
    groups, size = batch
    pairs = pairs_of(groups, size, seed)
    for number, group in enumerate(groups):
        correct = int(sum(group))
        assert sum(chosen // size == number for chosen, _ in pairs) == min(correct, size - correct)


@repeatable
@given(st.lists(st.integers(0, 4).map(float), min_size=2, max_size=6), st.integers(0, 3))
def test_no_pairing_could_give_a_wider_total_margin(group, seed):
    # by brute force over all orders: best with worst, second best with second worst is the widest
    pairs = pairs_of([group], len(group), seed)
    found = sum(group[chosen] - group[rejected] for chosen, rejected in pairs)
    half = len(group) // 2
    widest = max(
        sum(abs(a - b) for a, b in zip(order[:half], order[half:], strict=False)) for order in permutations(group)
    )
    assert found == pytest.approx(widest)


@repeatable
@given(st.floats(-5, 5), st.integers(1, 8))
def test_equal_rewards_give_no_pair(value, size):
    assert pairs_of([[value] * size] * 3, size) == []


def test_ties_are_broken_by_the_given_stream_and_by_nothing_else():
    groups = [[1.0, 1, 1, 0, 0, 0, 0, 0]] * 20
    assert pairs_of(groups, 8, seed=1) == pairs_of(groups, 8, seed=1)
    assert pairs_of(groups, 8, seed=1) != pairs_of(groups, 8, seed=2)


def test_every_completion_of_a_tie_is_equally_likely_to_be_used():
    counts = np.zeros(8)
    for seed in range(4000):
        for _, rejected in pairs_of([[1.0, 0, 0, 0, 0, 0, 0, 0]], 8, seed):
            counts[rejected] += 1
    assert counts[0] == 0
    assert abs(counts[1:] - 4000 / 7).max() < 4 * (4000 / 7) ** 0.5


def test_example():
    assert pairs_of([[3.0, 9.0, 1.0, 5.0]], 4) == [(1, 2), (3, 0)]
    assert pairs_of([[0.0, 1.0], [1.0, 0.0]], 2) == [(1, 0), (2, 3)]
    assert pairs_of([[5.0]], 1) == []
