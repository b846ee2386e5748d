"""Resamples are drawn once, arms are resampled once, and neither changes an estimate."""

import itertools
import re
import tracemalloc

import numpy as np
import pytest

from rlbench.errors import InputError
from rlbench.seeding import stream
from rlbench.statistics import bootstrap_difference, bootstrap_value, draw_resamples, resamples
from rlbench.statistics.arm_metric import ArmMetric
from rlbench.statistics.bootstrap import metric_difference, metric_value

ESTIMANDS = ["checkpoints", "recipe", "population"]


def ratio(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def arm(seed: int, seeds: int = 4, prompts: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1.0, 2.0, size=(seeds, prompts, 2))


class Counting:
    """A ratio that counts how many rows of sums it was asked for."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, sums: np.ndarray) -> np.ndarray:
        self.rows += sums[..., 0].size
        return ratio(sums)


@pytest.mark.parametrize("paired_seeds", [True, False])
@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_arms_that_are_kept_give_the_estimates_of_arms_that_are_not(estimand, paired_seeds):
    draws = draw_resamples(30, 300, seed=2)
    kept = [ArmMetric(arm(seed), ratio, draws) for seed in range(3)]
    for (i, a), (j, b) in itertools.combinations(enumerate(kept), 2):
        options = {"estimand": estimand, "paired_seeds": paired_seeds, "confidence": 0.9}
        fresh = bootstrap_difference(arm(i), arm(j), ratio, replicates=300, seed=2, **options)
        assert metric_difference(a, b, **options) == fresh
    fresh = bootstrap_value(arm(1), ratio, estimand=estimand, replicates=300, seed=2)
    assert metric_value(kept[1], estimand=estimand) == fresh


def test_an_arm_in_many_pairs_is_resampled_once():
    counting, draws = Counting(), draw_resamples(30, 300)
    arms = [ArmMetric(arm(seed), counting, draws) for seed in range(4)]
    for a, b in itertools.combinations(arms, 2):
        metric_difference(a, b, estimand="population")
    for each in arms:
        metric_value(each, estimand="checkpoints")
    assert counting.rows == 4 * 4 * (300 + 1)  # arms × seeds × (replicates and the value itself)


def test_a_recipe_needs_no_random_numbers():
    draws = draw_resamples(30, 300)
    metric_difference(ArmMetric(arm(1), ratio, draws), ArmMetric(arm(2), ratio, draws), estimand="recipe")
    assert "weights" not in vars(draws)


def test_replicates_are_the_metric_of_the_prompts_drawn():
    draws, stats = draw_resamples(30, 100, seed=5), arm(1)
    found = ArmMetric(stats, ratio, draws).resampled
    for replicate in (0, 57, 99):
        drawn = np.repeat(np.arange(30), draws.weights[replicate])
        assert found[replicate] == pytest.approx(ratio(stats[:, drawn].sum(axis=1)), rel=1e-12)


def test_weights_count_what_the_named_stream_draws():
    indices = stream(5, "statistics", "prompt resamples").integers(0, 7, size=(100, 7))
    expected = [np.bincount(row, minlength=7) for row in indices]
    assert (draw_resamples(7, 100, seed=5).weights == expected).all()


@pytest.mark.parametrize("values", [1, 100, 1001])
def test_the_size_of_chunks_changes_nothing(monkeypatch, values):
    whole = draw_resamples(30, 333)
    expected = ArmMetric(arm(1), ratio, whole).resampled
    monkeypatch.setattr(resamples, "_CHUNK_VALUES", values)
    parts = draw_resamples(30, 333)
    assert (parts.weights == whole.weights).all()
    assert ArmMetric(arm(1), ratio, parts).resampled == pytest.approx(expected, rel=1e-12)


def test_memory_is_one_byte_per_weight_and_chunks_of_megabytes():
    stats = arm(1, seeds=5, prompts=1000)
    tracemalloc.start()
    try:
        draws = draw_resamples(1000, 5000)
        metric = ArmMetric(stats, ratio, draws)
        assert metric.resampled.shape == (5000, 5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert draws.weights.nbytes == 5_000_000
    assert peak < 5_000_000 + 10_000_000  # as float64 the weights alone would take 40 MB


def test_a_prompt_may_be_drawn_by_every_draw():
    assert (draw_resamples(1, 100).weights == 1).all()
    assert draw_resamples(2, 1000).weights.max() == 2


@pytest.mark.parametrize(
    ("prompts", "replicates", "message"),
    [(0, 100, "got 0 and 100"), (5, 99, "got 5 and 99")],
)
def test_too_few_to_draw_is_explained(prompts, replicates, message):
    with pytest.raises(InputError, match=message):
        draw_resamples(prompts, replicates)


def test_resamples_of_other_prompts_are_refused():
    with pytest.raises(InputError, match=re.escape("expected 30 prompts as in statistics 'ppo', got 29")):
        ArmMetric(arm(1), ratio, draw_resamples(29, 100), "ppo")


def test_arms_with_different_resamples_are_not_compared():
    a = ArmMetric(arm(1), ratio, draw_resamples(30, 100, seed=1), "ppo")
    b = ArmMetric(arm(2), ratio, draw_resamples(30, 100, seed=2), "grpo")
    with pytest.raises(InputError, match="the same for 'ppo' and 'grpo'"):
        metric_difference(a, b, estimand="checkpoints")
