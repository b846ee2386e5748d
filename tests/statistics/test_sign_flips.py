import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.seeding import stream
from rlbench.statistics import sign_flip_p, signflip, smallest_sign_flip_p
from rlbench.statistics.signflip import mcnemar_p, smallest_prompt_p

BYTES = np.random.default_rng(0).integers(0, 256, size=(64, 9_999), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_small_samples_are_enumerated_exactly(seed):
    differences = np.random.default_rng(seed).normal(0.5, 1.0, size=9)
    reference = stats.permutation_test(
        (differences, np.zeros(9)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences) == pytest.approx(reference.pvalue)


def test_random_flips_agree_with_an_independent_permutation_test():
    differences = np.random.default_rng(0).normal(0.25, 1.0, size=60)
    reference = stats.permutation_test(
        (differences, np.zeros(60)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=9_999,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    # two Monte-Carlo estimates, each with sd sqrt(p (1 - p) / 9,999)
    assert sign_flip_p(differences) == pytest.approx(reference.pvalue, abs=5 * np.sqrt(2 * 0.05 * 0.95 / 9_999))


def test_ties_in_discrete_differences_count_as_extreme():
    # 0.1 * 3 differs from 0.3 in floating point; the exact p of 3 same-signed differences is 2 / 2^3
    assert sign_flip_p(np.array([0.1, 0.1, 0.1])) == 0.25
    assert sign_flip_p(np.array([0.1, 0.2, -0.3])) == 1.0


@pytest.mark.parametrize("count", [10, 40])
def test_rounding_does_not_break_ties(count):
    # means of 10 samples: multiples of .1 have rounding errors that whole numbers have not
    for seed in range(5):
        whole = np.random.default_rng(seed).integers(-4, 7, size=count).astype(float)
        assert sign_flip_p(whole * 0.1) == sign_flip_p(whole)


def test_on_signs_it_is_the_binomial_test():
    signs = np.array([1.0] * 9 + [-1.0] * 3)
    assert sign_flip_p(signs) == pytest.approx(stats.binomtest(9, 12).pvalue)
    many = np.array([1.0] * 60 + [-1.0] * 40)
    exact = stats.binomtest(60, 100).pvalue
    assert sign_flip_p(many) == pytest.approx(exact, abs=5 * np.sqrt(exact / 9_999))


def test_zeros_change_nothing():
    differences = np.random.default_rng(2).normal(0.3, 1.0, size=40)
    assert sign_flip_p(np.concatenate([differences, np.zeros(100)])) == sign_flip_p(differences)
    assert sign_flip_p(np.zeros(5)) == 1.0


def test_p_is_deterministic_and_never_zero():
    differences = np.random.default_rng(3).normal(10.0, 1.0, size=500)
    assert sign_flip_p(differences) == sign_flip_p(differences) == smallest_prompt_p(500) == 1e-4
    assert sign_flip_p(np.full(12, 1.0)) == smallest_prompt_p(12) == 2 / 2**12


def test_over_seeds_it_cannot_show_more_than_their_number_allows():
    for seeds in (3, 5, 6):
        by_seed = np.arange(1.0, seeds + 1)
        assert sign_flip_p(by_seed) == smallest_sign_flip_p(seeds)


@pytest.mark.parametrize("count", [13, 16, 301, 500])
def test_looked_up_flips_are_those_that_the_random_bits_say(count, monkeypatch):
    differences = np.random.default_rng(count).normal(0.05, 1.0, count)
    monkeypatch.setattr(signflip, "_random_bytes", lambda groups: [BYTES[:groups]])
    flips = np.unpackbits(BYTES[: (count + 7) // 8].T, axis=1, count=count)
    sums = np.where(flips == 1, -differences, differences).sum(axis=1)
    extreme = (np.abs(sums) >= abs(differences.sum()) - 1e-9).sum()
    assert sign_flip_p(differences) == (1 + extreme) / 10_000


@pytest.mark.parametrize("count", [100, 3_000])
def test_random_bits_are_fixed_and_fair_in_one_chunk_or_several(count):
    groups = (count + 7) // 8
    chunks = list(signflip._random_bytes(groups))
    assert (len(chunks) > 1) == (count == 3_000)
    drawn = np.concatenate(chunks, axis=1)
    assert drawn.shape == (groups, 9_999)
    stream_of_bytes = stream("statistics", "sign flips").bytes(groups * 9_999)
    assert drawn.T.tobytes() == stream_of_bytes
    assert np.unpackbits(drawn).mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(drawn.size * 8))


@pytest.mark.parametrize("bad", [[], [[1.0, 2.0]], [1.0, np.nan], [np.inf]])
def test_bad_differences_are_explained(bad):
    with pytest.raises(InputError, match="a list of finite differences, one per pair"):
        sign_flip_p(bad)


@pytest.mark.parametrize(("gains", "losses"), [(0, 0), (1, 0), (5, 5), (12, 3), (40, 61)])
def test_mcnemar_is_the_binomial_test_of_discordant_pairs(gains, losses):
    differences = np.array([1.0] * gains + [-1.0] * losses + [0.0] * 17)
    expected = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert mcnemar_p(differences) == pytest.approx(expected)
