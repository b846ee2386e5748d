"""Which completions of a prompt are compared: the strategies beside the ranking."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.records import Chat, Message
from rlbench.rollouts.preferences import LabelledPair, draw_pairs

repeatable = settings(derandomize=True, deadline=None)
STRATEGIES = ("rank", "best_worst", "random", "all")


@st.composite
def batches(draw):
    size = draw(st.integers(1, 6))
    rewards = draw(st.lists(st.integers(0, 3).map(float), min_size=size, max_size=4 * size))
    return rewards[: len(rewards) // size * size], size


def possible(rewards, size):
    """All pairs of one prompt of which the first is better, by enumeration."""
    indices = range(len(rewards))
    return {(a, b) for a, b in product(indices, indices) if a // size == b // size and rewards[a] > rewards[b]}


@repeatable
@given(batches(), st.integers(0, 3), st.sampled_from(STRATEGIES))
def test_every_pair_is_of_one_prompt_strictly_better_and_there_once(batch, seed, pairing):
    rewards, size = batch
    found = draw_pairs(rewards, size, np.random.default_rng(seed), pairing)
    assert set(found) <= possible(rewards, size)
    assert len(set(found)) == len(found)


@repeatable
@given(batches(), st.integers(0, 3))
def test_all_are_all(batch, seed):
    rewards, size = batch
    assert set(draw_pairs(rewards, size, np.random.default_rng(seed), "all")) == possible(rewards, size)


@repeatable
@given(batches(), st.integers(0, 3), st.sampled_from(["best_worst", "random"]))
def test_a_prompt_whose_rewards_differ_gives_one_pair_and_any_other_none(batch, seed, pairing):
    rewards, size = batch
    found = Counter(chosen // size for chosen, _ in draw_pairs(rewards, size, np.random.default_rng(seed), pairing))
    for prompt in range(len(rewards) // size):
        group = rewards[prompt * size : (prompt + 1) * size]
        assert found[prompt] == (len(set(group)) > 1)


@repeatable
@given(batches(), st.integers(0, 3))
def test_best_and_worst_are_the_first_pair_of_the_ranking(batch, seed):
    rewards, size = batch
    best = draw_pairs(rewards, size, np.random.default_rng(seed), "best_worst")
    ranked = draw_pairs(rewards, size, np.random.default_rng(seed), "rank")
    firsts = {chosen // size: (chosen, rejected) for chosen, rejected in reversed(ranked)}
    assert sorted(best) == sorted(firsts.values())
    for chosen, rejected in best:
        group = rewards[chosen // size * size : (chosen // size + 1) * size]
        assert (rewards[chosen], rewards[rejected]) == (max(group), min(group))


def test_every_unequal_pair_is_equally_likely_to_be_drawn():
    rewards = [0.0, 1.0, 1.0, 2.0, 0.0]
    counts = Counter(draw_pairs(rewards, 5, np.random.default_rng(seed), "random")[0] for seed in range(4000))
    expected = 4000 / len(possible(rewards, 5))
    assert set(counts) == possible(rewards, 5)
    assert max(abs(count - expected) for count in counts.values()) < 4 * expected**0.5


def test_strategies_by_hand():
    rewards = [3.0, 9.0, 1.0, 5.0]
    found = {pairing: draw_pairs(rewards, 4, np.random.default_rng(0), pairing) for pairing in STRATEGIES}
    assert found["rank"] == [(1, 2), (3, 0)]
    assert found["best_worst"] == [(1, 2)]
    assert sorted(found["all"]) == [(0, 2), (1, 0), (1, 2), (1, 3), (3, 0), (3, 2)]
    assert len(found["random"]) == 1


@pytest.mark.parametrize("prompt", ["a text", Chat([Message("system", "x"), Message("user", "y")])])
def test_a_labelled_pair_comes_back_as_it_was_and_turning_it_twice_changes_nothing(prompt):
    pair = LabelledPair(prompt, "good", "bad", 1.0, 0.0, False, "train")
    again = LabelledPair.from_json(pair.to_json())
    assert again == pair
    assert getattr(again.prompt, "messages", None) == getattr(prompt, "messages", None)
    wrong = pair.turned()
    assert (wrong.chosen, wrong.rejected, wrong.chosen_gold, wrong.rejected_gold) == ("bad", "good", 0.0, 1.0)
    assert wrong.flipped
    assert wrong.turned() == pair
