"""The truths of the simulated worlds, against what the worlds give on average."""

import numpy as np
import pytest

from rlbench.calibration.worlds import Binary, Continuous, Ratio

RUNS = 4_000


def check(world, estimand, statistic=lambda scores: scores.mean(axis=(1, 2)), runs=RUNS):
    drawn = world.draw(np.random.default_rng(1), runs, estimand)
    found = statistic(drawn.a) - statistic(drawn.b)
    error = found.std(ddof=1) / runs**0.5
    assert abs(found.mean() - drawn.truth) < 4 * error
    return drawn


@pytest.mark.parametrize("estimand", ["checkpoints", "recipe", "population"])
@pytest.mark.parametrize(
    "world",
    [
        Continuous(3, 10, 0.5, 1.0, 0.5, difference=0.3),
        Continuous(3, 10, 0.5, 1.0, 0.5, difference=0.3, heavy_tails=True),
        Continuous(3, 10, 0.5, 1.0, 0.5, difference=0.3, seeds_b=6),
        Binary(3, 10, 0.7, 2, 0.1, seed_sd=0.6, prompt_sd=0.6),
        Binary(3, 10, 0.95, 1, 0.03, seed_sd=0.6),
    ],
    ids=["normal", "heavy tails", "unpaired", "binary", "ceiling"],
)
def test_the_truth_is_what_experiments_give_on_average(world, estimand):
    check(world, estimand)


@pytest.mark.parametrize("estimand", ["checkpoints", "recipe", "population"])
def test_equal_binary_arms_differ_by_nothing_and_yet_on_every_prompt(estimand):
    drawn = Binary(2, 8, 0.8, 4, seed_sd=0.6, prompt_sd=0.8).draw(np.random.default_rng(2), RUNS, estimand)
    assert drawn.truth == pytest.approx(0.0, abs=1e-12)
    if estimand == "recipe":  # prompts are kept: arms differ on each of them, in all experiments alike
        per_prompt = (drawn.a - drawn.b).mean(axis=(0, 1))
        assert (np.abs(per_prompt) > 0.01).sum() >= 6
        assert per_prompt.sum() == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("how", ["shared", "shared, sampled once"])
def test_a_shared_policy_has_the_truth_of_the_recipe(how):
    drawn = check(Binary(3, 10, 0.6, 4, 0.1, seed_sd=0.4, arm_b=how), "recipe")
    same = (drawn.b[:, 0] == drawn.b[:, 1]).all(axis=1).mean()
    assert same == 1.0 if how == "shared, sampled once" else same < 0.1


def test_checkpoints_that_are_kept_are_the_same_in_all_experiments():
    drawn = Continuous(3, 50, 2.0, 0.0, 0.1).draw(np.random.default_rng(3), 20, "checkpoints")
    by_seed = (drawn.a - drawn.b).mean(axis=2)
    assert by_seed.std(axis=0).max() < 0.1
    assert by_seed.mean(axis=0).std() > 0.5


@pytest.mark.parametrize("estimand", ["checkpoints", "population"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_the_truth_of_a_corpus_ratio_is_that_of_the_ratio_of_sums(estimand, slope):
    def ratio(stats):
        sums = stats.sum(axis=2)
        return (sums[..., 0] / sums[..., 1]).mean(axis=1)

    # many prompts: the ratio of two sums is biased by about 1 / prompts
    drawn = check(Ratio(2, 400, 0.05, 0.3, slope), estimand, ratio, runs=500)
    assert drawn.truth == pytest.approx(slope * 102 / 22**2)
