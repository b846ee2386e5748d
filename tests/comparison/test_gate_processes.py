"""Speed and memory: the unit is the training run, and nothing is claimed across machines or from a few runs."""

from dataclasses import replace

import numpy as np
import pytest
from regress_arms import MACHINE, arm, levels
from scipy import stats

from rlbench.comparison.gate import Check, Gate, Margin
from rlbench.comparison.noise import PROCESS_METRICS
from rlbench.comparison.regression import judge

LEVELS = levels([0.5] * 8)
QUIET = dict(enumerate(1 + 0.002 * np.random.default_rng(0).normal(size=8)))


def gate(margin=0.05, name="throughput", direction="higher", interleaved=True):
    return Gate((Check(PROCESS_METRICS[name], Margin(margin, relative=True), direction, interleaved),))


def row_of(old, new, checked=None, **changes):
    a, b = arm(LEVELS, speeds=old), replace(arm(LEVELS, speeds=new), **changes)
    (row,) = judge([a], [b], checked or gate())["metrics"]
    return row


def scaled(speeds, factor, seed=1):
    noise = 1 + 0.002 * np.random.default_rng(seed).normal(size=len(speeds))
    return {key: value * factor * extra for (key, value), extra in zip(speeds.items(), noise, strict=True)}


@pytest.mark.parametrize(("factor", "verdict"), [(0.85, "regressed"), (1.0, "equivalent"), (1.2, "improved")])
def test_speed_is_judged_by_the_ratio_of_processes(factor, verdict):
    row = row_of(QUIET, scaled(QUIET, factor))
    assert row["verdict"] == verdict
    assert row["value"] == pytest.approx(factor - 1, abs=0.01)
    assert not any("drift" in text for text in (*row["reasons"], *row["notes"]))


def test_a_slowdown_of_runs_that_were_not_made_in_turns_is_no_claim():
    row = row_of(QUIET, scaled(QUIET, 0.85), gate(interleaved=False))
    assert row["verdict"] == "inconclusive"
    assert "a drift of the machine looks like a change" in row["reasons"][0]
    row = row_of(QUIET, scaled(QUIET, 1.0), gate(interleaved=False))
    assert row["passed"]
    assert "a drift of the machine looks like a change" in row["notes"][0]


def test_the_interval_is_that_of_the_log_ratios():
    new = scaled(QUIET, 0.97)
    row = row_of(QUIET, new)
    logs = [np.log(int(1e6 * new[seed]) / int(1e6 * QUIET[seed])) for seed in QUIET]
    low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.9)
    assert (row["low"], row["high"]) == pytest.approx((np.expm1(low), np.expm1(high)))


def test_the_margin_is_never_narrower_than_twice_the_baselines_own_noise_and_then_passes_nothing_more():
    noisy = dict(enumerate(np.exp(0.1 * np.random.default_rng(2).normal(size=8))))
    row = row_of(noisy, scaled(noisy, 0.93))
    sd = np.log([int(1e6 * speed) for speed in noisy.values()]).std(ddof=1)
    width = stats.t.ppf(0.95, 14) * sd * np.sqrt(2 / 8)
    assert row["margin"] == pytest.approx(1 - np.exp(-2 * width))
    assert row["margin_declared"] == "5 %"
    assert row["verdict"] == "inconclusive"  # 7 % slower: within the noise, but not within what was declared
    assert "not the declared one" in row["reasons"][0]


def test_five_pairs_are_too_few():
    few = {seed: QUIET[seed] for seed in range(5)}
    row = row_of(few, scaled(few, 0.5))
    assert row["verdict"] == "inconclusive"
    assert "at least 6" in row["reasons"][0]


@pytest.mark.parametrize(("key", "value"), [("machine", "aarch64"), ("device", "cuda"), ("torch", "2.14.0")])
def test_another_machine_or_version_says_nothing(key, value):
    row = row_of(QUIET, scaled(QUIET, 0.5), environment=MACHINE | {key: value})
    assert row["verdict"] == "inconclusive"
    assert f"{key} {MACHINE[key]} and {value}" in row["reasons"][0]


def test_another_version_of_rlbench_is_what_is_judged():
    row = row_of(QUIET, scaled(QUIET, 0.5), environment=MACHINE | {"rlbench": "0.2.0"})
    assert row["verdict"] == "regressed"


def test_memory_that_never_varies_is_judged_as_it_is():
    row = row_of(QUIET, QUIET, gate(0.1, "peak_memory", "lower"))
    assert (row["verdict"], row["identical"]) == ("equivalent", True)
    more = {
        key: {**spent, "peak_memory_bytes": 1_200_000_000} for key, spent in arm(LEVELS, speeds=QUIET).usage.items()
    }
    row = row_of(QUIET, QUIET, gate(0.1, "peak_memory", "lower"), usage=more)
    assert (row["verdict"], row["value"]) == ("regressed", pytest.approx(0.2))
    row = row_of(QUIET, QUIET, gate(0.3, "peak_memory", "lower"), usage=more)
    assert row["verdict"] == "worse within margin"


def test_memory_does_not_drift_with_the_machine_and_needs_no_runs_in_turns():
    more = {
        key: {**spent, "peak_memory_bytes": 2_000_000_000} for key, spent in arm(LEVELS, speeds=QUIET).usage.items()
    }
    row = row_of(QUIET, QUIET, gate(0.1, "peak_memory", "lower", interleaved=False), usage=more)
    assert row["verdict"] == "regressed"


def test_a_slow_run_that_the_baseline_has_no_pair_of_forbids_passing():
    lacking = {seed: speed for seed, speed in QUIET.items() if seed != 7}
    row = row_of(lacking, scaled(QUIET, 1.0) | {7: 0.1})
    assert row["verdict"] == "inconclusive"
    assert "seed 7 of the candidate not judged" in row["reasons"][0]
    assert "7" not in row["candidate"]["by_seed"]


def test_runs_of_other_seeds_are_compared_without_pairing():
    other = {seed + 100: speed for seed, speed in scaled(QUIET, 1.0).items()}
    a, b = arm(LEVELS, speeds=QUIET), arm(levels([0.5] * 8, first=100), speeds=other)
    (row,) = judge([a], [b], gate())["metrics"]
    assert row["method"].startswith("Welch")
    assert row["verdict"] == "equivalent"
