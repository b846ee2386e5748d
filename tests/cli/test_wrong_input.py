"""Whatever a user gets wrong: exit code 2, one clear message with file and line, never a traceback."""

import json
import re
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def no_data_dir_from_outside(monkeypatch):
    monkeypatch.delenv("RLBENCH_DATA_DIR", raising=False)


def refused(result, *words):
    """Exit code 2, nothing on standard output, and one message that starts with `rlbench:` and has the words."""
    assert result.code == 2, result.text
    assert "Traceback" not in result.text
    assert result.out == ""
    assert result.err.startswith("rlbench: ")
    assert result.err.count("rlbench: ") == 1
    for word in words:
        assert word in result.err
    return result.err.removeprefix("rlbench: ").strip()


# rlbench run


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("nmae: x", 1, "unknown key 'nmae'"),
        ("name: x\nname: y", 2, "key 'name' is given twice"),
        ("name: x\n  seeds: [0", 2, "not valid YAML"),
        ("name: x\nseeds: all", 2, "seeds: Input should be a valid"),
        ("name: x\nbudget: {completions: 12.5}", 2, "budget.completions"),
        ("name: x\nbase_policy: !!python/name:os.system ''", 2, "could not determine a constructor for the tag"),
    ],
)
def test_an_experiment_file_that_is_wrong(cli, tmp_path, text, line, message):
    file = tmp_path / "e.yaml"
    file.write_text(text)
    found = refused(cli("run", file, "--out", tmp_path / "run"), message)
    assert f"{file}:{line}: " in found
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tasks": ["arithmetics"]}, "task 'arithmetics' does not exist"),
        ({"evaluation": {"metrics": ["matched", "matched"]}}, "given twice: matched"),
        ({"evaluation": {"metrics": []}}, "evaluation.metrics"),
        ({"evaluation": {"split": "train"}}, "expected a split that training does not see"),
        ({"comparison": {"margin": {"matched": -0.1}}}, "comparison.margin.matched"),
        ({"seeds": [True]}, "seeds"),
        ({"algorithms": [{"name": "grpo", "minibatches": 17}]}, "more than the 16 completions of a rollout batch"),
        ({"algorithms": [{"name": "ppo", "learning_rate": 1e400}]}, "finite"),
        ({"algorithms": ["reinforce"]}, "algorithm 'reinforce' does not exist (known: dapo, dpo, dr_grpo"),
        ({"algorithms": [{"name": "ppo", "clip": 1}]}, "algorithm 'ppo': unknown option 'clip'"),
        ({"evaluation": {"metrics": ["exactness"]}}, "metric 'exactness' does not exist"),
        ({"evaluation": {"split": "valid"}}, "split 'valid' not found (has: dev, test, train)"),
        ({"evaluation": {"prompts": 1000}}, "has only 24"),
        ({"reward": {"grader": "judge", "column": "x"}}, "grader 'judge' does not exist"),
        ({"base_policy": {"builder": None, "path": "/nowhere"}}, "folder /nowhere does not exist"),
        ({"base_policy": {"builder": None, "data": "model"}}, "--data-dir"),
        ({"tasks": ["gsm8k"], "base_policy": {"builder": None, "data": "model"}}, "--data-dir"),
    ],
)
def test_a_name_that_does_not_exist(cli, write_experiment, tmp_path, keys, message):
    file = write_experiment(tmp_path, **keys)
    found = refused(cli("run", file, "--out", tmp_path / "run"), message)
    assert re.match(rf"{re.escape(str(file))}:\d+: ", found)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "where", "message"),
    [
        ("train.jsonl", '{"a": 1, "b": 2, "sum": 3}\n{"a": 1\n', "train.jsonl:2", "not valid JSON"),
        ("train.jsonl", "[1, 2]\n", "train.jsonl:1", "expected a JSON object, got list"),
        ("train.jsonl", "", "train.jsonl", "the file is empty"),
        ("test.jsonl", '{"a": 1}\n', "test.jsonl:1", "field 'b' is missing (has: a)"),
        ("test.jsonl", '\n{"a": 1, "b": [2], "sum": 3}\n', "test.jsonl:2", "field 'b' is list"),
        ("demonstrations.jsonl", '{"a": 1, "b": 2}\n', "demonstrations.jsonl:1", "field 'sum' is missing"),
        ("dev.jsonl", None, "dev.jsonl", "cannot be read: No such file"),
        ("task.yaml", "name: digits\nprmpt: x\n", "task.yaml:2", "unknown key 'prmpt'"),
        ("task.yaml", None, "task.yaml", "cannot be read: No such file"),
    ],
)
def test_a_task_folder_that_is_wrong(cli, write_experiment, new_task, tmp_path, name, content, where, message):
    task = new_task(tmp_path / "task")
    if content is None:
        (task / name).unlink()
    else:
        (task / name).write_text(content)
    file = write_experiment(tmp_path, tasks=[str(task)])
    refused(cli("run", file, "--out", tmp_path / "run"), f"{task}/{where}", message)


def test_paths_that_are_wrong(cli, write_experiment, tmp_path):
    refused(cli("run", tmp_path / "no.yaml"), f"{tmp_path / 'no.yaml'}: cannot be read", "check the path")
    refused(cli("run", tmp_path), "Is a directory")
    file = write_experiment(tmp_path)
    refused(cli("run", file, "--out", file), "is not a folder", "choose another folder with --out")
    refused(cli("run", file, "--out", file / "below"), "is not a folder")
    refused(cli("run", file, "--out", tmp_path / "run", "--data-dir", tmp_path / "no"), "is not a folder", "--data-dir")


def test_usage_errors_have_the_same_exit_code(cli, tmp_path):
    for arguments in (
        ["run"],
        ["fly"],
        ["list", "planets"],
        ["run", "x", "--workers", "0"],
        ["run", "x", "--sett", "a"],
    ):
        result = cli(*arguments)
        assert result.code == 2
        assert "Traceback" not in result.text


# rlbench score


@pytest.fixture
def score(cli, digits, tmp_path):
    def run(rows, *arguments, out="scores"):
        file = tmp_path / "completions.jsonl"
        if isinstance(rows, bytes):
            file.write_bytes(rows)
        else:
            file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return cli("score", file, "--task", digits, "--out", tmp_path / out, *arguments), file

    return run


FULL = [{"completion": f"A: {n}"} for n in range(24)]
NAMED = [{"sample_id": f"test-{n:05d}", "completion": f"A: {n}"} for n in range(24)]


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([*FULL[:3], '{"completion": "x"', *FULL[4:]], 4, "not valid JSON"),
        ([*FULL[:3], "[]", *FULL[4:]], 4, "expected a JSON object with a text under 'completion', got '[]'"),
        ([*FULL[:3], {"text": "x"}, *FULL[4:]], 4, "expected a JSON object with a text under 'completion'"),
        ([*FULL[:3], {"completion": 7}, *FULL[4:]], 4, "expected a JSON object with a text under 'completion'"),
        ([*FULL[:3], {"completion": None}, *FULL[4:]], 4, "expected a JSON object with a text under 'completion'"),
        (FULL[:20], 20, "expected 24 rows, one per sample in order, got 20"),
        ([*FULL, *FULL], 25, "expected 24 rows, one per sample in order, got 48"),
        ([], None, "expected 24 rows, one per sample in order, got 0"),
        ([*NAMED[:5], FULL[5], *NAMED[6:]], 6, "expected sample_id, as in other rows"),
        ([*NAMED, {"sample_id": "test-99999", "completion": "x"}], 25, "sample 'test-99999' does not exist"),
        ([*NAMED, {"sample_id": "dev-00001", "completion": "x"}], 25, "sample 'dev-00001' does not exist"),
        ([*NAMED, {**NAMED[3], "completion_index": 0}], 25, "completion 0 of sample 'test-00003' is given twice"),
        ([{**NAMED[0], "sample_id": 7}, *NAMED[1:]], 1, "sample_id: expected a text, got 7"),
        ([{**NAMED[0], "completion_index": -1}, *NAMED[1:]], 1, "completion_index: expected a number from 0, got -1"),
        ([{**NAMED[0], "completion_index": True}, *NAMED[1:]], 1, "completion_index: expected a number from 0"),
        (NAMED[:-2], None, "got none for 2 (first: 'test-00022')"),
        (b'{"completion": "caf\xe9"}\n', None, "cannot be read as UTF-8 text"),
    ],
)
def test_a_completion_file_that_is_wrong(score, tmp_path, rows, line, message):
    result, file = score(rows)
    found = refused(result, message)
    assert found.startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert not (tmp_path / "scores").exists()


def test_names_that_do_not_exist(score, cli, digits, tmp_path):
    refused(score(FULL, "--metric", "exactness")[0], "metric 'exactness' does not exist")
    refused(score(FULL, "--split", "valid")[0], "split 'valid' not found (has: dev, test, train)", "--split")
    refused(score(FULL, "--split", "dev")[0], "completions.jsonl:9: expected 8 rows")
    file = tmp_path / "completions.jsonl"
    refused(cli("score", file, "--task", "digit", "--out", tmp_path / "x"), "task 'digit' does not exist")
    refused(cli("score", tmp_path / "no", "--task", digits, "--out", tmp_path / "x"), "cannot be read")
    refused(cli("score", file, "--task", digits, "--out", file / "below"), "is not a folder")
    refused(
        cli("score", file, "--task", "gsm8k", "--data-dir", tmp_path, "--out", tmp_path / "x"),
        f"task 'gsm8k': {tmp_path}/gsm8k is not a folder; expected a copy of",
    )


def test_scores_are_never_overwritten(score, contents, tmp_path):
    assert score(FULL)[0].code == 0
    before = contents(tmp_path / "scores")
    again, _ = score(FULL)
    assert again.code == 0
    assert "Nothing to do, the scores are there already" in again.out
    refused(score(FULL[::-1])[0], "holds the scores of something else and is never overwritten", "--out")
    assert contents(tmp_path / "scores") == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    refused(score(FULL, out="notes")[0], "is not a sealed folder", "choose another --out")
    refused(score(FULL, out="completions.jsonl")[0], "is not a sealed folder", "choose another --out")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_damaged_scores_are_refused(score, cli, tmp_path):
    score(FULL, out="a")
    score(FULL[::-1], out="b")
    table = tmp_path / "a" / "scores" / "pattern.parquet"
    content = bytearray(table.read_bytes())
    content[40] ^= 4
    table.write_bytes(content)
    for result in (
        score(FULL, out="a")[0],
        cli("compare", tmp_path / "a", tmp_path / "b"),
        cli("verify", tmp_path / "a"),
    ):
        refused(result, "pattern.parquet: its bytes are not those that were sealed")


def test_text_that_is_no_text_is_judged_or_refused_but_never_a_traceback(score):
    """Half a surrogate pair is legal JSON."""
    odd = [{"completion": "A: \ud800"}, {"completion": "\x00\x1b[31m\u202e"}, {"completion": ""}, *FULL[3:]]
    result, _ = score(odd, "--metric", "correctness", "--metric", "rougeL", "--metric", "bleu", "--metric", "matched")
    assert result.code in (0, 2)
    assert "Traceback" not in result.text


# rlbench compare, status, verify, doctor


def test_folders_that_cannot_be_compared(score, cli, new_task, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    score(FULL, out="a")
    score(FULL[:8], "--split", "dev", out="b")
    refused(cli("compare", a), "expected at least two arms, the baseline first, got only a")
    refused(cli("compare", a, b), "a and b cannot be compared on", "they were scored on different splits")
    refused(cli("compare", a, a), "the same folder is given twice")
    refused(cli("compare", a, tmp_path / "no"), "expected the folder of a finished run")
    refused(cli("compare", a, tmp_path), "expected the folder of a finished run")
    other = new_task(tmp_path / "other", "other")
    file = tmp_path / "completions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in FULL))
    assert cli("score", file, "--task", other, "--out", tmp_path / "c").code == 0
    refused(cli("compare", a, tmp_path / "c"), "expected arms that answered the same task")
    assert score(FULL, "--metric", "mean_length", out="d")[0].code == 0
    refused(cli("compare", a, tmp_path / "d"), "the arms have different primary metrics", "choose one with --primary")
    refused(cli("compare", a, b, "--margin", "matched"), "--margin matched: expected METRIC=NUMBER")
    refused(cli("compare", a, b, "--margin", "matched=-1"), "--margin matched=-1: expected METRIC=NUMBER")


def test_a_comparison_is_never_overwritten(score, cli, contents, tmp_path):
    score(FULL, out="a")
    score(FULL[::-1], out="b")
    assert cli("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "report").code == 0
    assert cli("verify", tmp_path / "report").code == 0
    before = contents(tmp_path / "report")
    result = cli("compare", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "report")
    assert result.code == 2
    assert "exists already and is never overwritten; choose another --out" in result.err
    assert contents(tmp_path / "report") == before


@pytest.mark.parametrize("command", ["status", "verify"])
def test_what_is_no_run(cli, tmp_path, command):
    for path in (tmp_path, tmp_path / "nothing"):
        refused(cli(command, path), "expected the folder of a run")
    (tmp_path / "file").touch()
    refused(cli(command, tmp_path / "file"), "expected the folder of a run")


def test_a_data_folder_that_is_not_there(cli, tmp_path):
    result = cli("doctor", "--data-dir", tmp_path / "no")
    assert result.code == 2
    assert "does not exist; check --data-dir and RLBENCH_DATA_DIR" in result.err


def test_the_installed_command_behaves_the_same(tmp_path):
    from pathlib import Path

    (tmp_path / "e.yaml").write_text("nmae: x\n")
    program = Path(sys.executable).with_name("rlbench")
    done = subprocess.run([program, "run", tmp_path / "e.yaml"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"rlbench: {tmp_path / 'e.yaml'}:1: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
