"""Saved baselines: sealed, complete, and never overwritten."""

from dataclasses import replace

import pandas as pd
import pytest
from regress_arms import arm, ids, levels, scores

from rlbench.comparison.baseline import find_source, read_baseline, save_baseline, stored
from rlbench.comparison.sources import read_source
from rlbench.errors import CorruptArtifact, InputError

LEVELS = levels([0.5, 0.52, 0.49, 0.51])


@pytest.fixture
def arms():
    samples = pd.DataFrame({"sample_id": ids(), "prompt_characters": range(12), "slice_level": "easy"})
    stamped = scores(LEVELS, samples=samples)
    stamped.tables[1]["correctness"].loc[0, ["correct", "reason"]] = [float("nan"), "no answer"]
    stamped.tables[2]["correctness"]["sandbox"] = "A"
    grpo = arm(LEVELS, speeds={0: 1.0, 1: 1.1, 2: 0.9}, tasks={"sums": stamped}, seeds=range(5), fingerprint="f")
    return [grpo, replace(arm(LEVELS, "sft"), kind="shared", runs=())]


def test_what_is_read_is_what_was_saved(tmp_path, arms):
    folder = save_baseline(tmp_path, "main", arms, "runs/mine")
    for read in (read_baseline(folder), read_source(str(folder))):
        assert [replace(each, tasks={}) for each in read] == [replace(each, tasks={}) for each in arms]
        for before, after in zip(arms, read, strict=True):
            old, new = before.tasks["sums"], after.tasks["sums"]
            assert replace(new, tables={}, samples=None) == replace(old, tables={}, samples=None)
            assert new.tables.keys() == old.tables.keys()
            for seed, by_grader in old.tables.items():
                for grader, table in by_grader.items():
                    found = new.tables[seed][grader]
                    pd.testing.assert_frame_equal(found[list(table)], table, check_dtype=False)
        pd.testing.assert_frame_equal(read[0].tasks["sums"].samples, arms[0].tasks["sums"].samples, check_dtype=False)
        assert read[1].tasks["sums"].samples is None


def test_one_arm_of_a_baseline_can_be_named(tmp_path, arms):
    save_baseline(tmp_path, "main", arms, "runs/mine")
    (only,) = read_source(find_source("main:sft", tmp_path))
    assert only.name == "sft"


def test_a_baseline_is_never_overwritten_and_its_name_stays_inside_the_store(tmp_path, arms):
    save_baseline(tmp_path, "main", arms, "runs/mine")
    with pytest.raises(InputError, match="never overwritten"):
        save_baseline(tmp_path, "main", arms[:1], "runs/other")
    for name in ("../evil", ".hidden", "a/b", "", "x" * 101, "a:b"):
        with pytest.raises(InputError, match="expected a name"):
            save_baseline(tmp_path, name, arms, "runs/mine")
    assert stored(tmp_path) == ["main"]


def test_a_changed_baseline_is_not_used(tmp_path, arms):
    folder = save_baseline(tmp_path, "main", arms, "runs/mine")
    (folder / "identity.json").write_text("[]")
    with pytest.raises(CorruptArtifact):
        read_baseline(folder)


def test_a_name_that_is_also_a_path_is_ambiguous(tmp_path, arms, monkeypatch):
    store = tmp_path / "store"
    save_baseline(store, "main", arms, "runs/mine")
    monkeypatch.chdir(tmp_path)
    assert find_source("main", store) == str(store / "main")
    (tmp_path / "main").mkdir()
    with pytest.raises(InputError, match="is a saved baseline and a path"):
        find_source("main", store)
    assert find_source("./main", store) == "./main"
    with pytest.raises(InputError, match=r"the baselines in .* are: main"):
        find_source("elsewhere", store)
    assert find_source(f"{store / 'main'}:grpo", store) == f"{store / 'main'}:grpo"


def test_a_store_that_cannot_be_made_is_named_with_its_option(tmp_path, arms):
    (tmp_path / "file").write_text("")
    for store in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(InputError, match="--store"):
            save_baseline(store, "main", arms, "runs/mine")
