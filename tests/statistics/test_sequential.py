from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import paired_difference
from rlbench.statistics.sequential import Look, judge_look, looks


def stopped(declared, differences):
    """The index of the look at which each row of seed differences [run, seed] crosses its bound; -1 where none does."""
    first = np.full(len(differences), -1)
    for index, look in reversed(list(enumerate(declared))):
        t = stats.ttest_1samp(differences[:, : look.seeds], 0.0, axis=1).statistic
        first[np.abs(t) >= look.bound] = index
    return first


def test_the_declared_default_has_the_published_bounds():
    # statistics.md gives 5.445, 2.854 and 2.460, found by simulation
    declared = looks()
    assert [look.seeds for look in declared] == [5, 8, 10]
    assert [look.bound for look in declared] == pytest.approx([5.445, 2.854, 2.460], abs=0.015)
    nominal = [2 * stats.t.sf(look.bound, look.seeds - 1) for look in declared]
    assert [look.nominal_p for look in declared] == pytest.approx(nominal)


@pytest.mark.parametrize(("seeds", "alpha"), [((5, 8, 10), 0.05), ((3, 4, 5), 0.05), ((2, 6), 0.1), ((4, 7, 9), 0.2)])
def test_every_look_spends_what_it_may_and_all_together_alpha(seeds, alpha):
    runs, declared = 100_000, looks(seeds, alpha)
    first = stopped(declared, np.random.default_rng(0).normal(size=(runs, seeds[-1])))
    spent = [2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(each / seeds[-1])) for each in seeds]
    for index, share in enumerate(np.diff(spent, prepend=0)):
        assert stats.binom.ppf(5e-5, runs, share) <= (first == index).sum() <= stats.binom.ppf(1 - 5e-5, runs, share)
    assert stats.binom.ppf(5e-5, runs, alpha) <= (first >= 0).sum() <= stats.binom.ppf(1 - 5e-5, runs, alpha)
    assert spent[-1] == pytest.approx(alpha)


def test_unadjusted_looks_and_bounds_of_the_normal_law_spend_more():
    runs = 100_000
    differences = np.random.default_rng(1).normal(size=(runs, 10))
    unadjusted = [Look(seeds, stats.t.isf(0.025, seeds - 1), 0.05) for seeds in (5, 8, 10)]
    # the same spending by the joint normal law has z = 2.772, 2.223, 2.056; as t quantiles of the same nominal p:
    of_normal_law = [Look(5, 5.431, 0.00557), Look(8, 2.808, 0.0262), Look(10, 2.402, 0.0398)]
    for wrong, least in ((unadjusted, 0.09), (of_normal_law, 0.0515)):
        assert (stopped(wrong, differences) >= 0).mean() > least


def test_a_large_difference_stops_early_and_one_look_is_the_t_test():
    differences = np.random.default_rng(2).normal(4.0, 1.0, size=(2_000, 10))
    first = stopped(looks(), differences)
    assert (first == 0).mean() > 0.8
    assert (first >= 0).all()
    (only,) = looks((10,))
    assert only.bound == pytest.approx(stats.t.isf(0.025, 9))
    assert only.nominal_p == pytest.approx(0.05)


def test_looks_far_apart_and_at_small_alpha_have_bounds():
    early, late = looks((3, 100))
    assert early.nominal_p < 1e-20
    assert late.bound == pytest.approx(stats.t.isf(0.025, 99), abs=1e-3)
    assert [look.nominal_p < 0.001 for look in looks((5, 8, 10), 0.001)] == [True, True, True]


@pytest.mark.parametrize("seeds", [5, 8, 10])
def test_the_judgement_is_the_statistic_against_the_bound(seeds):
    generator, declared = np.random.default_rng(seeds), looks()
    look = next(each for each in declared if each.seeds == seeds)
    claims = 0
    for shift in np.linspace(0, 3, 60):
        scores = shift + generator.normal(size=(seeds, 4))
        estimate = paired_difference(scores, np.zeros_like(scores))
        decision = judge_look(estimate, declared)
        t = estimate.value / estimate.standard_error
        assert decision.significant == (abs(t) >= look.bound)
        assert decision.may_stop == (decision.significant or seeds == 10)
        assert decision.significant == (not decision.low <= 0 <= decision.high)
        assert decision.high - decision.low == pytest.approx(2 * look.bound * estimate.standard_error)
        claims += decision.significant
    assert 0 < claims < 60


def test_a_difference_without_variation_does_not_stop_five_seeds():
    estimate = paired_difference(np.ones((5, 3)), np.zeros((5, 3)))
    assert not judge_look(estimate, looks()).may_stop  # no relabelling of 5 seeds has p below .0625


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ((), "1 to 3"),
        ((3, 5, 8, 10), "1 to 3 numbers of seeds, got 4"),
        ((5, 5, 8), "grow"),
        ((8, 5), "grow"),
        ((1, 5), "from 2 on"),
    ],
)
def test_looks_that_cannot_be_declared_are_refused(seeds, told):
    with pytest.raises(InputError, match=told):
        looks(seeds)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, float("nan")])
def test_an_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(InputError, match="alpha"):
        looks(alpha=alpha)


def test_looking_where_no_look_was_declared_is_refused():
    scores = np.random.default_rng(0).normal(size=(7, 3))
    with pytest.raises(InputError, match="expected 5 or 8 or 10 seeds, as declared, got 7"):
        judge_look(paired_difference(scores, -scores), looks())
    by_prompts = paired_difference(scores[:5], -scores[:5], estimand="checkpoints")
    with pytest.raises(InputError, match="got 'checkpoints'"):
        judge_look(by_prompts, looks())
    with pytest.raises(InputError, match="got one arm"):
        judge_look(replace(paired_difference(scores[:5], -scores[:5]), p_value=None), looks())
