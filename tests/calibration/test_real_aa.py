"""Real A/A: splits of one arm's seeds, the interval of their alarms, and what cannot be split."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rlbench.calibration import real
from rlbench.calibration.real import RealAA, jackknife_interval, real_aa, split
from rlbench.comparison.arms import Arm, TaskScores
from rlbench.errors import InputError

SEEDS, PROMPTS = 8, 12


def arm(name="grpo", seeds=SEEDS, unscored=()):
    generator = np.random.default_rng(0)
    tables = {}
    for seed in range(seeds):
        right = (generator.random(PROMPTS) < generator.uniform(0.3, 0.9)).astype(float)
        if seed in unscored:
            right[:] = np.nan
        rows = {"sample_id": [f"p{i}" for i in range(PROMPTS)], "completion_index": 0, "correct": right}
        rows |= {"flexible": np.nan, "marked": right, "reason": ""}
        tables[seed] = {"correctness": pd.DataFrame(rows)}
    metrics = ("correctness", "marked")
    task = TaskScores(
        "sums", "test", "d", {"correctness": ["1", {}]}, metrics, "correctness",
        tuple(f"p{i}" for i in range(PROMPTS)), tables,
    )  # fmt: skip
    return Arm(name, "algorithm", tuple(range(seeds)), {"sums": task})


def given(monkeypatch, *arms):
    monkeypatch.setattr(real, "read_source", lambda text: list(arms))


def test_a_split_uses_every_seed_at_most_once_and_is_the_same_each_time():
    seen = []

    def alarm(a, b):
        seen.append((tuple(a), tuple(b)))
        return a[0] == 0

    alarms, used = split(9, 3, 50, alarm)
    assert all(len(set(a) | set(b)) == 6 for a, b in seen)
    assert [sorted(np.flatnonzero(row)) for row in used] == [sorted((*a, *b)) for a, b in seen]
    assert alarms.tolist() == [a[0] == 0 for a, _ in seen]
    assert np.array_equal(split(9, 3, 50, lambda a, b: bool(a[0] == 0))[1], used)


def test_the_jackknife_of_a_mean_over_seeds_is_its_usual_interval():
    # alarms that depend on the first seed alone: the rate is a mean over seeds, whose interval is known
    loud = np.arange(20) < 4
    pairs = list(itertools.permutations(range(20), 2)) * 50
    used = np.zeros((len(pairs), 20), dtype=bool)
    for row, (a, b) in zip(used, pairs, strict=True):
        row[[a, b]] = True
    low, high = jackknife_interval(np.array([loud[a] for a, _ in pairs]), used)
    half = 2.093024 * loud.std(ddof=1) / 20**0.5  # t with 19 df
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.002)


def test_all_metrics_and_sizes_that_the_seeds_allow_are_split(monkeypatch):
    given(monkeypatch, arm())
    found = real_aa(Path("runs/x"), "grpo", splits=60)
    assert (found.experiment, found.arm, found.seeds, found.prompts) == ("x", "grpo", SEEDS, {"sums": PROMPTS})
    assert {row.size for row in found.rows} == {3}  # 5 against 5 would need ten seeds
    assert {(row.metric, row.estimand, row.paired) for row in found.rows} == {
        ("correctness", "recipe", True), ("correctness", "recipe", False), ("correctness", "population", True),
        ("marked", "recipe", True), ("marked", "recipe", False),
    }  # fmt: skip
    for row in found.rows:
        assert row.splits == 60
        assert row.low <= row.rate <= row.high
        assert row.rate < 0.3
    assert RealAA.from_json(found.to_json()) == found


def test_a_metric_without_scores_in_a_seed_has_a_reason_and_no_rate(monkeypatch):
    given(monkeypatch, arm(unscored={2}))
    found = real_aa(Path("runs/x"), None, splits=60)
    assert all(row.rate is None and "seed" in row.reason for row in found.rows)


def test_too_few_seeds_or_an_unknown_arm_cannot_be_split(monkeypatch):
    given(monkeypatch, arm(seeds=5))
    with pytest.raises(InputError, match="at least 6 finished seeds"):
        real_aa(Path("runs/x"), "grpo")
    given(monkeypatch, arm("ppo"), arm("grpo"))
    with pytest.raises(InputError, match="name one of ppo, grpo"):
        real_aa(Path("runs/x"), None)
    with pytest.raises(InputError, match="got rloo"):
        real_aa(Path("runs/x"), "rloo")
