import time

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import (
    at_confidence,
    benjamini_hochberg,
    bootstrap_value,
    family,
    holm,
    paired_difference,
    simultaneous_confidence,
)

P_VALUES = np.random.default_rng(0).random(12) ** 3


def test_benjamini_hochberg_agrees_with_scipy():
    assert benjamini_hochberg(P_VALUES) == pytest.approx(stats.false_discovery_control(P_VALUES))


def test_holm_gives_the_published_example():
    # statsmodels 0.14 multipletests([.01, .04, .03, .005], method="holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_holm_rejects_what_the_step_down_procedure_rejects(alpha):
    rejected = np.zeros(P_VALUES.size, dtype=bool)
    for remaining, index in zip(range(P_VALUES.size, 0, -1), np.argsort(P_VALUES), strict=True):
        if P_VALUES[index] > alpha / remaining:
            break
        rejected[index] = True
    assert ((holm(P_VALUES) <= alpha) == rejected).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_adjusting_keeps_order_and_never_lowers_a_p_value(adjust):
    adjusted = adjust(P_VALUES)
    order = np.argsort(P_VALUES)
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= P_VALUES).all()
    assert (adjusted <= 1).all()
    assert adjust([0.03]) == pytest.approx([0.03])
    assert adjust([]).size == 0
    assert adjust(P_VALUES[::-1])[::-1] == pytest.approx(adjusted)


def test_holm_is_between_no_correction_and_bonferroni():
    assert (holm(P_VALUES) <= np.minimum(1, P_VALUES.size * P_VALUES)).all()


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("bad", [[0.5, 1.2], [-0.1], [np.nan], [[0.1]]])
def test_what_is_no_p_value_is_refused(adjust, bad):
    with pytest.raises(InputError, match="numbers in"):
        adjust(bad)


def test_simultaneous_intervals_agree_with_bonferroni_adjusted_p_values():
    a = np.random.default_rng(1).normal(1.0, 1.0, size=(6, 20))
    estimate = paired_difference(a, np.zeros_like(a))
    comparisons = 10
    # the interval at which p * comparisons = alpha just touches zero
    confidence = simultaneous_confidence(1 - comparisons * estimate.p_value, comparisons)
    low, high = at_confidence(estimate, confidence)
    assert min(abs(low), abs(high)) == pytest.approx(0.0, abs=1e-9)
    assert simultaneous_confidence(0.95, 1) == pytest.approx(0.95)
    with pytest.raises(InputError, match="at least 1"):
        simultaneous_confidence(0.95, 0)


def estimates(count):
    generator = np.random.default_rng(2)
    a = generator.normal(0.5, 1.0, size=(count, 5, 20))
    return [paired_difference(each, np.zeros_like(each), estimand="population") for each in a]


def test_a_family_has_holms_p_and_bonferronis_intervals():
    given = estimates(12)
    found = family(given, confidence=0.9)
    assert [each.estimate for each in found] == given
    assert [each.p_adjusted for each in found] == holm([each.p_value for each in given]).tolist()
    for each in found:
        low, high = at_confidence(each.estimate, simultaneous_confidence(0.9, 12))
        assert (each.low, each.high) == pytest.approx((low, high))
        if each.low > 0 or each.high < 0:  # Holm rejects all that the intervals do
            assert each.p_adjusted <= 0.1


def test_a_family_of_one_is_the_estimate_and_of_none_nothing():
    (alone,) = family(estimates(1))
    assert (alone.p_adjusted, alone.low, alone.high) == pytest.approx(
        (alone.estimate.p_value, alone.estimate.low, alone.estimate.high)
    )
    assert family([]) == []


def test_an_interval_that_has_collapsed_stays_so_in_a_family():
    same = np.random.default_rng(3).normal(size=(3, 5))
    found = family([paired_difference(same, same), *estimates(2)])[0]
    assert (found.low, found.high, found.p_adjusted) == (0.0, 0.0, 1.0)


def test_thousands_of_metrics_take_no_time():
    given = estimates(20) * 250
    start = time.process_time()
    found = family(given)
    assert time.process_time() - start < 1.0  # about .02 s
    assert len(found) == 5_000
    assert min(each.p_adjusted for each in found) == pytest.approx(min(each.p_value for each in given) * 5_000)


def test_the_value_of_one_arm_is_no_member_of_a_family():
    sums = np.random.default_rng(4).random((4, 10, 1))
    alone = bootstrap_value(sums, lambda total: total[..., 0])
    with pytest.raises(InputError, match=r"estimate without a p-value at position 1 \(1 in all\)"):
        family([*estimates(1), alone])
    with pytest.raises(InputError, match="between 0 and 1"):
        family(estimates(1), confidence=95)
