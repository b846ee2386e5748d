"""Thirds of prompts: as even as ties allow, and the same whatever the order or the scale of the values."""

import numpy as np
import pytest

from rlbench.errors import InputError
from rlbench.statistics.slicing import thirds


def test_different_values_fall_into_even_thirds_like_quantiles():
    values = np.random.default_rng(0).permutation(300).astype(float)
    expected = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
    np.testing.assert_array_equal(thirds(values), expected)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ((40, 10, 50), [40, 10, 50]),
        ((10, 20, 30, 40), [30, 30, 40]),
        ((30, 5, 5, 60), [35, 5, 60]),
        ((30, 5, 65), None),  # both cuts would fall on the same place
        ((50, 50), None),
        ((100,), None),
        ((1, 98, 1), [1, 98, 1]),
    ],
)
def test_equal_values_stay_together(counts, sizes):
    found = thirds(np.repeat(np.arange(len(counts)), counts))
    assert (None if found is None else np.bincount(found).tolist()) == sizes


def test_a_third_that_is_too_small_leaves_nothing():
    values = [0.0] * 40 + [0.5] * 9 + [1.0] * 51
    assert thirds(values, smallest=9) is not None
    assert thirds(values, smallest=10) is None


def test_values_that_differ_only_in_rounding_are_equal():
    values = np.array([0.2 + 0.4 + 0.6, 0.6 + 0.4 + 0.2, 0.4 + 0.6 + 0.2, 5.0, 5.0, 7.0, 7.0])
    assert len(set(values[:3])) > 1, "the sums differ in their last digit"
    for scale in (1.0, 1e-9, 1e9):
        assert thirds(values * scale).tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert thirds(-values).tolist() == [2, 2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize("values", [[1.0, np.nan, 2.0], [[1.0, 2.0]], [np.inf, 1.0]])
def test_what_cannot_be_ordered_is_refused(values):
    with pytest.raises(InputError, match="expected a list of finite numbers"):
        thirds(values)


def test_no_values_have_no_thirds():
    assert thirds([]) is None
