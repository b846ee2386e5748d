"""Seeds of coarse scores that agree by coincidence: a variance of zero would be a false certainty."""

import numpy as np
import pytest
from scipy import stats

from rlbench.statistics import bootstrap_difference, bootstrap_value, paired_difference

# three seeds of eight prompts: every seed gains one prompt, and each another one
GAINS = np.zeros((3, 8))
GAINS[0, 0] = GAINS[1, 3] = GAINS[2, 5] = 1.0
BASE = np.zeros((3, 8))


def mean(sums):
    return sums[..., 0] / sums[..., 1]


def counted(values):
    return np.stack([values, np.ones_like(values)], axis=-1)


def residual_mean_square(scores):
    residual = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    return np.square(residual).sum() / ((scores.shape[0] - 1) * (scores.shape[1] - 1))


def test_the_variance_is_then_the_residual_of_seeds_and_prompts():
    found = paired_difference(GAINS, BASE)
    expected = np.sqrt(residual_mean_square(GAINS) / 24)
    assert found.value == 1 / 8
    assert (found.standard_error, found.df) == (pytest.approx(expected), 2)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * expected)
    assert found.p_value == pytest.approx(2 * stats.t.sf(found.value / expected, 2))
    assert found.seed_sd == pytest.approx(expected * np.sqrt(3))
    assert "agree by coincidence" in found.method


def test_the_population_adds_prompts_to_it_and_checkpoints_need_no_seeds():
    scores = GAINS.copy()
    scores[:, 7] = 1.0  # one prompt gains in every seed
    population = paired_difference(scores, BASE, estimand="population")
    between_prompts = 3 * scores.mean(axis=0).var(ddof=1)
    residual = residual_mean_square(scores)
    assert between_prompts > residual
    assert population.standard_error**2 == pytest.approx((residual + between_prompts - residual) / 24)
    assert "agree by coincidence" in population.method
    checkpoints = paired_difference(scores, BASE, estimand="checkpoints")
    assert checkpoints.standard_error == pytest.approx(np.sqrt(scores.mean(axis=0).var(ddof=1) / 8))
    assert "coincidence" not in checkpoints.method


def test_unpaired_arms_are_looked_at_one_by_one():
    other = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1]], dtype=float)
    found = paired_difference(GAINS, other, paired_seeds=False)
    expected = residual_mean_square(GAINS) / 24 + other.mean(axis=1).var(ddof=1) / 3
    assert found.standard_error**2 == pytest.approx(expected)
    assert found.method.startswith("Welch")
    assert "agree by coincidence" in found.method


@pytest.mark.parametrize("paired_seeds", [True, False])
def test_the_bootstrap_of_a_mean_does_the_same_without_any_resample(paired_seeds):
    closed = paired_difference(GAINS, BASE, paired_seeds=paired_seeds)
    booted = bootstrap_difference(counted(GAINS), counted(BASE), mean, paired_seeds=paired_seeds)
    assert booted.standard_error == pytest.approx(closed.standard_error)
    assert (booted.p_value, booted.df) == (pytest.approx(closed.p_value), closed.df)
    assert booted.method == closed.method
    alone = bootstrap_value(counted(GAINS), mean)
    assert alone.standard_error == pytest.approx(closed.standard_error)
    population = bootstrap_difference(counted(GAINS), counted(BASE), mean, estimand="population", replicates=2_000)
    closed = paired_difference(GAINS, BASE, estimand="population")
    assert population.standard_error == pytest.approx(closed.standard_error, rel=0.1)


def test_a_ratio_gets_what_its_own_prompts_make_of_it():
    stats_a = np.stack([GAINS, 1 + np.arange(8) + BASE], axis=-1)  # hits per length; every seed has 1 / 36
    found = bootstrap_value(stats_a, mean)
    assert found.value == pytest.approx(1 / 36)
    left = stats_a.sum(axis=1, keepdims=True) - stats_a
    without = mean(left)
    centred = without - without.mean(axis=0) - without.mean(axis=1, keepdims=True) + without.mean()
    assert found.standard_error**2 == pytest.approx(np.square(centred).sum() * 7 / 8 / 2 / 3)


def test_where_really_nothing_varies_the_interval_stays_collapsed_and_says_so():
    same = np.ones((3, 8))
    for found in (
        paired_difference(same, BASE),
        paired_difference(GAINS + 0.1, GAINS),
        paired_difference(np.ones((3, 1)), np.zeros((3, 1))),
        bootstrap_difference(counted(same), counted(BASE), mean),
        bootstrap_difference(counted(np.ones((3, 1))), counted(np.zeros((3, 1))), mean),
    ):
        assert found.standard_error == found.seed_sd == 0.0
        assert found.p_value == 0.25
        assert "nothing varied" in found.method


def test_one_scored_prompt_shows_no_residual():
    sums = np.zeros((3, 8, 2))
    sums[:, 2] = [0.7, 1.0]
    found = bootstrap_value(sums, mean)
    assert (found.value, found.standard_error) == (pytest.approx(0.7), 0.0)


def test_continuous_scores_are_left_alone():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 20))
    found = paired_difference(a, b)
    assert found.standard_error == pytest.approx(np.std((a - b).mean(axis=1), ddof=1) / 2)
    assert "coincidence" not in found.method


def test_three_seeds_of_few_binary_prompts_now_err_no_more_often_than_they_say():
    """Accuracy .977 on 50 prompts against a reference known exactly: every tenth experiment has three equal seeds."""
    generator = np.random.default_rng(1)
    runs, missed, certain = 800, 0, 0
    known = np.full((3, 50), 0.977)
    for _ in range(runs):
        scores = (generator.random((3, 50)) < 0.977).astype(float)
        found = paired_difference(scores, known)
        missed += not found.low <= 0.0 <= found.high
        by_seed = (scores - known).mean(axis=1)
        certain += abs(by_seed.mean()) > stats.t.ppf(0.975, 2) * by_seed.std(ddof=1) / np.sqrt(3)
    assert certain > stats.binom.ppf(0.999, runs, 0.05)
    assert missed <= stats.binom.ppf(0.999, runs, 0.05)
