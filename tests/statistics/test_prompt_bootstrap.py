import re

import numpy as np
import pytest
import scipy.stats

from rlbench.errors import InputError
from rlbench.statistics import bootstrap_difference, bootstrap_value, draw_resamples, paired_difference

ESTIMANDS = ["checkpoints", "recipe", "population"]


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def perplexity(sums: np.ndarray) -> np.ndarray:
    return np.exp(sums[..., 0] / sums[..., 1])


def scores(seed: int, seeds: int = 6, prompts: int = 80) -> np.ndarray:
    generator = np.random.default_rng(seed)
    seed_effects = 0.4 * generator.normal(size=(seeds, 1))
    return seed_effects + generator.normal(size=prompts) + generator.normal(size=(seeds, prompts))


def counted(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones_like(values)], axis=-1)


def token_sums(seed: int, seeds: int = 5, prompts: int = 300) -> np.ndarray:
    """Σ nll and Σ tokens [seed, prompt, 2] with lengths and difficulty that vary together."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(5, 60, size=(seeds, prompts)).astype(float)
    rate = 1.0 + 0.03 * generator.normal(size=(seeds, 1)) + 0.01 * tokens + 0.3 * generator.normal(size=prompts)
    return np.stack([rate * tokens, tokens], axis=-1)


@pytest.mark.parametrize("paired_seeds", [True, False])
@pytest.mark.parametrize("estimand", ESTIMANDS)
class TestIdentities:
    def test_swapping_the_arms_changes_only_the_sign(self, estimand, paired_seeds):
        options = {"estimand": estimand, "paired_seeds": paired_seeds, "replicates": 200}
        forth = bootstrap_difference(token_sums(1), token_sums(2), perplexity, **options)
        back = bootstrap_difference(token_sums(2), token_sums(1), perplexity, **options)
        assert (back.low, back.high, back.p_value) == pytest.approx((-forth.high, -forth.low, forth.p_value))

    def test_shared_resamples_are_what_would_have_been_drawn(self, estimand, paired_seeds):
        options = {"estimand": estimand, "paired_seeds": paired_seeds}
        arms = token_sums(1), token_sums(2)
        own = bootstrap_difference(*arms, perplexity, **options, replicates=200, seed=7)
        shared = bootstrap_difference(*arms, perplexity, **options, resamples=draw_resamples(300, 200, seed=7))
        assert own == shared

    def test_a_mean_has_the_interval_of_the_closed_form(self, estimand, paired_seeds):
        # Monte-Carlo sd of a standard deviation from B = 10,000 replicates is 1 / sqrt(2 B) = .7 %
        a, b = scores(1), scores(2)
        options = {"estimand": estimand, "paired_seeds": paired_seeds}
        closed = paired_difference(a, b, **options)
        booted = bootstrap_difference(counted(a), counted(b), mean, **options)
        tolerance = 1e-9 if estimand == "recipe" else 0.03
        assert booted.value == pytest.approx(closed.value)
        assert booted.standard_error == pytest.approx(closed.standard_error, rel=tolerance)
        assert booted.df == pytest.approx(closed.df, rel=2 * tolerance)
        assert booted.seed_sd == pytest.approx(closed.seed_sd)
        if estimand != "checkpoints":
            assert booted.p_value == pytest.approx(closed.p_value, rel=0.1)

    def test_completions_without_a_score_count_as_nothing(self, estimand, paired_seeds):
        a, b = counted(scores(1)), counted(scores(2))
        a[:, 10], b[:, 10] = 0.0, 0.0
        without = bootstrap_difference(
            np.delete(a, 10, axis=1), np.delete(b, 10, axis=1), mean, estimand=estimand, paired_seeds=paired_seeds
        )
        kept = bootstrap_difference(a, b, mean, estimand=estimand, paired_seeds=paired_seeds)
        assert kept.value == pytest.approx(without.value)
        assert kept.standard_error == pytest.approx(without.standard_error, rel=0.05)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_an_arm_against_itself_is_no_difference_and_no_evidence(estimand):
    same = bootstrap_difference(token_sums(1), token_sums(1), perplexity, estimand=estimand, replicates=200)
    assert (same.value, same.low, same.high, same.standard_error, same.p_value) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_a_constant_difference_is_no_stronger_than_relabelling_could_show(estimand):
    a = counted(np.full((4, 50), 0.7))
    b = counted(np.full((4, 50), 0.3))
    estimate = bootstrap_difference(a, b, mean, estimand=estimand, replicates=200)
    assert estimate.standard_error == 0.0
    assert estimate.p_value == (1e-4 if estimand == "checkpoints" else 2 / 2**4)


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_one_arm_against_zero_is_its_own_value(estimand):
    a = counted(scores(3))
    zero = counted(np.zeros((6, 80)))
    value = bootstrap_value(a, mean, estimand=estimand)
    difference = bootstrap_difference(a, zero, mean, estimand=estimand)
    assert (value.low, value.high, value.df) == pytest.approx((difference.low, difference.high, difference.df))
    assert value.p_value is None
    assert "paired" not in value.method


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_the_population_interval_follows_from_three_separate_resamplings(estimand):
    """The formula of the design notes, with random seed weights, against ours, which integrates them out."""
    stats_a, stats_b = token_sums(1), token_sums(2)
    seeds, prompts = stats_a.shape[:2]
    replicates = 20_000
    generator = np.random.default_rng(0)
    by_seed = generator.multinomial(seeds, [1 / seeds] * seeds, size=replicates) / seeds
    by_prompt = generator.multinomial(prompts, [1 / prompts] * prompts, size=replicates).astype(float)

    def per_seed(prompt_weights):
        a, b = (perplexity(np.einsum("bi,sip->bsp", prompt_weights, stats)) for stats in (stats_a, stats_b))
        return a - b

    fixed, resampled = per_seed(np.ones((1, prompts))), per_seed(by_prompt)
    v_seed = np.var(by_seed @ fixed[0])
    v_prompt = np.var(resampled.mean(axis=1))
    v_crossed = np.var((by_seed * resampled).sum(axis=1))
    v_interaction = (v_crossed - v_seed - v_prompt) * seeds * prompts / ((seeds - 1) * (prompts - 1))
    expected = {
        "checkpoints": v_prompt * prompts / (prompts - 1),
        "recipe": v_seed * seeds / (seeds - 1),
        "population": v_seed * seeds / (seeds - 1) + max(v_prompt * prompts / (prompts - 1) - v_interaction, 0),
    }
    ours = bootstrap_difference(stats_a, stats_b, perplexity, estimand=estimand, replicates=replicates)
    assert ours.standard_error**2 == pytest.approx(expected[estimand], rel=0.06)


def test_checkpoints_of_a_ratio_have_the_linearised_standard_error():
    """Cochran's ratio estimator: var = Σ (y − r x)² / (N − 1) / N / x̄², an answer that needs no resampling."""
    stats = token_sums(4, seeds=1, prompts=2_000)
    y, x = stats[0, :, 0], stats[0, :, 1]
    ratio = y.sum() / x.sum()
    expected = np.std(y - ratio * x, ddof=1) / x.mean() / np.sqrt(len(x))
    assert bootstrap_value(stats, mean, estimand="checkpoints").standard_error == pytest.approx(expected, rel=0.03)


def test_the_standard_error_of_a_skewed_mean_is_that_of_scipys_bootstrap():
    values = np.array([10, 12, 12.5, 12.5, 13.9, 15, 21, 22, 23, 34, 50, 81, 89, 121, 134, 213])
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=9_999, rng=np.random.default_rng(0))
    ours = bootstrap_value(counted(values[None, :]), mean, estimand="checkpoints")
    # theirs is the plug-in one, with N for N − 1; two Monte-Carlo estimates of a sd, each ± .7 %
    assert ours.standard_error == pytest.approx(theirs.standard_error * np.sqrt(16 / 15), rel=0.03)
    assert ours.standard_error == pytest.approx(np.std(values, ddof=1) / 4, rel=0.02)


def test_a_metric_is_computed_per_seed_and_then_averaged():
    stats = np.array([[[1.0, 1.0]], [[30.0, 10.0]]])  # ratios 1 and 3; pooled sums would give 31 / 11
    assert bootstrap_value(stats, mean).value == 2.0


def test_pairing_by_prompt_takes_out_what_prompts_share():
    hard = 5.0 * np.random.default_rng(0).normal(size=80)
    a, b = scores(1), scores(2)
    plain = bootstrap_difference(counted(a), counted(b), mean, estimand="population", replicates=500)
    shared = bootstrap_difference(counted(a + hard), counted(b + hard), mean, estimand="population", replicates=500)
    assert (shared.low, shared.high) == pytest.approx((plain.low, plain.high))


class TestResamples:
    def test_every_replicate_draws_as_many_prompts_as_there_are(self):
        resamples = draw_resamples(37, 500, seed=1)
        assert (resamples.replicates, resamples.prompts) == (500, 37)
        assert (resamples.weights.sum(axis=1) == 37).all()

    def test_weights_have_multinomial_moments(self):
        weights = draw_resamples(50, 20_000).weights.astype(float)
        assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.05)
        assert weights.var(axis=0) == pytest.approx(np.full(50, 1 - 1 / 50), abs=0.08)
        assert np.cov(weights.T)[0, 1:] == pytest.approx(np.full(49, -1 / 50), abs=0.05)

    def test_the_seed_alone_decides(self):
        first, same, other = draw_resamples(20, 100, 1), draw_resamples(20, 100, 1), draw_resamples(20, 100, 2)
        assert first.weights.tobytes() == same.weights.tobytes()
        assert first.weights.tobytes() != other.weights.tobytes()


def undefined_seed() -> np.ndarray:
    stats = token_sums(1)
    stats[3] = 0.0
    return stats


def one_scored_prompt() -> np.ndarray:
    stats = np.zeros((2, 10, 2))
    stats[:, 0] = 1.0
    return stats


@pytest.mark.parametrize(
    ("stats", "options", "message"),
    [
        (undefined_seed(), {}, "expected a finite metric for every seed, got nan for seed index 3"),
        (one_scored_prompt(), {"estimand": "checkpoints"}, "seed index 0, 1 has too few scored prompts"),
        (token_sums(1, seeds=1), {}, "at least 2 seeds per arm, got 1"),
        (token_sums(1)[..., 0], {}, "[seed, prompt, component]"),
        (token_sums(1), {"estimand": "checkpoints", "replicates": 10}, "100 replicates"),
        (token_sums(1), {"estimand": "checkpoints", "resamples": draw_resamples(5, 100)}, "expected 300 prompts"),
    ],
)
def test_bad_input_is_explained(stats, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        bootstrap_difference(stats, stats, mean, **options)
    with pytest.raises(InputError, match=re.escape(message)):
        bootstrap_value(stats, mean, **options)


def test_an_aggregate_that_reduces_the_wrong_axes_is_refused():
    with pytest.raises(InputError, match="reduce the last axis only"):
        bootstrap_value(token_sums(1), np.sum)
