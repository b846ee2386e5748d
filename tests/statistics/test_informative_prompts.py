import numpy as np
import pytest
from scipy.special import stdtrit

from rlbench.errors import InputError
from rlbench.statistics.informative import FEW_PROMPTS, prompts_that_differ


def scores(*prompts: list[float]) -> np.ndarray:
    """Scores given per prompt, one for each seed, as statistics [seed, prompt, 1]."""
    return np.array(prompts, dtype=float).T[..., None]


def test_binary_scores_of_one_seed_count_discordant_pairs():
    a, b = scores([1], [1], [0], [0], [1]), scores([1], [0], [1], [0], [1])
    assert prompts_that_differ(a, b) == 2


def test_seeds_are_averaged_first():
    assert prompts_that_differ(scores([1, 0], [1, 1]), scores([0, 1], [1, 0])) == 1


def test_unpaired_arms_may_have_different_numbers_of_seeds():
    assert prompts_that_differ(scores([1, 1, 1], [1, 0, 1]), scores([1, 1], [1, 0])) == 1


def test_any_component_counts():
    a = np.zeros((2, 4, 3))
    b = a.copy()
    b[1, 0, 2] = b[0, 3, 0] = 5.0
    assert prompts_that_differ(a, b) == prompts_that_differ(b, a) == 2


def test_rounding_is_no_difference():
    a = scores([0.1, 0.2, 0.3], [0.5, 0.5, 0.5])
    assert prompts_that_differ(a, a[::-1]) == 0
    assert prompts_that_differ(a, a + 1e-14) == 0
    assert prompts_that_differ(a, a + 1e-9) == 2


def test_small_components_are_judged_on_their_own_scale():
    a = np.stack([np.full((1, 3), 1e9), np.full((1, 3), 1e-6)], axis=-1)
    b = a.copy()
    b[0, 1, 1] *= 1.01
    assert prompts_that_differ(a, b) == 1


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), "seed, prompt, component"),
        (np.ones((2, 3, 1)), np.ones((2, 4, 1)), "expected the same prompts in both arms, got 3 and 4"),
        (np.full((2, 3, 1), np.nan), np.ones((2, 3, 1)), "expected finite numbers"),
    ],
)
def test_bad_input_is_explained(a, b, message):
    with pytest.raises(InputError, match=message):
        prompts_that_differ(a, b)


def coverage(expected: float, prompts: int = 500, runs: int = 40_000) -> float:
    """How often the 95 % t interval over prompts covers, when a is better on `expected` prompts and never worse."""
    better = np.random.default_rng(0).binomial(prompts, expected / prompts, size=runs)
    mean = better / prompts
    standard_error = np.sqrt(mean * (1 - mean) / (prompts - 1))
    return float((np.abs(mean - expected / prompts) <= stdtrit(prompts - 1, 0.975) * standard_error).mean())


def test_an_interval_that_rests_on_few_prompts_covers_too_little():
    # What the limit is for: with all differences in one direction, .95 is promised and this is kept.
    assert coverage(FEW_PROMPTS / 2) < 0.9
    assert 0.91 < coverage(FEW_PROMPTS) < 0.94
    assert coverage(4 * FEW_PROMPTS) > 0.94
