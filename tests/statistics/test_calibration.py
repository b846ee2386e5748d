"""Type-I error, coverage and power under a simulator with known effects, and methods that must fail the same bands.

The data are D[seed, prompt] = δ + σ_γ γ_seed + σ_η η_prompt + σ_ξ ξ. What is random follows the estimand: prompts are
drawn once for E2 and anew for E3, seeds are drawn once for E1.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from rlbench.statistics import bootstrap_difference, paired_difference

RUNS = 1_500
NOMINAL = 0.05


@dataclass(frozen=True)
class World:
    seeds: int
    prompts: int
    seed_sd: float
    prompt_sd: float
    residual_sd: float
    delta: float = 0.0

    def arms(self, generator, *, prompt_effects=None, seed_effects=None):
        """One experiment: scores of both arms [seed, prompt], with difficulty and luck that both share."""
        seeds = generator.normal(size=(self.seeds, 1)) if seed_effects is None else seed_effects
        prompts = generator.normal(size=self.prompts) if prompt_effects is None else prompt_effects
        noise = generator.normal(size=(self.seeds, self.prompts))
        shared = generator.normal(size=(self.seeds, 1)) + generator.normal(size=self.prompts)
        change = self.delta + self.seed_sd * seeds + self.prompt_sd * prompts + self.residual_sd * noise
        return shared + change, np.broadcast_to(shared, change.shape)


def accepted(count: int, runs: int, rate: float) -> bool:
    """The central 99.8 % binomial band around a rate."""
    low, high = stats.binom.ppf([0.001, 0.999], runs, rate)
    return bool(low <= count <= high)


def misses(world, method, *, runs=RUNS, seed=0, prompts_fixed=False, seeds_fixed=False):
    """How often [low, high] misses the truth of the estimand, and how often p ≤ .05 rejects a true null."""
    generator = np.random.default_rng(seed)
    prompt_effects = stats.zscore(generator.normal(size=world.prompts)) if prompts_fixed else None
    seed_effects = stats.zscore(generator.normal(size=(world.seeds, 1))) if seeds_fixed else None
    missed = rejected = 0
    for _ in range(runs):
        a, b = world.arms(generator, prompt_effects=prompt_effects, seed_effects=seed_effects)
        low, high, p_value = method(a, b)
        missed += not low <= world.delta <= high
        rejected += p_value <= NOMINAL
    return missed, rejected


def of(estimand, **options):
    def method(a, b):
        estimate = paired_difference(a, b, estimand=estimand, **options)
        return estimate.low, estimate.high, estimate.p_value

    return method


def percentile_bootstrap_over_seeds(a, b):
    """A mutation: the usual percentile interval over five seeds."""
    differences = (a - b).mean(axis=1)
    drawn = np.random.default_rng(0).integers(0, len(differences), size=(1_000, len(differences)))
    low, high = np.quantile(differences[drawn].mean(axis=1), [0.025, 0.975])
    return low, high, 0.0 if low > 0 or high < 0 else 1.0


RECIPE = World(seeds=5, prompts=50, seed_sd=0.2, prompt_sd=1.0, residual_sd=1.0)


def test_recipe_at_five_seeds_errs_as_often_as_it_says():
    missed, rejected = misses(RECIPE, of("recipe"), prompts_fixed=True)
    assert accepted(missed, RUNS, NOMINAL)
    assert missed == rejected  # one t statistic behind both


def test_recipe_covers_a_difference_that_exists():
    missed, _ = misses(World(5, 50, 0.2, 1.0, 1.0, delta=0.7), of("recipe"), prompts_fixed=True, seed=1)
    assert accepted(missed, RUNS, NOMINAL)


def test_unpaired_recipe_errs_as_often_as_it_says_or_less():
    def unpaired(a, b):
        return of("recipe", paired_seeds=False)(a, b[np.random.default_rng(len(a)).permutation(len(b))])

    missed, _ = misses(RECIPE, unpaired, prompts_fixed=True, seed=2)
    assert missed <= stats.binom.ppf(0.999, RUNS, NOMINAL)


@pytest.mark.parametrize(
    "world",
    [
        World(5, 100, seed_sd=0.1, prompt_sd=1.0, residual_sd=1.0),
        World(5, 100, seed_sd=0.5, prompt_sd=1.0, residual_sd=0.2),
        World(8, 40, seed_sd=0.0, prompt_sd=1.0, residual_sd=1.0),
        World(10, 4, seed_sd=0.1, prompt_sd=3.0, residual_sd=0.3),
    ],
    ids=["balanced", "seeds", "prompts", "few prompts"],
)
def test_population_errs_as_often_as_it_says(world):
    missed, rejected = misses(world, of("population"), seed=3)
    assert accepted(missed, RUNS, NOMINAL)
    assert missed == rejected


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_population_with_few_seeds_is_cautious_but_never_careless(seeds):
    missed, _ = misses(World(seeds, 60, 0.1, 1.0, 1.0), of("population"), seed=4)
    assert missed <= stats.binom.ppf(0.999, RUNS, NOMINAL)


def test_unpaired_population_is_never_careless():
    generator = np.random.default_rng(5)
    missed = 0
    for _ in range(RUNS):
        prompts = generator.normal(size=60)
        a = prompts + 0.2 * generator.normal(size=(6, 1)) + generator.normal(size=(6, 60))
        b = 0.2 * generator.normal(size=(5, 1)) + generator.normal(size=(5, 60))
        estimate = paired_difference(a, b, estimand="population", paired_seeds=False)
        missed += not estimate.low <= 0.0 <= estimate.high
    assert missed <= stats.binom.ppf(0.999, RUNS, NOMINAL)


def test_checkpoints_err_as_often_as_they_say():
    world = World(3, 60, seed_sd=0.5, prompt_sd=1.0, residual_sd=1.0)
    missed, rejected = misses(world, of("checkpoints"), seeds_fixed=True, seed=6)
    assert accepted(missed, RUNS, NOMINAL)
    assert accepted(rejected, RUNS, NOMINAL)


def test_checkpoints_of_heavy_tailed_scores_keep_their_type_one_error():
    generator = np.random.default_rng(7)
    rejected = 0
    for _ in range(RUNS):
        a = generator.standard_t(2, size=(1, 40))
        rejected += paired_difference(a, np.zeros_like(a), estimand="checkpoints").p_value <= NOMINAL
    assert accepted(rejected, RUNS, NOMINAL)


def test_checkpoints_of_binary_scores_never_exceed_their_type_one_error():
    generator = np.random.default_rng(8)
    rejected = 0
    for _ in range(RUNS):
        difficulty = generator.random(150)
        a, b = generator.random((2, 1, 150)) < difficulty
        rejected += paired_difference(a, b, estimand="checkpoints").p_value <= NOMINAL
    assert rejected <= stats.binom.ppf(0.999, RUNS, NOMINAL)


@pytest.mark.parametrize("estimand", ["checkpoints", "population"])
def test_the_bootstrap_of_a_corpus_ratio_errs_as_often_as_it_says(estimand):
    runs, seeds, prompts = 400, 5, 80
    generator = np.random.default_rng(9)
    luck = 0.0 if estimand == "checkpoints" else 0.05
    missed = 0
    for _ in range(runs):
        tokens = generator.integers(5, 40, size=(2, seeds, prompts)).astype(float)
        rate = 1.0 + luck * generator.normal(size=(2, seeds, 1)) + 0.3 * generator.normal(size=(2, 1, prompts))
        a, b = np.stack([rate * tokens, tokens], axis=-1)
        estimate = bootstrap_difference(
            a, b, lambda sums: sums[..., 0] / sums[..., 1], estimand=estimand, replicates=500
        )
        missed += not estimate.low <= 0.0 <= estimate.high
    assert accepted(missed, runs, NOMINAL)


def test_the_difference_that_five_seeds_can_find_is_found():
    # 1.68 sd of the seed differences, each the mean of 50 prompts: power .8
    sd = np.sqrt(0.2**2 + 1.0 / 50)
    world = World(5, 50, 0.2, 1.0, 1.0, delta=1.6827 * sd)
    _, found = misses(world, of("recipe"), prompts_fixed=True, seed=10)
    assert accepted(found, RUNS, 0.8)


@pytest.mark.parametrize(
    "mutation",
    [percentile_bootstrap_over_seeds, of("checkpoints")],
    ids=["percentile bootstrap over seeds", "prompts taken for the unit"],
)
def test_a_wrong_method_falls_outside_the_band(mutation):
    world = World(5, 50, seed_sd=0.4, prompt_sd=0.3, residual_sd=1.0)
    runs = 500
    missed, rejected = misses(world, mutation, runs=runs, prompts_fixed=True, seed=11)
    assert not accepted(missed, runs, NOMINAL)
    assert not accepted(rejected, runs, NOMINAL)
