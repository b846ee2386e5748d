"""The best of n against every subset that could be drawn."""

import itertools
import math

import numpy as np
import pytest

from rlbench.statistics.best_of_n import best_of_n, best_of_n_kl


def by_enumeration(choosing, judging, n):
    """Mean over all subsets of the judging value of their best; equals share the first place."""
    found = []
    for subset in itertools.combinations(range(len(choosing)), n):
        top = max(choosing[index] for index in subset)
        winners = [judging[index] for index in subset if choosing[index] == top]
        found.append(sum(winners) / len(winners))
    return sum(found) / len(found)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_it_is_the_mean_over_all_subsets(n, ties):
    random = np.random.default_rng(n)
    choosing = random.integers(0, 3, (20, 6)).astype(float) if ties else random.normal(size=(20, 6))
    judging = random.normal(size=(20, 6))
    expected = [by_enumeration(list(a), list(b), n) for a, b in zip(choosing, judging, strict=True)]
    np.testing.assert_allclose(best_of_n(choosing, judging, n), expected, atol=1e-12)


def test_the_best_of_one_is_the_mean_and_the_best_of_all_the_maximum():
    values = np.random.default_rng(0).normal(size=(4, 5, 8))
    np.testing.assert_allclose(best_of_n(values, values, 1), values.mean(-1))
    np.testing.assert_allclose(best_of_n(values, values, 8), values.max(-1))


def test_a_score_that_says_the_opposite_makes_it_worse():
    values = np.random.default_rng(1).normal(size=(50, 8))
    means = [best_of_n(-values, values, n).mean() for n in range(1, 9)]
    assert means == sorted(means, reverse=True)


def test_the_divergence_is_that_of_the_density_of_a_maximum():
    """For a continuous score the best of n has density n u^(n-1) of its quantile u."""
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    for n in (1, 2, 4, 16):
        density = n * u ** (n - 1)
        assert best_of_n_kl(n) == pytest.approx(float(np.mean(density * np.log(density))), abs=1e-4)
    assert best_of_n_kl(1) == 0 < best_of_n_kl(2) < math.log(2)
