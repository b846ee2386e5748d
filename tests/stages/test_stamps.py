"""How completions were judged, from the grader's stamps to the report; and pass@k on the same way."""

import json
import math

import pandas as pd
import pytest

from rlbench import registry
from rlbench.artifacts.tables import read_table
from rlbench.errors import InputError
from rlbench.metrics.pass_at_k import pass_at_k
from rlbench.metrics.ratio import mean
from rlbench.records import Candidate, Grader, Sample, Scored, Unscored
from rlbench.stages.estimates import Design, TaskComparison
from rlbench.stages.score import write_scores
from rlbench.stages.stamps import tiers

PLUGIN = '''\
"""Code judged by a rule: a completion passes if it has an even digit; it is judged as the options say."""

from dataclasses import replace

from rlbench.metrics.pass_at_k import pass_at_k
from rlbench.records import Grader, Scored, Unscored


def ruled(sandbox="A", weak_from=10**9):
    def grade(candidates):
        return [judge(candidate.completion, index) for index, candidate in enumerate(candidates)]

    def judge(completion, index):
        if completion.startswith("lost"):
            return Unscored("the sandbox was lost")
        stamps = {"sandbox": sandbox, "judged": "weak" if index >= weak_from else "split"}
        passed = any(digit in completion for digit in "02468")
        return Scored({"passed": float(passed)}, "ruled", stamps)

    return Grader("ruled", 1, ("passed",), grade, "an even digit", {"sandbox": sandbox, "weak_from": weak_from})


def solved(k):
    return replace(pass_at_k(k), name=f"solved@{k}", grader="ruled", signature=f"solved@{k}")
'''
ENTRIES = "[rlbench.graders]\nruled = ruled:ruled\n[rlbench.metrics]\nsolved@k = ruled:solved\n"


@pytest.fixture
def ruled(tmp_path, monkeypatch):
    """Install the plug-in for this process and those that it starts."""
    site = tmp_path / "site"
    (site / "ruled-1.0.dist-info").mkdir(parents=True)
    (site / "ruled-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: ruled\nVersion: 1.0\n")
    (site / "ruled-1.0.dist-info" / "entry_points.txt").write_text(ENTRIES)
    (site / "ruled.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    registry._entries.cache_clear()
    yield
    registry._entries.cache_clear()


@pytest.fixture
def task(ruled, tmp_path, new_task):
    """`task(name, metrics, **options of the grader)`: the folder of a task whose completions the plug-in judges."""

    def write(name="coded", metrics=("solved@1", "solved@2"), **options):
        folder = new_task(tmp_path / name, name)
        text = (folder / "task.yaml").read_text()
        for key, value in {
            "graders": json.dumps({"pattern": {"pattern": "[02468]"}, "ruled": options}),
            "metrics": json.dumps(list(metrics)),
            "primary": metrics[0],
        }.items():
            (old,) = [line for line in text.splitlines() if line.startswith(f"{key}:")]
            text = text.replace(old, f"{key}: {value}")
        (folder / "task.yaml").write_text(text)
        return folder

    return write


def completions(path, *prompts):
    """24 samples; those that are not given have the completions 1 and 2."""
    given = dict(enumerate(prompts))
    rows = [
        {"sample_id": f"test-{place:05d}", "completion": text}
        for place in range(24)
        for text in given.get(place, ("1", "2"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# The stamps in the table of scores.


def graded(folder, judgements, columns=("passed",)):
    grader = Grader("unit_tests", 1, columns, lambda candidates: judgements, "given")
    write_scores(folder, grader, [Candidate(Sample(f"p{place}", "?"), "x", 0) for place in range(len(judgements))])
    return read_table(folder / "scores" / "unit_tests.parquet")


def test_stamps_are_columns_of_text_and_missing_where_nothing_was_judged(tmp_path):
    judgements = [
        Scored({"passed": 1.0}, "ok", {"sandbox": "A", "judged": "split"}),
        Unscored("the tests do not split"),
        Scored({"passed": 0.0}, "no", {"sandbox": "B"}),
    ]
    frame = graded(tmp_path, judgements)
    assert list(frame.columns) == ["sample_id", "completion_index", "passed", "judged", "sandbox", "reason"]
    assert frame["sandbox"].where(frame["sandbox"].notna(), "missing").tolist() == ["A", "missing", "B"]
    assert frame["judged"].where(frame["judged"].notna(), "missing").tolist() == ["split", "missing", "missing"]
    assert frame["reason"].tolist() == ["ok", "the tests do not split", "no"]


def test_without_stamps_the_table_has_no_such_columns(tmp_path):
    frame = graded(tmp_path, [Unscored("lost"), Scored({"passed": 1.0})])
    assert list(frame.columns) == ["sample_id", "completion_index", "passed", "reason"]


@pytest.mark.parametrize("name", ["passed", "reason", "sample_id"])
def test_a_stamp_cannot_replace_a_column(tmp_path, name):
    with pytest.raises(InputError, match=f"grader 'unit_tests': expected stamps with names of their own, got {name}"):
        graded(tmp_path, [Scored({"passed": 1.0}, "", {name: "x"})])
    assert not (tmp_path / "scores").exists()


# The stamps in a comparison.

HAND = mean("hand", grader="hand", column="h", higher_is_better=True, unit="fraction", description="by hand")


def rows(*prompts, sandbox="A", judged="split"):
    """(passed of every completion) a prompt; the stamps are one text for all, or a list with one text a row."""
    flat = [(f"p{place}", passed) for place, prompt in enumerate(prompts) for passed in prompt]
    frame = pd.DataFrame(flat, columns=["sample_id", "passed"])
    return {"unit_tests": frame.assign(sandbox=sandbox, judged=judged), "hand": frame.rename(columns={"passed": "h"})}


def compared(tables, ks=(1, 2)):
    metrics = [*map(pass_at_k, ks), HAND]
    design = Design("t", "checkpoints", 0.95, 200, metrics, metrics[0].name, {}, {"unit_tests": {"lanes": 2}})
    return TaskComparison(design, tables, ["p0", "p1"])


FINE = [(1.0, 0.0), (0.0, 0.0, 1.0)]


def test_rows_without_a_sandbox_are_refused_by_name_and_number():
    tables = {
        "safe": {0: rows(*FINE)},
        "bare": {0: rows(*FINE, sandbox=["none", "A", "A", "A", "none"]), 1: rows(*FINE, sandbox="none")},
    }
    with pytest.raises(InputError) as caught:
        compared(tables)
    message = str(caught.value)
    assert "run without one (unsafe): bare: 7 of 10 by unit_tests;" in message
    assert "safe" not in message.replace("unsafe", "")
    assert message.endswith("judge them again in a sandbox")


def test_the_tiers_that_occur_are_in_the_signature_of_what_they_judged():
    tables = {
        "x": {0: rows(*FINE, sandbox=["B", None, "B", "B", "B"])},
        "y": {0: rows(*FINE)},
    }
    found = compared(tables)
    assert tiers(tables) == {"unit_tests": "A+B"}
    assert found.signature(pass_at_k(1)).endswith("|agg:mean-over-prompts|lanes:2|sandbox:A+B")
    assert "sandbox" not in found.signature(HAND)
    assert compared({"y": {0: rows(*FINE)}}).signature(pass_at_k(2)).endswith("|sandbox:A")


def test_weak_rows_are_counted_by_arm_and_seed():
    weak = ["weak", "split", "split", "split", "weak"]
    tables = {"x": {0: rows(*FINE), 3: rows(*FINE, judged=weak), 1: rows(*FINE, judged="weak")}, "y": {0: rows(*FINE)}}
    (found,) = compared(tables).weak
    assert (found.arm, found.grader, found.seeds, found.count, found.completions) == ("x", "unit_tests", [1, 3], 7, 15)


def test_counts_of_every_prompt_are_written_once_for_all_k():
    nan = math.nan
    tables = {"x": {4: rows((1.0, 1.0, nan), (nan,))}, "y": {4: rows(*FINE)}}
    x, y = compared(tables, (2, 1)).prompt_sums()
    assert x == {
        "task": "t",
        "arm": "x",
        "seed": 4,
        "metrics": ["pass@2", "pass@1"],
        "components": "passed/scored",
        "sums": "2/2 0/0",
    }
    assert (y["arm"], y["sums"]) == ("y", "1/2 1/3")


# On the command line, with somebody else's grader and family of metrics.


def scored(cli, tmp_path, folder, name, *prompts):
    file = completions(tmp_path / f"{name}.jsonl", *prompts)
    return cli("score", file, "--task", folder, "--out", tmp_path / name)


def test_from_completions_to_the_report(cli, tmp_path, task):
    folder = task(weak_from=46)
    first = scored(cli, tmp_path, folder, "first", ("1", "1", "2", "2"), ("lost", "lost"), ("1", "lost", "3"))
    assert first.code == 0, first.text
    # 4 completions of which 2 pass: 1/2 and 5/6; none that is scored; none of 2 passes; 21 with one of two: 1/2 and 1.
    lines = {line.split()[0]: line for line in first.out.splitlines()}
    assert f"{100 * (0.5 + 0 + 21 * 0.5) / 23:.2f} %" in lines["solved@1"]
    assert f"{100 * (5 / 6 + 0 + 21) / 23:.2f} %   48 completions, 3 unscored" in lines["solved@2"]
    assert scored(cli, tmp_path, folder, "second", ("2", "2")).code == 0
    result = cli("compare", tmp_path / "first", tmp_path / "second", "--out", tmp_path / "out")
    assert result.code == 0, result.text
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text())
    first_sums, second_sums = comparison["prompt_sums"]
    assert first_sums["sums"].startswith("2/4 0/0 0/2 1/2 1/2")
    assert second_sums["metrics"] == ["solved@1", "solved@2"]
    assert all("|sandbox:A|task:coded@" in metric["signature"] for metric in comparison["metrics"])
    weak = {row["arm"]: row for row in comparison["findings"] if row["name"] == "weakly_judged"}
    assert weak["first"]["text"].startswith("ruled: 5 of 51 completions were judged weakly")
    assert weak["second"]["text"].startswith("ruled: 2 of 48 completions")
    assert weak["first"]["severity"] == "warning"
    assert "judged weakly" in result.out
    page = (tmp_path / "out" / "index.html").read_text()
    assert "ruled: 5 of 51 completions were judged weakly" in page
    assert "solved@2, % ↑" in page
    assert "3 unscored" in page


def test_code_that_ran_bare_is_not_compared(cli, tmp_path, task):
    folder = task(sandbox="none")
    assert scored(cli, tmp_path, folder, "first").code == 0
    assert scored(cli, tmp_path, folder, "second").code == 0
    result = cli("compare", tmp_path / "first", tmp_path / "second", "--out", tmp_path / "out")
    assert result.code == 2
    assert result.out == ""
    assert "first: 48 of 48 by ruled; second: 48 of 48 by ruled" in result.err
    assert not (tmp_path / "out").exists()


def test_too_few_completions_are_told_before_anything_is_judged(cli, tmp_path, task):
    folder = task(metrics=("solved@1", "solved@3"))
    result = scored(cli, tmp_path, folder, "few", *[("1", "2", "3")] * 23)
    assert result.code == 2
    assert "few.jsonl: metric 'solved@3' needs at least 3 completions of every sample, got 2 for 'test-00023'" in (
        result.err
    )
    assert not (tmp_path / "few").exists()
    asked = cli("score", tmp_path / "few.jsonl", "--task", folder, "--metric", "solved@2", "--out", tmp_path / "few")
    assert asked.code == 0, asked.text


def test_too_few_scored_completions_seal_nothing(cli, tmp_path, task):
    result = scored(cli, tmp_path, task(), "lost", ("1", "lost"))
    assert result.code == 2
    assert "metric 'solved@2': expected at least 2 scored completions of every prompt, got 1 (of 2)" in result.err
    assert not (tmp_path / "lost").exists()


def test_a_family_without_its_number_is_told(cli, tmp_path, task):
    folder = task(metrics=("solved@1",))
    file = completions(tmp_path / "c.jsonl")
    result = cli("score", file, "--task", folder, "--metric", "solved@k", "--out", tmp_path / "out")
    assert result.code == 2
    assert "metric 'solved@k': expected a whole number" in result.err


def test_a_plan_with_too_few_samples_is_refused_with_its_line(cli, tmp_path, task, write_experiment):
    file = write_experiment(tmp_path, tasks=[str(task(metrics=("solved@1", "solved@3")))])
    result = cli("run", file, "--out", tmp_path / "run")
    (line,) = [n for n, text in enumerate(file.read_text().splitlines(), 1) if "samples_per_prompt" in text]
    assert result.code == 2
    assert (
        f"{file}:{line}: evaluation.samples_per_prompt is 2, but metric 'solved@3' of task 'coded' needs at least 3 "
        "completions of every prompt; set it to that or more, or choose other metrics"
    ) in result.err
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in result.text


@pytest.mark.slow
def test_an_experiment_reports_what_was_judged_in_a_sandbox_and_nothing_else(cli, tmp_path, task, write_experiment):
    small = {"algorithms": [{"name": "grpo", "learning_rate": 0.01}], "budget": {"completions": 32}}
    file = write_experiment(tmp_path / "weak", tasks=[str(task(weak_from=30))], **small)
    result = cli("run", file, "--out", tmp_path / "run")
    assert result.code == 0, result.text
    comparison = json.loads((tmp_path / "run" / "report" / "comparison.json").read_text())
    assert {(row["arm"], row["seed"]) for row in comparison["prompt_sums"]} == {
        (arm, seed) for arm in ("sft", "grpo") for seed in (0, 1)
    }
    values = {(row["arm"], row["metric"]): row for row in comparison["scores"]}
    for row in comparison["prompt_sums"]:
        counts = [tuple(map(int, pair.split("/"))) for pair in row["sums"].split()]
        assert len(counts) == 20
        for name, value in (("solved@1", lambda c, n: c / n), ("solved@2", lambda c, n: float(c > 0))):
            expected = sum(value(c, n) for c, n in counts) / 20
            assert values[row["arm"], name]["by_seed"][row["seed"]] == pytest.approx(expected)
    assert [(row["arm"], row["seeds"]) for row in comparison["findings"] if row["name"] == "weakly_judged"] == [
        ("sft", [0, 1]),
        ("grpo", [0, 1]),
    ]
    bare = write_experiment(tmp_path / "bare", tasks=[str(task("bare", sandbox="none"))], **small)
    refused = cli("run", bare, "--out", tmp_path / "bare-run")
    assert refused.code == 2
    assert "compare all could not be made" in refused.err
    assert "sft: 80 of 80 by ruled; grpo: 80 of 80 by ruled" in refused.err
    assert not (tmp_path / "bare-run" / "report").exists()
