"""Agreement of a judge with labels: an interval that allows for clusters, and calibration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from rlbench.statistics.agreement import calibration, clustered_share, wilson

repeatable = settings(derandomize=True, deadline=None)


@pytest.mark.parametrize(("right", "count"), [(0, 5), (5, 5), (1, 7), (30, 50), (412, 500)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(right, count, confidence):
    theirs = binomtest(right, count).proportion_ci(confidence, method="wilson")
    assert wilson(right / count, count, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_independent_cases_give_wilsons_interval_and_copies_no_more():
    hits = np.random.default_rng(0).random(300) < 0.7
    alone = clustered_share(hits, range(300))
    assert alone.value == hits.mean()
    assert alone.effective == pytest.approx(300, rel=0.01)
    copied = clustered_share(np.repeat(hits, 5), np.repeat(range(300), 5).tolist())
    assert copied.count == 1500
    assert copied.effective == pytest.approx(alone.effective)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))


def test_where_all_agree_a_cluster_is_one_case():
    found = clustered_share([1.0] * 40, [number % 8 for number in range(40)])
    assert found.effective == 8
    theirs = binomtest(8, 8).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


@repeatable
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)), min_size=1, max_size=40))
def test_the_interval_holds_the_share_and_never_claims_more_cases_than_there_are(cases):
    found = clustered_share([hit for hit, _ in cases], [cluster for _, cluster in cases])
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert 0 < found.effective <= len(cases)


@pytest.mark.parametrize("share", [0.6, 0.85])
def test_the_interval_covers_the_truth_where_pairs_of_a_prompt_resemble_each_other(share):
    random, covered, naive = np.random.default_rng(1), 0, 0
    prompts = np.repeat(np.arange(100), 5)
    for _ in range(500):
        chance = random.beta(4 * share, 4 * (1 - share), 100)  # intra-cluster correlation 1/5
        hits = random.random(500) < chance[prompts]
        found = clustered_share(hits, prompts.tolist())
        covered += found.low <= share <= found.high
        low, high = wilson(hits.mean(), 500)
        naive += low <= share <= high
    assert covered / 500 > 0.93
    assert naive / 500 < 0.9


def test_a_calibrated_model_is_found_calibrated_and_a_boastful_one_is_not():
    random = np.random.default_rng(2)
    apart = random.normal(0, 2, 20_000)
    truth = np.where(random.random(20_000) < 1 / (1 + np.exp(-apart)), apart, -apart)  # chosen minus rejected
    honest = calibration(truth, range(20_000), confidence=0.999)
    assert len(honest) == 10
    assert sum(each.observed.count for each in honest) == 20_000
    assert all(each.observed.low <= each.predicted <= each.observed.high for each in honest)
    assert [each.predicted for each in honest] == sorted(each.predicted for each in honest)
    boastful = calibration(3 * truth, range(20_000), confidence=0.999)
    assert sum(each.predicted > each.observed.high for each in boastful) >= 8


def test_the_bins_by_hand():
    certain, unsure = 10.0, 0.1  # σ is 0.99995 and 0.525
    found = calibration([certain, certain, -certain, -unsure], "abcd", bins=2)
    assert [(each.observed.count, each.observed.value) for each in found] == [(1, 0.0), (3, pytest.approx(2 / 3))]
    assert [each.predicted for each in found] == pytest.approx([0.52498, 0.99995], abs=1e-5)
    assert calibration([0.0], "a")[0].observed.value == 0.5
