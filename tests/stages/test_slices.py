"""Slices of a comparison: how prompts are grouped, and what is said of the arms in each group."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rlbench.artifacts.call import Circumstances
from rlbench.artifacts.tables import write_table
from rlbench.errors import InputError
from rlbench.records import Sample
from rlbench.registry import load
from rlbench.stages import score, slices
from rlbench.stages.completions import score_completions
from rlbench.stages.estimates import Design, TaskComparison
from rlbench.stages.samples import read_samples, write_samples
from rlbench.stages.slices import slice_rows, slices_of
from rlbench.statistics import benjamini_hochberg
from rlbench.tasks.task import load_task

N = 90
IDS = [f"test-{place:05d}" for place in range(N)]


def table(correct):
    """Scores [prompt, completion] as a grader writes them."""
    correct = np.asarray(correct, dtype=float)
    ids = np.repeat(IDS[: len(correct)], correct.shape[1])
    columns = {"correct": correct.ravel(), "correct_flexible": correct.ravel(), "marked": 1.0}
    return {"correctness": pd.DataFrame({"sample_id": ids} | columns)}


def compared(arms, estimand="recipe", name="correctness", task="t"):
    """Arms [seed, prompt, completion] by name."""
    design = Design(task, estimand, 0.95, 300, [load("metrics", "marked"), load("metrics", name)], name, {}, {})
    tables = {arm: {seed: table(scores) for seed, scores in enumerate(each)} for arm, each in arms.items()}
    return TaskComparison(
        design, tables, IDS[: len(next(iter(tables.values()))[0]["correctness"]["sample_id"].unique())]
    )


def samples(**columns):
    return pd.DataFrame({"sample_id": IDS, "prompt_characters": 7} | columns)


def sizes(slices):
    return [(each.name, each.group, len(each.sample_ids)) for each in slices]


def drawn(seed, chance, seeds=4, completions=4):
    chance = np.broadcast_to(chance, N)[:, None]
    return np.random.default_rng(seed).random((seeds, N, completions)) < chance


FEW = {"a": drawn(0, 0.5, seeds=2, completions=1), "b": drawn(1, 0.5, seeds=2, completions=1)}


def test_length_is_cut_into_thirds_of_the_compared_prompts():
    found = slices_of(samples(prompt_characters=range(100, 100 + N)), compared(FEW))
    assert sizes(found) == [("length", "short", 30), ("length", "medium", 30), ("length", "long", 30)]
    assert found[0].sample_ids == tuple(IDS[:30])
    few = slices_of(samples(prompt_characters=range(N)), compared({arm: each[:, :29] for arm, each in FEW.items()}))
    assert few == [], "a third would have fewer than ten prompts"
    assert slices_of(samples(), compared(FEW)) == [], "all prompts are equally long"


def test_declared_slices_come_first_and_win_over_measured_ones():
    groups = {"slice_level": ["10", "9", "10"] * 30, "slice_length": ["few", "many", "many"] * 30, "slice_same": "x"}
    assert sizes(slices_of(samples(**groups), compared(FEW))) == [
        ("level", "9", 30),
        ("level", "10", 60),
        ("length", "few", 30),
        ("length", "many", 60),
    ]


def test_scores_without_a_table_of_samples_know_only_difficulty():
    arms = {"a": drawn(0, np.linspace(0, 1, N)), "b": drawn(1, np.linspace(0, 1, N))}
    found = slices_of(None, compared(arms))
    assert [(each.name, each.group) for each in found] == [("difficulty", g) for g in ("hard", "medium", "easy")]
    assert np.mean([IDS.index(name) for name in found[0].sample_ids]) < 30


def test_a_prompt_without_a_row_is_an_error():
    with pytest.raises(
        InputError, match=r"samples.parquet for each of 90 prompts, got none for 1 \(first: 'test-00089'"
    ):
        slices_of(samples()[:-1], compared(FEW))


def test_difficulty_needs_sixteen_completions_of_a_prompt():
    enough = {"a": drawn(0, 0.5, 4, 2), "b": drawn(1, 0.5, 4, 2)}
    assert {each.name for each in slices_of(None, compared(enough))} == {"difficulty"}
    assert slices_of(None, compared(enough | {"b": drawn(1, 0.5, 3, 2)})) == []


def test_with_two_completions_the_arms_would_be_equal_on_hard_prompts_by_construction(monkeypatch):
    """Why so many are needed: one arm is better on all prompts alike, and only "medium" ones would show it."""
    comparison = compared({"a": drawn(0, 0.3, 1, 1), "b": drawn(1, 0.7, 1, 1)}, "checkpoints")
    assert slices_of(None, comparison) == []
    monkeypatch.setattr(slices, "ENOUGH", 2)
    hard, medium, easy = slice_rows([(comparison, slices_of(None, comparison))])
    assert hard["value"] == easy["value"] == 0
    assert medium["value"] > 0.4


def test_difficulty_does_not_depend_on_the_order_of_the_arms():
    arms = {name: drawn(seed, np.linspace(0.2, 0.8, N)) for seed, name in enumerate("abc")}
    found = slices_of(None, compared(arms))
    assert found == slices_of(None, compared(dict(reversed(arms.items()))))
    mean = np.mean(list(arms.values()), axis=(0, 1, 3))
    hard, _, easy = ([mean[IDS.index(name)] for name in each.sample_ids] for each in found)
    assert max(hard) < min(easy)


def test_a_prompt_that_an_arm_has_no_score_for_is_neither_hard_nor_easy():
    arms = {"a": drawn(0, 0.5).astype(float), "b": drawn(1, 0.5).astype(float)}
    arms["b"][:, :3] = np.nan
    found = slices_of(None, compared(arms))
    assert found[-1].group == "not scored in every arm"
    assert found[-1].sample_ids == tuple(IDS[:3])
    assert sorted(name for each in found for name in each.sample_ids) == IDS


def test_difficulty_of_all_arms_favours_none_and_that_of_one_arm_does():
    """Identical arms: the mean difference in every third is zero, unless one arm alone says what is hard."""
    value, alone, p_values = [], [], []
    for seed in range(25):
        arms = {
            "a": drawn(2 * seed, np.linspace(0.1, 0.9, N), 5, 2),
            "b": drawn(2 * seed + 1, np.linspace(0.1, 0.9, N), 5, 2),
        }
        comparison = compared(arms)
        rows = slice_rows([(comparison, slices_of(None, comparison))])
        value.append([row["value"] for row in rows])
        p_values += [row["p_value"] for row in rows]
        only = slices_of(None, compared({"a": np.concatenate([arms["a"]] * 2)}))
        alone.append([row["value"] for row in slice_rows([(comparison, only)])])
    hard, _, easy = np.mean(alone, axis=0)
    assert hard > 0.03
    assert easy < -0.03
    assert (np.abs(np.mean(value, axis=0)) < 0.015).all()
    assert stats.binomtest(sum(p < 0.05 for p in p_values), len(p_values), 0.05).pvalue > 1e-3


def test_a_row_is_the_difference_on_the_prompts_of_its_slice():
    arms = {"a": drawn(0, 0.4), "b": drawn(1, 0.7), "c": drawn(2, 0.5)}
    comparison = compared(arms)
    found = slices_of(samples(slice_kind=["x"] * 30 + ["y"] * 60), comparison)
    rows = slice_rows([(comparison, found)])
    assert [(row["a"], row["b"]) for row in rows[:3]] == [("a", "b"), ("a", "c"), ("b", "c")]
    (row,) = [row for row in rows if (row["group"], row["a"], row["b"]) == ("y", "a", "b")]
    by_seed = {arm: each[:, 30:].mean(axis=(1, 2)) for arm, each in arms.items()}
    test = stats.ttest_rel(by_seed["b"], by_seed["a"])
    low, high = test.confidence_interval(0.95)
    assert (row["slice"], row["prompts"], row["metric"], row["task"]) == ("kind", 60, "correctness", "t")
    assert [row["score_a"], row["score_b"]] == pytest.approx([by_seed["a"].mean(), by_seed["b"].mean()])
    assert [row["value"], row["low"], row["high"], row["p_value"]] == pytest.approx(
        [np.mean(by_seed["b"] - by_seed["a"]), low, high, test.pvalue]
    )
    assert "reason" not in row
    json.dumps(rows, allow_nan=False)


def test_p_values_are_adjusted_over_the_slices_of_all_tasks():
    parts = []
    for place in range(2):
        comparison = compared({"a": drawn(place, 0.4), "b": drawn(9 + place, 0.5)}, task=f"t{place}")
        parts.append((comparison, slices_of(samples(slice_kind=["x"] * 30 + ["y"] * 55 + ["z"] * 5), comparison)))
    rows = slice_rows(parts)
    tested = [row for row in rows if row["group"] != "z"]
    assert {row["task"] for row in tested} == {"t0", "t1"}
    expected = benjamini_hochberg([row["p_value"] for row in tested])
    assert [row["p_adjusted"] for row in tested] == pytest.approx(list(expected))
    for row in rows:
        if row["group"] == "z":
            assert row["reason"] == "fewer than 10 prompts"
            assert [row[key] for key in ("value", "low", "high", "p_value", "p_adjusted", "score_a")] == [None] * 6


def test_an_interval_over_prompts_needs_ten_that_differ():
    a = drawn(0, 0.5, 1, 1)
    b = a.copy()
    b[0, :9] = ~b[0, :9]
    b[0, 45:60] = ~b[0, 45:60]
    comparison = compared({"a": a, "b": b}, "checkpoints")
    found = slices_of(samples(slice_half=["x"] * 45 + ["y"] * 45), comparison)
    first, second = slice_rows([(comparison, found)])
    assert first["reason"] == "the arms differ on fewer than 10 of these prompts"
    assert first["value"] == pytest.approx(b[0, :45].mean() - a[0, :45].mean())
    assert first["low"] is first["p_value"] is first["p_adjusted"] is None
    assert second["low"] < second["value"] < second["high"]
    assert second["p_adjusted"] == pytest.approx(min(1.0, 2 * second["p_value"])), (
        "what cannot be told stays in the family"
    )


def test_a_pair_that_cannot_be_compared_says_why_in_every_slice():
    comparison = compared({"a": drawn(0, 0.4), "b": drawn(1, 0.7)[:1]})
    rows = slice_rows([(comparison, slices_of(samples(slice_kind=["x"] * 30 + ["y"] * 60), comparison))])
    assert {row["reason"] for row in rows} == {"1 finished seed(s) in common; an interval over seeds needs at least 2"}
    assert [row["group"] for row in rows] == ["x", "y", "hard", "medium", "easy"]
    assert rows[0]["score_a"] is not None


def test_without_slices_there_are_no_rows():
    assert slice_rows([]) == []
    assert slice_rows([(compared(FEW), [])]) == []


def test_the_table_of_samples_can_be_read_again(tmp_path):
    write_samples(tmp_path, [Sample("b", "12345", slices={"level": "2"}), Sample("a", "1", slices={"level": "x"})])
    assert read_samples(tmp_path).to_dict("list") == {
        "sample_id": ["b", "a"],
        "prompt_characters": [5, 1],
        "slice_level": ["2", "x"],
    }
    assert read_samples(tmp_path / "nothing") is None


TOY = """\
name: toy
description: A toy
licence: CC0-1.0
source: {kind: file, splits: {test: test.jsonl}}
prompt: "{question}"
max_new_tokens: 8
reward: length.words
metrics: [mean_length]
primary: mean_length
slices: {kind: kind}
"""


@pytest.fixture
def toy(tmp_path):
    """The folder of a task with three prompts, odd and even ones."""
    (tmp_path / "task.yaml").write_text(TOY)
    rows = [{"question": "x" * n, "kind": "odd" if n % 2 else "even"} for n in (1, 2, 3)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_scoring_a_run_writes_what_is_known_of_the_evaluated_prompts(toy):
    measured = dict.fromkeys(("tokens", "truncated", "logprob", "sft_logprob"), [1.0] * 4)
    names = {"sample_id": ["test-00000"] * 2 + ["test-00001"] * 2, "completion_index": [0, 1] * 2}
    write_table(toy / "sample" / "completions.parquet", names | {"completion": ["a b"] * 4} | measured)
    call = SimpleNamespace(
        config={"task": "toy", "split": "test", "graders": {"length": {}}},
        circumstances=Circumstances(task_paths={"toy": str(toy)}),
        input=lambda role: toy / role,
        out=toy / "score",
    )
    assert score.run(call) == {"completions": 4}
    assert read_samples(toy / "score").to_dict("list") == {
        "sample_id": ["test-00000", "test-00001"],
        "prompt_characters": [1, 2],
        "slice_kind": ["odd", "even"],
    }


def test_scoring_completions_writes_what_is_known_of_all_prompts(toy):
    (toy / "done.jsonl").write_text('{"completion": "a b"}\n' * 3)
    out = toy / "scores-of-mine"
    score_completions(toy / "done.jsonl", load_task(toy), "test", out, None)
    assert read_samples(out)["slice_kind"].tolist() == ["odd", "even", "odd"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert "samples.parquet" in manifest["files"]
    assert manifest["config"]["slices"] == load_task(toy).slices_fingerprint("test")
    (toy / "task.yaml").write_text(TOY.replace("kind: kind}", "group: kind}"))
    with pytest.raises(InputError, match="holds the scores of something else"):
        score_completions(toy / "done.jsonl", load_task(toy), "test", out, None)
