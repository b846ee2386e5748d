"""Interquartile means and performance profiles: published answers, and intervals whose unit is the seed."""

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import (
    interquartile_difference,
    interquartile_estimate,
    interquartile_mean,
    paired_difference,
    performance_profile,
)

# the arrays of rliable's own tests, [run, task]
X, Y = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]), np.array([[1, 1], [2, 2], [3, 3]])


def worlds(runs, seeds=3, tasks=8, seed=0):
    """Scores [run, seed, task] with tasks of different difficulty and seeds whose luck reaches all tasks."""
    generator = np.random.default_rng(seed)
    luck = 0.5 * generator.normal(size=(runs, seeds, 1))
    return np.arange(tasks) / 4 + luck + generator.normal(size=(runs, seeds, tasks))


def test_rliables_published_example():
    assert interquartile_mean(X) == 1.5
    assert interquartile_mean(Y) == 2.0


def test_it_is_scipys_trimmed_mean_and_ignores_an_odd_run():
    scores = worlds(1)[0]
    assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))
    odd = scores.copy()
    odd[np.unravel_index(scores.argmax(), scores.shape)] = 1e9
    assert interquartile_mean(odd) == interquartile_mean(scores)
    assert interquartile_mean([1.0, 2.0, 3.0, 100.0]) == 2.5


def test_the_interval_is_the_jackknife_over_seeds_by_hand():
    scores = worlds(1, seeds=4)[0]
    without = np.array([interquartile_mean(np.delete(scores, seed, axis=0)) for seed in range(4)])
    expected = np.sqrt(3 / 4 * np.square(without - without.mean()).sum())
    found = interquartile_estimate(scores, confidence=0.9)
    assert found.value == interquartile_mean(scores)
    assert (found.standard_error, found.df, found.p_value) == (pytest.approx(expected), 3, None)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.95, 3) * expected)
    assert (found.seeds, found.prompts) == (4, 8)


def test_differences_of_paired_seeds_take_out_what_they_share_and_unpaired_ones_are_welchs():
    a, b = worlds(2, seeds=5)
    luck = 100.0 * np.arange(5)[:, None]
    paired = interquartile_difference(a + luck, b + luck)
    assert paired.value == pytest.approx(interquartile_mean(a + luck) - interquartile_mean(b + luck))
    alone = [interquartile_estimate(arm) for arm in (a, b[:4])]
    unpaired = interquartile_difference(a, b[:4], paired_seeds=False)
    assert unpaired.standard_error == pytest.approx(np.hypot(*(arm.standard_error for arm in alone)))
    assert "5 and 4 unpaired seeds" in unpaired.method
    assert interquartile_difference(a + luck, b + luck, paired_seeds=False).standard_error > 5 * paired.standard_error


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says_and_percentiles_do_not(seeds):
    runs = 400
    truth = stats.trim_mean(worlds(20_000, seeds=1, seed=9), 0.25, axis=None)
    ours = percentile = 0
    drawn = np.random.default_rng(1).integers(0, seeds, size=(200, seeds))
    for scores in worlds(runs, seeds=seeds, seed=seeds):
        estimate = interquartile_estimate(scores)
        ours += estimate.low <= truth <= estimate.high
        ordered = np.sort(scores[drawn].reshape(200, -1), axis=1)
        low, high = np.quantile(ordered[:, 2 * seeds : 6 * seeds].mean(axis=1), [0.025, 0.975])
        percentile += low <= truth <= high
    assert stats.binom.ppf(0.001, runs, 0.94) <= ours <= stats.binom.ppf(0.999, runs, 0.96)
    assert percentile < stats.binom.ppf(0.001, runs, 0.94)


def test_where_the_middle_does_not_vary_the_interval_is_that_of_the_mean():
    scores = np.ones((3, 8))
    scores[0, 0], scores[1, 1] = 0.5, 0.2  # the middle half of all scores is 1 whichever seed is left out
    found = interquartile_estimate(scores)
    mean = paired_difference(scores, np.zeros_like(scores))
    assert found.value == 1.0
    assert found.standard_error == pytest.approx(mean.standard_error)
    assert "the middle half does not vary" in found.method
    constant = interquartile_estimate(np.ones((3, 8)))
    assert (constant.low, constant.high) == (1.0, 1.0)
    assert "nothing varied" in constant.method


def test_a_profile_is_the_share_of_runs_above_each_threshold():
    profile = performance_profile(Y, [0.0, 1.0, 2.5, 3.0])
    assert profile.share == pytest.approx([1.0, 4 / 6, 2 / 6, 0.0])
    assert profile.thresholds.tolist() == [0.0, 1.0, 2.5, 3.0]
    assert ((profile.low <= profile.share) & (profile.share <= profile.high)).all()
    assert ((profile.low >= 0) & (profile.high <= 1)).all()


def test_where_all_runs_agree_every_seed_is_one_case():
    """Wilson's interval at 0 of S, (0, t² / (S + t²)), with the t quantile."""
    profile = performance_profile(np.zeros((4, 10)), [0.5])
    square = stats.t.ppf(0.975, 3) ** 2
    assert (profile.low[0], profile.high[0]) == (0.0, pytest.approx(square / (4 + square)))


def test_runs_that_share_the_luck_of_their_seed_are_worth_fewer():
    generator = np.random.default_rng(2)
    independent = generator.random((10, 20))
    copied = np.repeat(generator.random((10, 1)), 20, axis=1)
    widths = []
    for scores in (independent, copied):
        profile = performance_profile(scores, [0.5])
        widths.append(float(profile.high[0] - profile.low[0]))
    assert widths[1] > 2 * widths[0]


@pytest.mark.parametrize("seeds", [3, 5])
def test_profiles_cover_the_truth_where_shares_with_a_t_interval_do_not(seeds):
    runs, thresholds = 400, np.array([-1.5, 0.0, 1.0, 2.0, 3.5])
    truth = (worlds(20_000, seeds=1, seed=9)[..., None] > thresholds).mean(axis=(0, 1, 2))
    ours, plain = np.zeros(5), np.zeros(5)
    quantile = stats.t.ppf(0.975, seeds - 1)
    for scores in worlds(runs, seeds=seeds, seed=seeds):
        profile = performance_profile(scores, thresholds)
        ours += (profile.low <= truth) & (truth <= profile.high)
        per_seed = (scores[..., None] > thresholds).mean(axis=1)
        half = quantile * per_seed.std(axis=0, ddof=1) / np.sqrt(seeds)
        plain += np.abs(per_seed.mean(axis=0) - truth) <= half
    assert (ours >= stats.binom.ppf(0.001, runs, 0.95)).all()
    assert plain.min() < stats.binom.ppf(0.001, runs, 0.8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interquartile_mean(np.ones((2, 3, 4))), r"\[seed\] or \[seed, task\]"),
        (lambda: interquartile_mean([1.0, np.inf]), "got inf at seed 1"),
        (lambda: interquartile_estimate(np.ones((1, 8))), "at least 2 seeds per arm, got 1"),
        (lambda: interquartile_estimate(np.ones((5, 3))), "at least 4 tasks for an interval, got 3"),
        (lambda: interquartile_difference(np.ones((5, 8)), np.ones((5, 7))), "same tasks in both arms, got 8 and 7"),
        (lambda: interquartile_difference(np.ones((5, 8)), np.ones((4, 8))), "same seeds in both arms"),
        (lambda: performance_profile(np.ones((1, 8)), [0.5]), "at least 2 seeds per arm, got 1"),
        (lambda: performance_profile(np.ones((2, 8)), [np.nan]), "thresholds: expected a list of finite numbers"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(InputError, match=message):
        call()
