import dataclasses

import numpy as np
import pytest

from rlbench.errors import InputError
from rlbench.statistics import at_confidence, paired_difference, verdict

SPREAD = np.random.default_rng(0).normal(size=(5, 20))
UNIT = paired_difference(SPREAD, np.zeros_like(SPREAD))


def with_interval(low: float, high: float):
    """An estimate whose 90 % interval is [low, high]."""
    value = (low + high) / 2
    unit = at_confidence(dataclasses.replace(UNIT, value=0.0, standard_error=1.0), 0.90)[1]
    return dataclasses.replace(UNIT, value=value, standard_error=(high - low) / 2 / unit)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-5.0, -2.0, "regressed"),
        (-0.8, -0.2, "worse within margin"),
        (-0.5, 0.5, "equivalent"),
        (0.2, 0.8, "equivalent"),  # better, but by less than anybody asked for
        (0.2, 3.0, "improved"),
        (2.0, 3.0, "improved"),
        (-0.5, 3.0, "non-inferior"),
        (-3.0, 3.0, "inconclusive"),
        (-3.0, 0.5, "inconclusive"),
        (-3.0, -0.5, "inconclusive"),  # worse, but whether by more than the margin is open
    ],
)
def test_the_lattice_at_margin_one(low, high, expected):
    assert verdict(with_interval(low, high), 1.0) == expected


@pytest.mark.parametrize("low", np.linspace(-3, 3, 13))
@pytest.mark.parametrize("width", [0.1, 0.9, 2.5, 5.0])
def test_a_verdict_never_claims_what_the_interval_does_not_show(low, width):
    estimate = with_interval(low, low + width)
    claim = verdict(estimate, 1.0)
    if claim in ("equivalent", "improved", "non-inferior", "worse within margin"):
        assert low > -1.0
    if claim == "improved":
        assert low > 0.0
    if claim == "regressed":
        assert low + width < -1.0


def test_without_a_margin_only_a_direction_can_be_shown():
    assert verdict(with_interval(0.1, 1.0), 0.0) == "improved"
    assert verdict(with_interval(-1.0, -0.1), 0.0) == "regressed"
    assert verdict(with_interval(-0.1, 0.1), 0.0) == "inconclusive"


def test_the_margin_is_judged_at_90_percent_whatever_the_report_shows():
    a, b = np.random.default_rng(1).normal(0.4, 1.0, size=(2, 5, 30))
    verdicts = {verdict(paired_difference(a, b, confidence=confidence), 0.5) for confidence in (0.5, 0.9, 0.999)}
    assert len(verdicts) == 1


def test_identical_runs_are_equivalent_and_noise_is_not():
    same = np.random.default_rng(2).normal(size=(3, 10))
    assert verdict(paired_difference(same, same), 0.01) == "equivalent"
    other = np.random.default_rng(3).normal(size=(3, 10))
    assert verdict(paired_difference(same, other), 0.01) == "inconclusive"


@pytest.mark.parametrize("margin", [-0.1, np.nan, np.inf])
def test_a_margin_is_a_finite_loss(margin):
    with pytest.raises(InputError, match="zero or more"):
        verdict(UNIT, margin)
