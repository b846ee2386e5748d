"""Every algorithm lifts a toy reward on the CPU in seconds, reproducibly."""

import pytest
from scipy import stats

pytestmark = pytest.mark.slow

SEEDS = range(5)
BATCHES = 12


def share_of_a(text, prompt=""):
    return text.count("a") / 3


def reward(candidates):
    return [share_of_a(candidate.completion) for candidate in candidates]


def without_clocks(curve):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in curve]


def test_it_lifts_the_reward_significantly(make, train, exact, name):
    runs = [train(make(name), reward, seed, BATCHES) for seed in SEEDS]
    before = exact.expected(runs[0].reference, share_of_a)
    gains = [exact.expected(run.policy, share_of_a) - before for run in runs]
    assert stats.ttest_1samp(gains, 0, alternative="greater").pvalue < 0.05
    assert min(gains) > 0, "so a sign test over five seeds gives p = 1/32"
    assert sum(gains) / len(gains) > 0.1
    assert len({run.trained.rollouts_digest for run in runs}) == len(SEEDS), "different seeds give different rollouts"
    assert len({run.weights for run in runs}) == len(SEEDS)


def test_the_same_seed_gives_the_same_bytes(make, train, name):
    one, other = (train(make(name), reward, 3, 4) for _ in range(2))
    assert one.trained.rollouts_digest == other.trained.rollouts_digest
    assert one.weights == other.weights
    assert without_clocks(one.curve) == without_clocks(other.curve)
