"""Variance components against a published analysis of variance, and their intervals against simulated truths."""

import numpy as np
import pytest

from rlbench.errors import InputError
from rlbench.statistics.components import Variances, variance_components

# Montgomery, Design and Analysis of Experiments (8th ed.), table 13.1: two measurements of 20 parts by 3 operators.
MONTGOMERY = """
21 20 20 20 19 21   24 23 24 24 23 24   20 21 19 21 20 22   27 27 28 26 27 28   19 18 19 18 18 21
23 21 24 21 23 22   22 21 22 24 22 20   19 17 18 20 19 18   24 23 25 23 24 24   25 23 26 25 24 25
21 20 20 20 21 20   18 19 17 19 18 19   23 25 25 25 25 25   24 24 23 25 24 25   29 30 30 28 31 30
26 26 25 26 25 27   20 20 19 20 20 20   19 21 19 19 21 23   25 26 25 24 25 25   19 19 18 17 19 17
"""


def gauge():
    """[operator, part, measurement], as [seed, prompt, sample]."""
    return np.array(MONTGOMERY.split(), dtype=float).reshape(20, 3, 2).transpose(1, 0, 2)


def drawn(generator, truth, seeds, prompts, samples):
    return (
        truth.seed**0.5 * generator.normal(size=(seeds, 1, 1))
        + truth.prompt**0.5 * generator.normal(size=(prompts, 1))
        + truth.interaction**0.5 * generator.normal(size=(seeds, prompts, 1))
        + truth.sample**0.5 * generator.normal(size=(seeds, prompts, samples))
    )


def test_a_published_gauge_study():
    found = variance_components(gauge())
    # mean squares 1.308 (operators), 62.391 (parts), .712 (interaction) and .992 (error), as published
    assert found.raw.seed == pytest.approx((1.308 - 0.712) / 40, abs=5e-5)
    assert found.raw.prompt == pytest.approx(10.28, abs=0.005)
    assert found.raw.interaction == pytest.approx(-0.14, abs=0.005)
    assert found.raw.sample == pytest.approx(0.99, abs=0.005)
    assert found.clipped == ("interaction",)
    assert found.variances.interaction == 0.0
    assert not found.confounded


def test_means_over_samples_leave_sample_and_interaction_together():
    whole, means = variance_components(gauge()), variance_components(gauge().mean(axis=2), samples=2)
    assert means.confounded
    assert means.samples == 2
    assert means.raw.interaction == pytest.approx(whole.raw.residual(2))
    assert (means.raw.seed, means.raw.prompt) == pytest.approx((whole.raw.seed, whole.raw.prompt))
    assert means.raw.sample == 0.0
    assert variance_components(gauge()[:, :, :1]).confounded


def test_the_estimates_are_unbiased_and_the_intervals_cover():
    truth, runs = Variances(0.0025, 0.04, 0.01, 0.16), 200
    generator = np.random.default_rng(0)
    names = ("seed", "prompt", "interaction", "sample")
    raw, covered = np.zeros(4), np.zeros(4)
    for _ in range(runs):
        found = variance_components(drawn(generator, truth, seeds=5, prompts=40, samples=3))
        for place, name in enumerate(names):
            low, high = found.interval(name)
            raw[place] += getattr(found.raw, name) / runs
            covered[place] += (low <= getattr(truth, name) <= high) / runs
    assert raw == pytest.approx([getattr(truth, name) for name in names], rel=0.15)
    assert (covered >= 0.90).all()  # .95 less three standard errors
    assert (covered <= 0.99).all()


def test_an_interval_of_few_seeds_is_as_wide_as_the_chi_square_says():
    # nothing but seeds varies, so that the interval is the exact one of a variance with 4 df
    values = np.array([0.1, 0.5, 0.2, 0.9, 0.4])[:, None] + np.zeros(30)
    variance = np.var(values[:, 0], ddof=1)
    assert variance_components(values).interval("seed") == pytest.approx(
        (4 * variance / 11.143, 4 * variance / 0.4844), rel=0.05
    )


def test_two_arms_like_one_vary_by_twice_as_much_and_share_the_prompts():
    truth, generator = Variances(0.04, 0.25, 0.09, 0.2), np.random.default_rng(1)
    prompts = 0.5 * generator.normal(size=(60, 1))
    own = Variances(truth.seed, 0.0, truth.interaction, truth.sample)
    a, b = (prompts + drawn(generator, own, seeds=150, prompts=60, samples=3) for _ in range(2))
    between, alike = variance_components(a - b).raw, variance_components(a).of_two_runs().raw
    for name in ("seed", "interaction", "sample"):
        assert getattr(between, name) == pytest.approx(getattr(alike, name), rel=0.3)
    assert alike.prompt == 0.0
    assert abs(between.prompt) < 0.01


def test_what_does_not_vary_has_no_variance():
    found = variance_components(0.1 * np.ones((4, 6, 3)) + 0.2)
    assert found.variances == Variances(0.0, 0.0, 0.0, 0.0)
    assert found.interval("seed") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: variance_components(np.zeros((1, 5, 2))), "at least 2 seeds and 2 prompts, got 1 and 5"),
        (lambda: variance_components(np.zeros((5, 1))), "at least 2 seeds and 2 prompts, got 5 and 1"),
        (lambda: variance_components(np.full((3, 4), np.nan)), "finite"),
        (lambda: variance_components(np.zeros(5)), r"\[seed, prompt\]"),
        (lambda: variance_components(gauge()).interval("seed", 1.5), "confidence"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(InputError, match=message):
        call()
