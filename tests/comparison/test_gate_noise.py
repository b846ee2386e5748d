"""The noise floor: what identical recipes differ by, measured on one arm's own seeds."""

import itertools

import numpy as np
import pytest
from regress_arms import arm, levels
from scipy import stats

from rlbench.comparison.gate import Check, Gate, Margin
from rlbench.comparison.noise import half_width, noise_floor, split_intervals, split_verdicts
from rlbench.comparison.regression import judge
from rlbench.registry import load


def test_every_split_is_welchs_interval_between_two_halves():
    values = np.array([0.50, 0.53, 0.47, 0.51, 0.58, 0.44])
    differences, widths = split_intervals(values)
    expected = []
    for rest in itertools.combinations(range(1, 6), 2):
        mine = [0, *rest]
        others = [place for place in range(6) if place not in mine]
        found = stats.ttest_ind(values[mine], values[others], equal_var=False)
        low, high = found.confidence_interval(0.9)
        expected.append((values[mine].mean() - values[others].mean(), (high - low) / 2))
    assert len(differences) == 10
    assert np.column_stack([differences, widths]) == pytest.approx(np.array(expected))


def test_an_odd_number_of_seeds_is_split_unevenly_and_many_seeds_at_random_but_always_alike():
    assert len(split_intervals(np.arange(5.0))[0]) == 10
    many = np.random.default_rng(0).normal(size=20)
    assert len(split_intervals(many)[0]) == 400
    assert np.array_equal(split_intervals(many)[0], split_intervals(many)[0])


def test_the_half_width_is_what_identical_recipes_get():
    generator = np.random.default_rng(1)
    drawn = generator.normal(0, 0.02, (4_000, 2, 5))
    sd = np.sqrt(drawn.var(axis=2, ddof=1).mean(axis=1))
    real = stats.t.ppf(0.95, 8) * sd * np.sqrt(2 / 5)
    values = dict(enumerate(stats.zscore(np.arange(5.0), ddof=1) * 0.02))
    assert half_width(values) == pytest.approx(np.sqrt((real**2).mean()), rel=0.02)


def test_splits_of_one_recipe_raise_false_alarms_as_often_as_ninety_percent_intervals_do():
    generator = np.random.default_rng(2)
    floors = [noise_floor(dict(enumerate(generator.normal(size=8)))) for _ in range(150)]
    assert 0.07 < np.mean([floor.split_false_alarms for floor in floors]) < 0.13
    assert {floor.splits for floor in floors} == {35}


def test_few_seeds_have_no_splits_and_one_has_no_noise():
    floor = noise_floor({0: 0.5, 1: 0.6, 2: 0.4})
    assert (floor.splits, floor.split_half_width, floor.seed_sd) == (0, None, pytest.approx(0.1))
    assert noise_floor({0: 0.5}) is None
    assert split_verdicts({0: 0.5, 1: 0.6, 2: 0.4}, 0.1) is None


def test_a_narrow_margin_is_undecided_between_halves_and_a_wide_one_is_not():
    values = dict(enumerate(np.random.default_rng(3).normal(0.5, 0.02, 10)))
    narrow, wide = split_verdicts(values, 0.001), split_verdicts(values, 0.2)
    assert narrow["undecided"] > 0.8
    assert (wide["undecided"], wide["regressed"]) == (0, 0)


def test_a_margin_below_the_noise_floor_is_warned_of():
    noisy = [0.5, 0.55, 0.45, 0.6, 0.4, 0.52]
    old, new = arm(levels(noisy)), arm(levels(noisy[::-1]))
    for margin, warned in ((0.01, True), (0.3, False)):
        checked = Gate((Check(load("metrics", "correctness"), Margin(margin, relative=False), "higher"),))
        (row,) = judge([old], [new], checked)["metrics"]
        assert row["noise"]["half_width"] == pytest.approx(half_width(dict(enumerate(noisy))))
        assert any("noise floor" in note for note in row["notes"]) == warned
