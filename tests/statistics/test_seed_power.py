import itertools

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from rlbench.errors import InputError
from rlbench.statistics import minimum_detectable_effect, paired_difference, seeds_needed, smallest_sign_flip_p, verdict
from rlbench.statistics.power import seeds_to_pass, smallest_relabelling_p


@pytest.mark.parametrize(("seeds", "effect"), [(3, 3.26), (4, 2.13), (5, 1.68), (8, 1.16), (10, 1.00), (20, 0.66)])
def test_the_published_table_of_effects(seeds, effect):
    assert round(minimum_detectable_effect(seeds), 2) == effect


def test_the_effect_is_found_as_often_as_promised():
    seeds, runs = 5, 20_000
    effect = minimum_detectable_effect(seeds, power=0.8)
    differences = np.random.default_rng(0).normal(effect, 1.0, size=(runs, seeds))
    found = int((stats.ttest_1samp(differences, 0.0, axis=1).pvalue <= 0.05).sum())
    assert stats.binom.ppf(0.0005, runs, 0.8) <= found <= stats.binom.ppf(0.9995, runs, 0.8)


@pytest.mark.parametrize("tests", [1, 3, 55, 1000])
@pytest.mark.parametrize("seeds", [3, 5, 10, 100])
def test_the_effect_has_its_power_at_the_level_of_a_large_family_too(seeds, tests):
    """By integration over the sample variance; scipy's noncentral t is no number in parts of its tails."""
    freedom, alpha = seeds - 1, 0.05 / tests
    shift = minimum_detectable_effect(seeds, alpha=alpha) * seeds**0.5
    critical = stats.t.isf(alpha / 2, freedom)

    def rejected(variance):
        bound = critical * (variance / freedom) ** 0.5
        return (stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift)) * stats.chi2.pdf(variance, freedom)

    turn = freedom * (shift / critical) ** 2
    found = integrate.quad(rejected, 0, stats.chi2.isf(1e-14, freedom), limit=500, points=[turn])[0]
    assert found == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 37, 400])
def test_seeds_needed_inverts_the_minimum_detectable_effect(seeds):
    effect = minimum_detectable_effect(seeds)
    assert seeds_needed(effect * 1.0001, 1.0) == seeds
    assert seeds_needed(-2.0 * effect * 1.0001, 2.0) == seeds


def test_seeds_needed_is_continuous_where_the_normal_takes_over():
    counts = [seeds_needed(effect, 1.0) for effect in np.linspace(0.0279, 0.0281, 21)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(counts))
    assert counts[0] - counts[-1] < 200


def test_seeds_that_do_not_vary_need_no_more_than_two():
    assert seeds_needed(0.01, 0.0) == 2


@pytest.mark.parametrize(("margin", "difference"), [(1.0, 0.0), (1.5, -0.4), (0.0, 1.1)])
def test_with_the_seeds_to_pass_a_gate_passes_as_often_as_promised(margin, difference):
    seeds, runs = seeds_to_pass(margin, 1.0, difference), 1_500
    generator = np.random.default_rng(0)

    def passed(count):
        differences = generator.normal(difference, 1.0, size=(runs, count, 1))
        verdicts = [verdict(paired_difference(each, np.zeros_like(each)), margin) for each in differences]
        return sum(each not in ("regressed", "inconclusive") for each in verdicts)

    assert passed(seeds) >= stats.binom.ppf(0.0005, runs, 0.8)
    assert passed(seeds - 1) <= stats.binom.ppf(0.9995, runs, 0.8)


@pytest.mark.parametrize("seeds", [2, 3, 5, 12, 300])
def test_seeds_to_pass_are_the_fewest_of_the_noncentral_t(seeds):
    critical = stats.t.ppf(0.95, seeds - 1)
    shift = 1.0001 * optimize.brentq(lambda each: stats.nct.sf(critical, seeds - 1, each) - 0.8, 0.5, 9.0)
    assert seeds_to_pass(shift / seeds**0.5, 1.0) == seeds
    assert seeds_to_pass(2.0 * shift / seeds**0.5, 4.0, 2.0 * shift / seeds**0.5) == seeds


def test_no_number_of_seeds_passes_a_loss_at_or_beyond_the_margin():
    assert seeds_to_pass(0.1, 1.0, -0.1) is None
    assert seeds_to_pass(0.1, 1.0, -0.2) is None
    assert seeds_to_pass(0.0, 1.0) is None
    assert seeds_to_pass(0.1, 0.0) == 2


def test_smallest_p_values():
    assert [smallest_sign_flip_p(seeds) for seeds in (1, 3, 5, 6)] == [1.0, 0.25, 0.0625, 0.03125]
    reference = stats.permutation_test(
        ([1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]), lambda x, y: np.mean(x) - np.mean(y), n_resamples=np.inf
    )
    assert smallest_relabelling_p(3, 4) == pytest.approx(reference.pvalue)
    assert smallest_relabelling_p(1, 1) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimum_detectable_effect(1), "at least 2 seeds"),
        (lambda: minimum_detectable_effect(5, power=0.01), "alpha < power"),
        (lambda: seeds_needed(0.0, 1.0), "other than zero"),
        (lambda: seeds_needed(1.0, -1.0), "zero or more"),
        (lambda: smallest_sign_flip_p(0), "at least 1"),
        (lambda: seeds_to_pass(-0.1, 1.0), "margin of zero or more"),
        (lambda: seeds_to_pass(0.1, -1.0), "zero or more"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(InputError, match=message):
        call()
