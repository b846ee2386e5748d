"""Differences as rows: what is not decided says how many seeds it needs, and what is too sparse says so."""

import numpy as np
import pandas as pd
import pytest

from rlbench.registry import load
from rlbench.stages.estimates import Design, TaskComparison, adjust
from rlbench.statistics import seeds_needed

IDS = [f"test-{place:05d}" for place in range(40)]


def table(correct):
    columns = {"correct": correct, "correct_flexible": correct, "marked": 1.0}
    return {"correctness": pd.DataFrame({"sample_id": IDS} | columns)}


def arms(shifts, seeds=5):
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.1, (len(shifts), seeds))
    return {
        name: {
            seed: table((random.random(40) < 0.5 + shift + noise[place, seed]).astype(float)) for seed in range(seeds)
        }
        for place, (name, shift) in enumerate(shifts.items())
    }


def primary(tables, estimand="recipe"):
    metric = load("metrics", "correctness")
    design = Design("t", estimand, 0.95, 500, [metric], "correctness", {}, {})
    rows = TaskComparison(design, tables, IDS).differences()
    return adjust(rows, design, primary=True)


def test_the_seeds_that_are_needed_count_the_other_tests_of_the_family():
    rows = primary(arms({"a": 0.0, "b": 0.12, "c": 0.1, "d": 0.05, "e": 0.02}))
    undecided = [row for row in rows if row["verdict"] == "not decided"]
    assert len(rows) == 10
    assert undecided
    for row in undecided:
        assert row["seeds_needed"] > row["seeds"]
        seed_sd = np.std(row["by_seed"], ddof=1)
        assert row["seeds_needed"] >= seeds_needed(abs(row["value"]), seed_sd, alpha=0.05)


def test_a_family_of_one_needs_no_more_than_one_test():
    (row,) = primary(arms({"a": 0.0, "b": 0.02}))
    assert row["p_adjusted"] == row["p_value"]
    assert (row["simultaneous_low"], row["simultaneous_high"]) == pytest.approx((row["low"], row["high"]))


def test_a_metric_that_is_scored_too_sparsely_is_told_and_does_not_stop_the_rest():
    sparse = np.full(40, np.nan)
    sparse[0] = 1.0
    tables = {"a": {0: table(np.ones(40))}, "b": {0: table(sparse)}, "c": {0: table(np.zeros(40))}}
    rows = {(row["a"], row["b"]): row for row in primary(tables, "checkpoints")}
    assert rows["a", "b"]["verdict"] == "not computable"
    assert rows["a", "b"]["value"] is None
    assert "too few scored prompts" in rows["a", "b"]["reason"]
    assert rows["a", "c"]["value"] == -1.0


def test_the_signature_names_the_options_of_the_grader():
    metric = load("metrics", "matched")
    design = Design(
        "t", "recipe", 0.95, 500, [metric], "matched", {}, {"pattern": {"pattern": "fun", "ignore_case": True}}
    )
    assert design.signature(metric).endswith("|ignore_case:True|pattern:fun")


def test_an_arm_without_a_finished_seed_stays_in_the_family():
    full = arms({"a": 0.0, "b": 0.2, "c": 0.1})
    rows = {(row["a"], row["b"]): row for row in primary(full | {"c": {}})}
    assert len(rows) == 3
    assert rows["a", "c"]["reason"].startswith("0 finished seed(s) in common")
    assert rows["a", "b"]["p_adjusted"] == pytest.approx(3 * rows["a", "b"]["p_value"])
