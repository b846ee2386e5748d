"""Methods with defects that were found in other tools fail a band that ours passes on the same simulated experiments.

Every experiment compares two arms that do not differ, so a test at .05 should reject in .05 of them.
"""

import numpy as np
import pytest
from scipy import stats

from rlbench.statistics import family, paired_difference

RUNS, SEEDS, PROMPTS = 1_500, 5, 50


def band(rate=0.05, runs=RUNS):
    """The central 99.8 % of a binomial count."""
    low, high = stats.binom.ppf([0.001, 0.999], runs, rate)
    return range(int(low), int(high) + 1)


@pytest.fixture(scope="module")
def over_seeds():
    """Differences [run, seed, prompt] with luck of seeds and fixed prompt effects that cancel: the truth is 0."""
    generator = np.random.default_rng(0)
    prompt_effects = stats.zscore(generator.normal(size=PROMPTS))
    luck = 0.6 * generator.normal(size=(RUNS, SEEDS, 1))
    return luck + prompt_effects + generator.normal(size=(RUNS, SEEDS, PROMPTS))


@pytest.fixture(scope="module")
def over_prompts():
    """Differences [run, prompt] of one pair of checkpoints on random prompts."""
    return np.random.default_rng(1).normal(size=(RUNS, PROMPTS))


@pytest.fixture(scope="module")
def prompt_resamples(over_prompts):
    """Means of 400 bootstrap resamples of every run, [resample, run]."""
    weights = np.random.default_rng(2).multinomial(PROMPTS, np.full(PROMPTS, 1 / PROMPTS), size=400)
    return weights @ over_prompts.T / PROMPTS


def of(differences, **options):
    return paired_difference(differences, np.zeros_like(differences), **options)


class TestOurs:
    def test_recipe(self, over_seeds):
        assert sum(of(each).p_value <= 0.05 for each in over_seeds) in band()

    def test_checkpoints(self, over_prompts):
        found = [of(each[None, :], estimand="checkpoints") for each in over_prompts]
        assert sum(not each.low <= 0 <= each.high for each in found) in band()
        assert sum(each.p_value <= 0.05 for each in found) in band()

    def test_a_family_of_ten(self, over_seeds):
        """The chance of any false claim in a family, with ten tests that share nothing: 1 − (1 − .005)^10 = .049."""
        estimates = [of(each) for each in over_seeds]
        families = [family(estimates[start : start + 10]) for start in range(0, RUNS, 10)]
        assert sum(any(each.p_adjusted <= 0.05 for each in one) for one in families) in band(0.0489, RUNS // 10)
        assert sum(any(each.low > 0 or each.high < 0 for each in one) for one in families) in band(0.0489, RUNS // 10)


def test_a_bootstrap_sd_divided_by_the_root_of_the_resamples_again(over_prompts, prompt_resamples):
    """lighteval: the sd of bootstrap means is the standard error already."""
    error = prompt_resamples.std(axis=0, ddof=1)
    value = np.abs(over_prompts.mean(axis=1))
    assert (value > 1.96 * error / np.sqrt(len(prompt_resamples))).sum() > 10 * band()[-1]


def test_differences_folded_before_they_are_centred(over_prompts, prompt_resamples):
    """sacreBLEU's paired bootstrap: |Δ*| − mean |Δ*| is compared with |Δ|; centring before folding is right."""
    value = np.abs(over_prompts.mean(axis=1))

    def rejected(null):
        return int(((1 + (null > value).sum(axis=0)) / (1 + len(null)) <= 0.05).sum())

    folded = np.abs(prompt_resamples)
    assert rejected(folded - folded.mean(axis=0)) > 1.3 * band()[-1]
    assert rejected(np.abs(prompt_resamples - prompt_resamples.mean(axis=0))) < 1.2 * band()[-1]


def test_bonferroni_inverted(over_seeds):
    """deep-significance: the level is multiplied by the number of tests where it should be divided."""
    p_values = stats.ttest_1samp(over_seeds.mean(axis=2), 0.0, axis=1).pvalue.reshape(-1, 10)
    assert (p_values.min(axis=1) <= 0.05 * 10).sum() > 5 * band(0.0489, RUNS // 10)[-1]
    assert (p_values.min(axis=1) <= 0.05 / 10).sum() in band(0.0489, RUNS // 10)


def test_the_direction_picked_from_the_data(over_seeds):
    """autorank: a one-sided test in whichever direction the data point has twice its level."""
    by_seed = over_seeds.mean(axis=2)
    up, down = (stats.ttest_1samp(by_seed, 0.0, axis=1, alternative=side).pvalue for side in ("greater", "less"))
    assert (np.where(by_seed.mean(axis=1) > 0, up, down) <= 0.05).sum() in band(0.10)
    assert band(0.10)[0] > band()[-1]


def test_percentiles_of_resampled_seeds(over_seeds):
    by_seed = over_seeds.mean(axis=2)
    drawn = np.random.default_rng(3).integers(0, SEEDS, size=(400, SEEDS))
    low, high = np.quantile(by_seed[:, drawn].mean(axis=2), [0.025, 0.975], axis=1)
    assert ((low > 0) | (high < 0)).sum() > 2 * band()[-1]


@pytest.mark.parametrize("units", ["prompts", "scores"])
def test_the_wrong_axis(over_seeds, units):
    """The mean of each prompt, or every score, taken for an independent unit of a claim about the recipe."""
    values = over_seeds.mean(axis=1) if units == "prompts" else over_seeds.reshape(RUNS, -1)
    assert (stats.ttest_1samp(values, 0.0, axis=1).pvalue <= 0.05).sum() > 2 * band()[-1]
