"""What comparisons do with data that are odd: defined, and never a silent drop."""

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import bootstrap_difference, paired_difference

ESTIMANDS = ["checkpoints", "recipe", "population"]


def scores(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_two_seeds_have_one_degree_of_freedom():
    a, b = scores(1, (2, 30)), scores(2, (2, 30))
    found = paired_difference(a, b)
    assert found.df == 1
    assert found.p_value == pytest.approx(stats.ttest_rel(a.mean(axis=1), b.mean(axis=1)).pvalue)
    assert paired_difference(a, b, estimand="population").df == 1


def test_one_prompt_is_enough_for_the_recipe_only():
    a, b = scores(1, (4, 1)), scores(2, (4, 1))
    assert paired_difference(a, b).p_value == pytest.approx(stats.ttest_rel(a[:, 0], b[:, 0]).pvalue)
    for estimand in ("checkpoints", "population"):
        with pytest.raises(InputError, match="at least 2 prompts, got 1"):
            paired_difference(a, b, estimand=estimand)


def test_a_seed_missing_in_one_arm_is_refused_where_seeds_are_paired_and_welchs_where_not():
    a, b = scores(1, (5, 30)), scores(2, (4, 30))
    with pytest.raises(InputError, match="got 5 and 4; finish the missing runs, or declare paired_seeds=False"):
        paired_difference(a, b)
    found = paired_difference(a, b, paired_seeds=False)
    assert found.seeds == 4
    reference = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    assert found.p_value == pytest.approx(reference.pvalue)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_arms_may_have_different_numbers_of_samples(estimand):
    a, b = scores(1, (4, 20, 8)), scores(2, (4, 20, 3))
    found = paired_difference(a, b, estimand=estimand)
    assert found == paired_difference(a.mean(axis=2), b.mean(axis=2), estimand=estimand)


def test_ragged_samples_padded_with_nan_are_refused_by_place_and_pooled_as_sums():
    a = scores(1, (3, 10, 4))
    a[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="got nan at seed 1, prompt 2, sample 3") as refused:
        paired_difference(a, scores(2, (3, 10, 4)))
    assert "sufficient statistics" in str(refused.value)
    sums = np.stack([np.nansum(a, axis=2), np.isfinite(a).sum(axis=2)], axis=-1)
    zero = np.stack([np.zeros((3, 10)), np.ones((3, 10))], axis=-1)
    found = bootstrap_difference(sums, zero, lambda total: total[..., 0] / total[..., 1])
    assert found.value == pytest.approx(np.nanmean(a, axis=(1, 2)).mean())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_what_is_not_finite_is_never_dropped(estimand, value):
    a = scores(1, (3, 10))
    a[2, 7] = value
    with pytest.raises(InputError, match=f"'b': expected finite numbers, got {value} at seed 2, prompt 7"):
        paired_difference(scores(2, (3, 10)), a, estimand=estimand)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 5, 0), ()])
def test_nothing_is_refused(shape):
    with pytest.raises(InputError, match="not empty"):
        paired_difference(np.ones(shape), np.ones(shape))


def test_a_prompt_given_twice_counts_as_two_prompts():
    """Arrays have no names, so it is for the caller to prevent: the interval over prompts is then too narrow."""
    a, b = scores(1, (5, 30)), scores(2, (5, 30))
    doubled = [np.repeat(each, 2, axis=1) for each in (a, b)]
    assert paired_difference(*doubled).p_value == pytest.approx(paired_difference(a, b).p_value)
    once, twice = (paired_difference(*each, estimand="checkpoints") for each in ((a, b), doubled))
    assert twice.standard_error == pytest.approx(once.standard_error * np.sqrt(29 / 59))


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_one_constant_arm_is_a_comparison_with_a_known_value(estimand):
    a = scores(1, (5, 30))
    found = paired_difference(a, np.full((5, 30), 0.25), estimand=estimand)
    zero = paired_difference(a, np.zeros((5, 30)), estimand=estimand)
    assert found.value == pytest.approx(zero.value - 0.25)
    assert found.standard_error == pytest.approx(zero.standard_error)


def test_huge_and_tiny_units_change_no_p():
    a, b = scores(1, (5, 30)), scores(2, (5, 30))
    p_value = paired_difference(a, b).p_value
    assert paired_difference(a * 1e150, b * 1e150).p_value == pytest.approx(p_value)
    assert paired_difference(a * 1e-150, b * 1e-150).p_value == pytest.approx(p_value)


def test_what_is_no_array_of_numbers_is_explained():
    for odd in ([[1.0, 2.0], [3.0]], [["a", "b"], ["c", "d"]], None):
        with pytest.raises(InputError, match=r"expected an array"):
            paired_difference(odd, np.zeros((2, 2)))
    masked = np.ma.masked_array(np.zeros((2, 2)), mask=[[False, True], [False, False]])
    with pytest.raises(InputError, match="expected finite numbers, got nan at seed 0, prompt 1"):
        paired_difference(masked, np.zeros((2, 2)))


def test_a_difference_of_pure_rounding_is_zero():
    assert paired_difference([[0.1 + 0.2], [0.3]], [[0.3], [0.1 + 0.2]]).value == 0.0
