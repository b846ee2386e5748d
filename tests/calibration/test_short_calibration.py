"""The short calibration: what is offered keeps its error rates, and usual habits of others do not."""

import pytest
from scipy import stats

from rlbench.calibration.cells import Band
from rlbench.calibration.grid import SHORT, grid, short_grid
from rlbench.calibration.simulate import measure

RUNS = 1_500
# t intervals of normal differences: their error rate is 5 % and not just near it
EXACT = {
    "recipe/normal/balanced/20//0/5",
    "recipe/normal/seeds dominate/20//0/3",
    "checkpoints/normal/balanced/20//0/3",
    "others/ours: t over seeds/recipe/seeds dominate/ours: t over seeds/5",
}
# a habit, and whether it raises too many or too few alarms
CARELESS = [
    "others/percentile bootstrap of the seeds/recipe/seeds dominate/percentile bootstrap of the seeds/5",
    "others/mean over seeds ± 1.96 standard errors/recipe/seeds dominate/mean over seeds ± 1.96 standard errors/5",
    "others/prompts as the unit/recipe/seeds dominate/prompts as the unit/5",
    "others/all scores independent, ± 1.96/population/seeds dominate/all scores independent, ± 1.96/5",
    "others/crossed bootstrap variance as it stands, ± 1.96/population/seeds dominate/"
    "crossed bootstrap variance as it stands, ± 1.96/5",
]
TIMID = [
    "others/crossed bootstrap variance as it stands, t/population/nothing but noise/"
    "crossed bootstrap variance as it stands, t/10",
]
TYPE_ONE = Band(0.04, 0.065)


@pytest.fixture(scope="module")
def measured():
    cells = short_grid()
    found = measure(cells, RUNS, workers=1)
    return {cell.name: result for cell, result in zip(cells, found, strict=True)}


def test_every_cell_of_the_short_grid_exists_and_all_names_differ():
    names = [cell.name for cell in grid()]
    assert len(set(names)) == len(names)
    assert set(names) >= SHORT


def test_every_rate_lies_in_its_band(measured):
    assert not {name: result.outside for name, result in measured.items() if result.outside}
    assert sum(bool(result.bands) for result in measured.values()) >= 20


def test_exact_methods_err_in_five_percent_of_experiments(measured):
    low, high = stats.binom.ppf([0.001, 0.999], RUNS, 0.05)
    for name in EXACT:
        assert low <= measured[name].counts["missed"] <= high, name
        assert low <= measured[name].counts["rejected"] <= high, name


@pytest.mark.parametrize("name", CARELESS)
def test_careless_habits_fail_the_band(measured, name):
    assert measured[name].counts["rejected"] > stats.binom.ppf(0.999, RUNS, TYPE_ONE.high)


@pytest.mark.parametrize("name", TIMID)
def test_timid_habits_fail_the_band(measured, name):
    assert measured[name].counts["rejected"] < stats.binom.ppf(0.001, RUNS, TYPE_ONE.low)


def test_a_shared_policy_that_is_sampled_once_is_not_covered(measured):
    once = measured["shared/once for all seeds/once for all seeds/5"]
    assert once.counts["missed"] > stats.binom.ppf(0.999, RUNS, 0.1)


def test_a_gate_at_its_margin_passes_and_fails_rarely(measured):
    at_margin = measured["verdicts/recipe/recipe/0.8/-1 m/5"]
    highest = stats.binom.ppf(0.999, RUNS, 0.05)
    assert 0 < at_margin.counts["passes"] <= highest
    assert 0 < at_margin.counts["regressed"] <= highest


def test_a_loss_of_two_margins_with_little_noise_is_called_a_regression(measured):
    assert measured["verdicts/recipe/recipe/0.3/-2 m/5"].rate("regressed") > 0.9
