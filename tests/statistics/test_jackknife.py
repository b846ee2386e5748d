"""The jackknife where no sums over prompts exist, against known answers and a true standard deviation."""

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import jackknife_difference, paired_difference
from rlbench.statistics.jackknife import interaction_variance, metrics_without_each_prompt

VOCABULARY = 1 / np.arange(1, 2_001)


def distinct(texts):
    """Distinct-1 of all texts together: what must not be bootstrapped."""
    words = np.concatenate(texts)
    return np.count_nonzero(np.bincount(words)) / len(words)


def texts(generator, prompts, flatness=1.0):
    """Texts [prompt] of 20 words each from Zipf's law, with a fixed number of words in all."""
    shares = VOCABULARY**flatness
    return list(np.searchsorted(np.cumsum(shares / shares.sum()), generator.random((prompts, 20))))


def test_with_a_group_for_each_prompt_the_mean_has_its_paired_t_interval():
    a, b = np.random.default_rng(0).normal(size=(2, 15))
    ours = jackknife_difference(a, b, np.mean, confidence=0.9)
    reference = stats.ttest_rel(a, b)
    interval = reference.confidence_interval(0.9)
    assert (ours.low, ours.high, ours.p_value) == pytest.approx((interval.low, interval.high, reference.pvalue))
    assert (ours.df, ours.prompts, ours.estimand) == (14, 15, "checkpoints")


def test_groups_of_a_mean_give_the_t_interval_over_group_means():
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 200))
    ours = jackknife_difference(a, b, np.mean, groups=10)
    # any ten equal groups of independent prompts have the standard error of the mean, with 9 df: sd 24 %
    assert ours.standard_error == pytest.approx(np.std(a - b, ddof=1) / np.sqrt(200), rel=0.7)
    assert (ours.df, ours.method) == (9, "delete-group jackknife, t over 10 groups of prompts")


def test_distinct_words_have_their_true_standard_error_where_a_bootstrap_is_biased():
    generator = np.random.default_rng(2)
    prompts, runs = 60, 150
    values, errors = [], []
    for _ in range(runs):
        estimate = jackknife_difference(
            texts(generator, prompts, 1.1), texts(generator, prompts, 0.9), distinct, groups=10
        )
        values.append(estimate.value)
        errors.append(estimate.standard_error)
    true = np.std(values, ddof=1)  # from 150 runs: sd 6 %
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(true, rel=0.25)
    one = texts(generator, prompts)
    drawn = [distinct([one[i] for i in generator.integers(0, prompts, prompts)]) for _ in range(200)]
    assert np.quantile(drawn, 0.975) < distinct(one)  # the whole percentile interval lies below the value


def test_two_alike_arms_rarely_differ():
    generator = np.random.default_rng(3)
    runs = 200
    rejected = 0
    for _ in range(runs):
        estimate = jackknife_difference(texts(generator, 60), texts(generator, 60), distinct, groups=10)
        rejected += estimate.p_value <= 0.05
    assert stats.binom.ppf(0.001, runs, 0.05) <= rejected <= stats.binom.ppf(0.999, runs, 0.05)


def test_what_never_varies_is_no_evidence_and_the_same_call_gives_the_same_answer():
    same = list(np.random.default_rng(4).normal(size=30))
    found = jackknife_difference(same, same, np.mean)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert "nothing varied" in found.method
    other = list(np.random.default_rng(5).normal(size=30))
    assert jackknife_difference(same, other, np.median) == jackknife_difference(same, other, np.median)


def test_the_fallback_for_any_metric_is_a_t_interval_over_one_value_per_seed():
    a, b = np.random.default_rng(6).normal(size=(2, 5))
    ours = paired_difference(a[:, None], b[:, None])
    reference = stats.ttest_rel(a, b)
    assert ours.p_value == pytest.approx(reference.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_leaving_out_one_prompt_gives_the_residual_of_the_anova_for_a_mean():
    scores = np.random.default_rng(7).normal(size=(4, 30))
    sums = np.stack([scores, np.ones_like(scores)], axis=-1)
    without = metrics_without_each_prompt(sums, lambda total: total[..., 0] / total[..., 1])
    residual = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    assert interaction_variance(without) == pytest.approx(np.square(residual).sum() / (3 * 29) / (4 * 30))


@pytest.mark.parametrize(
    ("a", "b", "statistic", "options", "message"),
    [
        ([1.0, 2.0], [1.0], np.mean, {}, "got 2 and 1"),
        ([1.0], [1.0], np.mean, {}, "at least 2 prompts and 2 groups, got 1 and 20"),
        ([1.0, 2.0], [1.0, 2.0], np.mean, {"groups": 1}, "got 2 and 1"),
        ([1.0, 2.0], [1.0, 2.0], lambda items: np.nan, {}, "not finite 6 times"),
        ([1.0, 2.0], [1.0, 2.0], np.mean, {"confidence": 95}, "between 0 and 1"),
    ],
)
def test_bad_input_is_explained(a, b, statistic, options, message):
    with pytest.raises(InputError, match=message):
        jackknife_difference(a, b, statistic, **options)
