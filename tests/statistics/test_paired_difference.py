import dataclasses
import re

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import at_confidence, paired_difference

ESTIMANDS = ["checkpoints", "recipe", "population"]


def scores(seed: int, seeds: int = 5, prompts: int = 40) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(seeds, 1)) + generator.normal(size=prompts) + generator.normal(size=(seeds, prompts))


@pytest.mark.parametrize("paired_seeds", [True, False])
@pytest.mark.parametrize("estimand", ESTIMANDS)
class TestIdentities:
    def test_swapping_the_arms_changes_only_the_sign(self, estimand, paired_seeds):
        a, b = scores(1), scores(2)
        forth = paired_difference(a, b, estimand=estimand, paired_seeds=paired_seeds)
        back = paired_difference(b, a, estimand=estimand, paired_seeds=paired_seeds)
        assert back.value == pytest.approx(-forth.value)
        assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))
        assert back.p_value == pytest.approx(forth.p_value)

    def test_a_shift_moves_the_value_and_leaves_the_width(self, estimand, paired_seeds):
        a, b = scores(1), scores(2)
        plain = paired_difference(a, b, estimand=estimand, paired_seeds=paired_seeds)
        moved = paired_difference(a + 3.0, b, estimand=estimand, paired_seeds=paired_seeds)
        both = paired_difference(a + 100.0, b + 100.0, estimand=estimand, paired_seeds=paired_seeds)
        assert moved.value == pytest.approx(plain.value + 3.0)
        assert (moved.standard_error, moved.df) == pytest.approx((plain.standard_error, plain.df))
        assert (both.low, both.high, both.p_value) == pytest.approx((plain.low, plain.high, plain.p_value))

    def test_a_change_of_unit_scales_the_interval(self, estimand, paired_seeds):
        a, b = scores(1), scores(2)
        plain = paired_difference(a, b, estimand=estimand, paired_seeds=paired_seeds)
        scaled = paired_difference(1e-3 * a, 1e-3 * b, estimand=estimand, paired_seeds=paired_seeds)
        assert (scaled.low, scaled.high) == pytest.approx((1e-3 * plain.low, 1e-3 * plain.high))
        assert scaled.p_value == pytest.approx(plain.p_value)

    def test_the_order_of_prompts_is_irrelevant(self, estimand, paired_seeds):
        a, b = scores(1), scores(2)
        order = np.random.default_rng(0).permutation(a.shape[1])
        plain = paired_difference(a, b, estimand=estimand, paired_seeds=paired_seeds)
        mixed = paired_difference(a[:, order], b[:, order], estimand=estimand, paired_seeds=paired_seeds)
        assert (mixed.low, mixed.high) == pytest.approx((plain.low, plain.high))

    def test_the_same_arguments_give_the_same_estimate(self, estimand, paired_seeds):
        first, second = (
            paired_difference(scores(1), scores(2), estimand=estimand, paired_seeds=paired_seeds) for _ in range(2)
        )
        assert first == second

    def test_samples_are_averaged_within_their_prompt(self, estimand, paired_seeds):
        generator = np.random.default_rng(3)
        a, b = generator.normal(size=(2, 4, 30, 6))
        sampled = paired_difference(a, b, estimand=estimand, paired_seeds=paired_seeds)
        averaged = paired_difference(a.mean(axis=2), b.mean(axis=2), estimand=estimand, paired_seeds=paired_seeds)
        assert sampled == averaged


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_an_arm_against_itself_is_no_difference_and_no_evidence(estimand):
    same = paired_difference(scores(1), scores(1), estimand=estimand)
    assert (same.value, same.low, same.high, same.standard_error, same.p_value) == (0, 0, 0, 0, 1)
    assert "nothing varied" in same.method


def test_a_constant_shift_is_no_stronger_than_relabelling_seeds_could_show():
    a = scores(1)
    for estimand in ("recipe", "population"):
        shifted = paired_difference(a + 0.1, a, estimand=estimand)
        assert shifted.standard_error == 0.0
        assert shifted.low == shifted.high == pytest.approx(0.1)
        assert shifted.p_value == 2 / 2**5
    constant = np.ones((3, 10))
    assert paired_difference(constant, 0 * constant, paired_seeds=False).p_value == 2 / 20


def test_recipe_is_the_paired_t_test_over_seed_means():
    a, b = scores(1), scores(2)
    ours = paired_difference(a, b, confidence=0.9)
    reference = stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    interval = reference.confidence_interval(0.9)
    assert ours.p_value == pytest.approx(reference.pvalue)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert ours.seed_sd == pytest.approx(np.std(a.mean(axis=1) - b.mean(axis=1), ddof=1))
    assert ours.effect_in_seed_sd == pytest.approx(ours.value / ours.seed_sd)


def test_unpaired_recipe_is_welchs_t_test():
    a, b = scores(1, seeds=4), 3.0 * scores(2, seeds=7)
    ours = paired_difference(a, b, paired_seeds=False)
    reference = stats.ttest_ind(a.mean(axis=1), b.mean(axis=1), equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert (ours.p_value, ours.df) == pytest.approx((reference.pvalue, reference.df))
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))


def test_checkpoints_interval_is_the_paired_t_interval_over_prompts():
    a, b = scores(1), scores(2)
    ours = paired_difference(a, b, estimand="checkpoints")
    interval = stats.ttest_rel(a.mean(axis=0), b.mean(axis=0)).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))


def test_checkpoints_p_is_mcnemar_for_one_binary_run():
    generator = np.random.default_rng(4)
    a, b = generator.random((1, 200)) < 0.6, generator.random((1, 200)) < 0.5
    ours = paired_difference(a, b, estimand="checkpoints")
    wins, losses = int((a & ~b).sum()), int((b & ~a).sum())
    assert ours.p_value == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    assert "McNemar" in ours.method


def test_one_seed_gives_checkpoints_only():
    a, b = scores(1, seeds=1), scores(2, seeds=1)
    estimate = paired_difference(a, b, estimand="checkpoints")
    assert estimate.seeds == 1
    assert estimate.seed_sd is None
    assert estimate.effect_in_seed_sd is None
    for estimand in ("recipe", "population"):
        with pytest.raises(InputError, match=r"at least 2 seeds per arm, got 1.*checkpoints"):
            paired_difference(a, b, estimand=estimand)


def test_population_without_prompt_effects_is_the_recipe():
    # residuals that cancel over prompts within each seed leave MS_eta = 0, so only the seeds are left
    generator = np.random.default_rng(5)
    a = generator.normal(size=(6, 1)) + np.tile([1.0, -1.0], 10)[None, :] * np.array([1, -1, 1, -1, 1, -1.0])[:, None]
    population = paired_difference(a, np.zeros_like(a), estimand="population")
    recipe = paired_difference(a, np.zeros_like(a))
    assert (population.low, population.high, population.df) == pytest.approx((recipe.low, recipe.high, 5))


def test_population_without_seed_effects_is_the_t_interval_over_prompts():
    # identical seeds: all variation is between prompts, and seeds add no information
    prompt_effects = np.random.default_rng(6).normal(size=50)
    a = np.tile(prompt_effects, (6, 1))
    population = paired_difference(a, np.zeros_like(a), estimand="population")
    checkpoints = paired_difference(a, np.zeros_like(a), estimand="checkpoints")
    assert (population.low, population.high, population.df) == pytest.approx((checkpoints.low, checkpoints.high, 49))


def test_population_matches_the_expected_mean_squares_of_an_anova_by_hand():
    # 2 seeds x 2 prompts: grand mean 3; MS_seed 16, MS_prompt 4, residual 0 => V = (16 + 4) / 4, df S - 1 (few seeds)
    a = np.array([[0.0, 2.0], [4.0, 6.0]])
    estimate = paired_difference(a, np.zeros_like(a), estimand="population")
    assert (estimate.value, estimate.standard_error, estimate.df) == pytest.approx((3.0, np.sqrt(5.0), 1))


def test_population_with_many_seeds_matches_a_hand_computed_satterthwaite_df():
    # additive: seeds 0,1,2,3,4 (MS 2.5 * N), prompts -1,0,1 (MS 1 * S), no residual; V = (7.5 + 5) / 15
    a = np.arange(5.0)[:, None] + np.array([-1.0, 0.0, 1.0])
    estimate = paired_difference(a, np.zeros_like(a), estimand="population")
    assert estimate.standard_error**2 == pytest.approx(12.5 / 15)
    assert estimate.df == pytest.approx(12.5**2 / (7.5**2 / 4 + 5**2 / 2))


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_another_confidence_gives_the_interval_that_was_asked_for_directly(estimand):
    a, b = scores(1), scores(2)
    wide = paired_difference(a, b, estimand=estimand, confidence=0.99)
    assert at_confidence(paired_difference(a, b, estimand=estimand), 0.99) == pytest.approx((wide.low, wide.high))


def test_estimates_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        paired_difference(scores(1), scores(2)).value = 0.0


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (np.ones(5), np.ones(5), {}, "expected an array [seed, prompt] or [seed, prompt, sample]"),
        (np.ones((2, 0)), np.ones((2, 0)), {}, "not empty"),
        (np.ones((2, 5)), np.ones((2, 4)), {}, "got 5 and 4"),
        (np.ones((2, 5)), np.ones((3, 5)), {}, "got 2 and 3"),
        (np.ones((2, 5)), np.ones((2, 5)), {"confidence": 95}, "between 0 and 1"),
        (np.ones((2, 5)), np.ones((2, 5)), {"estimand": "E2"}, "checkpoints, recipe, population"),
        (np.ones((2, 1)), np.ones((2, 1)), {"estimand": "population"}, "at least 2 prompts, got 1"),
        (
            np.array([[0, 1], [2, np.nan]]),
            np.ones((2, 2)),
            {},
            "'a': expected finite numbers, got nan at seed 1, prompt 1",
        ),
    ],
)
def test_bad_input_is_explained(a, b, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        paired_difference(a, b, **options)
