"""The gate's verdicts: every class by construction, and false claims no more often than they may be.

Simulated candidates go through the very function that judges real ones; only their estimates are drawn here.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rlbench.comparison.deciding import lattice, needed, p_beyond
from rlbench.comparison.gate import Check, Margin
from rlbench.comparison.measuring import Measured
from rlbench.comparison.regression import judge_all
from rlbench.registry import load
from rlbench.statistics import paired_difference

MARGIN = 0.02
HIGHER = Check(load("metrics", "correctness"), Margin(MARGIN, relative=False), "higher")
LOWER = Check(load("metrics", "perplexity"), Margin(MARGIN, relative=False), "lower")
BOTH = Check(load("metrics", "mean_length"), Margin(MARGIN, relative=False), "both")


def measured(differences, check=HIGHER, **changes):
    """What is measured when the seeds differ like this (candidate − baseline)."""
    new = np.asarray(differences, dtype=float)[:, None]
    estimate = paired_difference(new, np.zeros_like(new), confidence=0.9)
    return Measured("sums", "grpo", "grpo", check, {}, {}, estimate=estimate, **changes)


def said(differences, check=HIGHER, **changes):
    (row,) = judge_all([measured(differences, check, **changes)])
    return row


def spread(centre, sd=0.001, seeds=5):
    noise = np.linspace(-1, 1, seeds)
    return centre + sd * noise / noise.std(ddof=1)


@pytest.mark.parametrize(
    ("centre", "sd", "verdict", "passed"),
    [
        (-0.04, 0.002, "regressed", False),
        (-0.01, 0.002, "worse within margin", True),
        (0.0, 0.002, "equivalent", True),
        (0.04, 0.002, "improved", True),
        (0.02, 0.03, "non-inferior", True),
        (0.0, 0.05, "inconclusive", False),
        (-0.02, 0.002, "inconclusive", False),
    ],
)
@pytest.mark.parametrize(("check", "sign"), [(HIGHER, 1), (LOWER, -1)])
def test_every_class_of_the_lattice(centre, sd, verdict, passed, check, sign):
    row = said(sign * spread(centre, sd), check)
    assert (row["verdict"], row["passed"]) == (verdict, passed)
    assert bool(row["reasons"]) == (verdict == "inconclusive")


@pytest.mark.parametrize(
    ("centre", "verdict"),
    [(0.0, "equivalent"), (0.01, "equivalent"), (-0.04, "regressed"), (0.04, "regressed"), (0.02, "inconclusive")],
)
def test_a_monitor_that_must_stay_is_judged_on_both_sides(centre, verdict):
    assert said(spread(centre), BOTH)["verdict"] == verdict


def test_a_pass_that_is_worse_says_so():
    assert "it is worse, but by less than the margin" in said(spread(-0.01))["notes"]


def test_the_p_of_a_regression_is_scipys_one_sided_t_test():
    differences = np.array([-0.05, -0.02, -0.04, -0.03, -0.01])
    estimate = measured(differences).estimate
    below = stats.ttest_1samp(differences, -MARGIN, alternative="less").pvalue
    above = stats.ttest_1samp(differences, MARGIN, alternative="greater").pvalue
    assert p_beyond(estimate, MARGIN, "higher") == pytest.approx(below)
    assert p_beyond(estimate, MARGIN, "lower") == pytest.approx(above)
    assert p_beyond(estimate, MARGIN, "both") == pytest.approx(2 * below)


def test_no_p_above_05_passes():
    """What is not shown to be within the margin is not passed, however unremarkable the difference is."""
    generator = np.random.default_rng(0)
    passed = 0
    for sd in generator.uniform(0.005, 0.1, 150):
        differences = generator.normal(0, sd, 4)
        row = said(differences)
        if row["passed"]:
            passed += 1
            assert stats.ttest_1samp(differences, -MARGIN, alternative="greater").pvalue <= 0.05
    assert 10 < passed < 140


def test_three_noisy_seeds_are_inconclusive_and_the_seeds_that_would_decide_are_named():
    row = said([-0.03, 0.04, -0.02])
    assert row["verdict"] == "inconclusive"
    assert row["needed_unit"] == "seeds"
    assert row["needed_if_unchanged"] > 3
    assert row["needed_as_observed"] > row["needed_if_unchanged"]  # it looks a little worse
    assert row["observed_would"] == "pass"


def test_so_many_seeds_pass_as_often_as_promised():
    noisy = measured([-0.03, 0.04, -0.02]).estimate
    seeds, _, _ = needed(noisy, MARGIN, "higher", tests=1)
    both, _, _ = needed(noisy, MARGIN, "both", tests=1)
    generator = np.random.default_rng(1)
    for count, direction in ((seeds, "higher"), (both, "both")):
        drawn = generator.normal(0, noisy.seed_sd, (2_000, count))
        half = stats.t.ppf(0.95, count - 1) * drawn.std(axis=1, ddof=1) / np.sqrt(count)
        inside = drawn.mean(axis=1) - half > -MARGIN
        if direction == "both":
            inside &= drawn.mean(axis=1) + half < MARGIN
        assert 0.77 < inside.mean() < 0.9
    assert both > seeds


def test_seeds_are_advised_by_how_much_they_vary_however_many_each_side_has():
    sd = 0.02
    a, b = (spread(0.5, sd, seeds)[:, None] for seeds in (4, 40))
    estimate = paired_difference(b, a, confidence=0.9, paired_seeds=False)
    seeds, _, _ = needed(estimate, MARGIN, "higher", tests=1)
    drawn = np.random.default_rng(4).normal(0, sd, (2, 4_000, seeds))
    half = stats.t.ppf(0.95, 2 * seeds - 2) * np.sqrt(drawn.var(axis=2, ddof=1).sum(axis=0) / seeds)
    passed = drawn[1].mean(axis=1) - drawn[0].mean(axis=1) - half > -MARGIN
    assert 0.79 < passed.mean() < 0.85


def test_what_is_beyond_the_margin_alone_but_not_among_many_is_inconclusive_and_says_why():
    alone = spread(-0.03, 0.007)
    assert said(alone)["verdict"] == "regressed"
    rows = judge_all([measured(alone), *(measured(spread(0.0)) for _ in range(9))])
    assert rows[0]["verdict"] == "inconclusive"
    assert rows[0]["p_adjusted"] == pytest.approx(10 * rows[0]["p_value"])
    assert "Holm's adjustment for 10 tests" in rows[0]["reasons"][0]
    assert rows[0]["observed_would"] == "regress"
    assert rows[0]["needed_as_observed"] > 5


def test_what_cannot_be_computed_stays_in_the_family():
    missing = Measured("sums", "grpo", "grpo", HIGHER, {}, {}, reason="the candidate has no such arm")
    rows = judge_all([measured(spread(-0.03, 0.006)), missing])
    assert rows[1]["verdict"] == "not computable"
    assert rows[0]["p_adjusted"] == pytest.approx(2 * rows[0]["p_value"])


def test_identical_outputs_are_equivalent_even_with_a_margin_of_zero():
    zero = replace(HIGHER, margin=Margin(0.0, relative=False))
    assert said(np.zeros(3), zero, identical=True)["verdict"] == "equivalent"


def test_a_collapsed_interval_of_different_outputs_does_not_pass():
    row = said(np.full(3, -0.001))
    assert row["verdict"] == "inconclusive"
    assert "no width" in row["reasons"][0]


def test_a_collapsed_interval_beyond_the_margin_needs_seeds_enough_to_be_more_than_luck():
    assert said(np.full(3, -0.5))["verdict"] == "inconclusive"  # 1 / 2³ = .125
    assert said(np.full(5, -0.5))["verdict"] == "regressed"  # 1 / 2⁵ = .031


def test_survivors_never_pass_but_may_have_regressed():
    doubts = ("survivors only: 1 of 5 runs of the candidate did not finish",)
    assert said(spread(0.0), doubts=doubts)["verdict"] == "inconclusive"
    assert said(spread(-0.04), doubts=doubts)["verdict"] == "regressed"


def rates(true_difference, *, seeds=5, sd=0.004, runs=800, check=HIGHER):
    """Shares of regressed and passed among simulated candidates."""
    drawn = np.random.default_rng(2).normal(true_difference, sd, (runs, seeds))
    rows = [said(each, check) for each in drawn]
    return (
        np.mean([row["verdict"] == "regressed" for row in rows]),
        np.mean([row["passed"] for row in rows]),
    )


def at_most(rate, runs=800):
    """The upper end of the 99.9 % binomial band around a rate."""
    return stats.binom.ppf(0.999, runs, rate) / runs


@pytest.mark.parametrize("check", [HIGHER, BOTH])
def test_twice_the_margin_is_found(check):
    regressed, passed = rates(-2 * MARGIN, runs=200, check=check)
    assert regressed >= 0.9
    assert passed == 0


@pytest.mark.parametrize("sd", [0.004, 0.03])
def test_at_the_margin_neither_verdict_is_given_more_often_than_one_in_twenty(sd):
    regressed, passed = rates(-MARGIN, sd=sd)
    assert regressed <= at_most(0.05)
    assert passed <= at_most(0.05)
    assert passed > 0.03  # both are tests at .05, not at something much smaller
    assert regressed > 0.03


def test_without_a_difference_quiet_seeds_pass():
    regressed, passed = rates(0.0, runs=200)
    assert passed >= 0.95
    assert regressed == 0


def test_ten_metrics_at_their_margins_raise_a_false_alarm_in_one_gate_of_twenty():
    generator = np.random.default_rng(3)
    gates = 150
    alarms = 0
    for drawn in generator.normal(-MARGIN, 0.01, (gates, 10, 5)):
        rows = judge_all([measured(each) for each in drawn])
        alarms += any(row["verdict"] == "regressed" for row in rows)
    assert alarms / gates <= at_most(0.05, gates)
    unadjusted = sum(
        any(lattice(measured(each).estimate, MARGIN, "higher") == "regressed" for each in drawn)
        for drawn in np.random.default_rng(3).normal(-MARGIN, 0.01, (30, 10, 5))
    )
    assert unadjusted / 30 > 0.2  # the same without adjustment is no control at all
