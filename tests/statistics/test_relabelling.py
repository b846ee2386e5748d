"""Label randomisation of unpaired seeds against scipy and against exact rational arithmetic."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import relabelling_p
from rlbench.statistics.power import smallest_relabelling_p


def welch(x, y, axis=-1):
    return stats.ttest_ind(x, y, equal_var=False, axis=axis).statistic


@pytest.mark.parametrize(("n_a", "n_b"), [(3, 3), (2, 5), (5, 3), (4, 6)])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_few_seeds_are_enumerated_exactly_as_by_scipy(n_a, n_b, shift):
    generator = np.random.default_rng(n_a * 10 + n_b)
    a, b = generator.normal(shift, 1.0, n_a), generator.normal(0.0, 3.0, n_b)
    reference = stats.permutation_test((a, b), welch, permutation_type="independent", n_resamples=np.inf)
    assert relabelling_p(a, b) == pytest.approx(reference.pvalue)


def test_random_labelings_agree_with_scipys():
    generator = np.random.default_rng(1)
    a, b = generator.normal(0.55, 1.0, 30), generator.normal(0.0, 1.5, 45)
    reference = stats.permutation_test((a, b), welch, vectorized=True, n_resamples=4_999, rng=np.random.default_rng(2))
    sd = math.sqrt(reference.pvalue * (1 - reference.pvalue) * (1 / 4_999 + 1 / 9_999))
    assert 0.01 < reference.pvalue < 0.2
    assert relabelling_p(a, b) == pytest.approx(reference.pvalue, abs=2 * 4 * sd)  # twice one tail


def by_fractions(a, b):
    """The definition in exact arithmetic: the signed square of t for every labeling, infinite without variation."""
    pooled = [Fraction(value) for value in [*a, *b]]

    def signed_square(chosen):
        groups = [pooled[i] for i in chosen], [pooled[i] for i in range(len(pooled)) if i not in chosen]
        means = [sum(group) / len(group) for group in groups]
        variance = sum(
            sum((value - mean) ** 2 for value in group) / (len(group) - 1) / len(group)
            for group, mean in zip(groups, means, strict=True)
        )
        difference = means[0] - means[1]
        sign = (difference > 0) - (difference < 0)
        return (sign, difference**2 / variance) if variance else (sign * 2, 0)

    def order(pair):
        sign, size = pair
        return (sign, sign * size)

    observed = order(signed_square(range(len(a))))
    found = [order(signed_square(chosen)) for chosen in itertools.combinations(range(len(pooled)), len(a))]
    tails = sum(each >= observed for each in found), sum(each <= observed for each in found)
    return min(1.0, 2 * min(tails) / len(found))


@pytest.mark.parametrize("seed", range(12))
def test_ties_of_coarse_values_count_as_in_exact_arithmetic(seed):
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, 3, 4), generator.integers(0, 3, 3 + seed % 2)
    expected = by_fractions(a.tolist(), b.tolist())
    assert relabelling_p(a, b) == expected
    assert relabelling_p(a / 10 + 0.1, b / 10 + 0.1) == expected  # tenths have rounding errors
    assert relabelling_p(a / 10 + 1000.1, b / 10 + 1000.1) == expected


def test_arms_of_one_size_are_ordered_by_their_means():
    generator = np.random.default_rng(3)
    a, b = generator.normal(0.5, 2.0, 5), generator.normal(0.0, 0.1, 5)
    reference = stats.permutation_test((a, b), lambda x, y: x.mean() - y.mean(), n_resamples=np.inf)
    assert relabelling_p(a, b) == pytest.approx(reference.pvalue)


def test_studentising_errs_less_than_the_plain_difference_where_arms_vary_differently():
    generator = np.random.default_rng(4)
    runs, rejected, plain = 150, 0, 0
    chosen = generator.permuted(np.tile(np.arange(40) < 10, (999, 1)), axis=1).astype(float)
    for _ in range(runs):
        a, b = generator.normal(0.0, 4.0, 10), generator.normal(0.0, 1.0, 30)
        rejected += relabelling_p(a, b) <= 0.05
        sums = chosen @ np.concatenate([a, b])  # a difference of means is linear in the sum of one arm
        plain += 2 * (1 + min((sums >= a.sum()).sum(), (sums <= a.sum()).sum())) / 1_000 <= 0.05
    assert plain > stats.binom.ppf(0.999, runs, 0.1)
    assert rejected < 0.8 * plain


def test_under_exchangeability_it_errs_as_often_as_it_says_or_less():
    generator = np.random.default_rng(5)
    runs = 600
    rejected = sum(relabelling_p(*np.split(generator.standard_t(2, 9), [4])) <= 0.05 for _ in range(runs))
    assert rejected <= stats.binom.ppf(0.999, runs, 0.05)
    assert rejected >= stats.binom.ppf(0.001, runs, 6 / 126)  # twice the tail of 3 of 126 labelings


def test_constant_arms():
    assert relabelling_p(np.ones(4), np.ones(3)) == 1.0
    assert relabelling_p(np.full(3, 0.1 + 0.2), np.full(3, 0.3)) == 1.0  # they differ by rounding only
    assert relabelling_p(np.ones(3), np.zeros(3)) == smallest_relabelling_p(3, 3) == 0.1
    assert relabelling_p(np.ones(3), np.zeros(5)) == smallest_relabelling_p(3, 5)


def test_the_same_data_give_the_same_p_and_swapping_arms_changes_nothing():
    generator = np.random.default_rng(6)
    a, b = generator.normal(size=20), generator.normal(0.4, size=20)
    assert relabelling_p(a, b) == relabelling_p(a, b)
    assert relabelling_p(a[:5], b[:6]) == relabelling_p(b[:6], a[:5])


@pytest.mark.parametrize("bad", [[1.0], [], [[1.0, 2.0]], [1.0, np.nan], [1.0, np.inf]])
def test_bad_values_are_explained(bad):
    with pytest.raises(InputError, match="'b': expected at least 2 finite values, one per seed"):
        relabelling_p([1.0, 2.0], bad)
