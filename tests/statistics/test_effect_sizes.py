import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import probability_of_improvement, share_of_prompts_improved


def test_rliables_published_example():
    # rliable tests: x, y [run, task]; P(X > Y) averaged over the two tasks is 1/3
    x, y = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]), np.array([[1, 1], [2, 2], [3, 3]])
    assert probability_of_improvement(x, y) == pytest.approx(1 / 3)
    per_task = [probability_of_improvement(x[:, task], y[:, task]) for task in range(2)]
    assert np.mean(per_task) == pytest.approx(1 / 3)


def test_it_is_mann_whitneys_u_per_pair():
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 5, size=7), generator.integers(0, 5, size=9)
    u = stats.mannwhitneyu(a, b).statistic
    assert probability_of_improvement(a, b) == pytest.approx(u / 63)
    assert probability_of_improvement(a, b) + probability_of_improvement(b, a) == pytest.approx(1.0)
    assert probability_of_improvement(a, a) == 0.5


def test_shares_of_prompts():
    a, b = np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 1.0, 0.5]])
    assert share_of_prompts_improved(a, b) == (0.25, 0.25)
    assert share_of_prompts_improved(b, a) == (0.25, 0.25)
    assert share_of_prompts_improved(a, a) == (0.0, 0.0)


def test_means_that_differ_by_rounding_are_ties():
    samples = np.array([0.1, 0.2, 0.3])
    other = samples[::-1]
    assert samples.mean() != other.mean()
    assert share_of_prompts_improved(samples[None, None, :], other[None, None, :]) == (0.0, 0.0)
    assert probability_of_improvement([samples.mean()], [other.mean()]) == 0.5


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((2, 3, 4)), np.ones((2, 3, 4)), "one finite value per seed"),
        (np.ones(0), np.ones(2), "one finite value per seed"),
        (np.ones((2, 3)), np.ones(2), "the same tasks in both arms, got 3 and 1"),
        (np.array([1.0, np.nan]), np.ones(2), "'a': expected finite numbers, got nan at seed 1"),
    ],
)
def test_shapes_without_named_axes_are_refused(a, b, message):
    with pytest.raises(InputError, match=message):
        probability_of_improvement(a, b)
