"""`rlbench judge` on a small task of one's own."""

import json

import pytest

TASK = """
name: doubling
description: Double a number
licence: Apache-2.0
source: {kind: file, splits: {test: test.jsonl}}
prompt: "{spec}"
references: ["{program}"]
tests: {code: "{tests}", entry_point: solve}
max_new_tokens: 20
reward: unit_tests.passed
metrics: [pass@1]
primary: pass@1
"""
ROWS = [
    {"spec": f"# add {n}", "tests": [f"assert solve(1) == {n + 1}", f"assert solve(0) == {n}"],
     "program": f"def solve(x):\n    return x+{n}"}
    for n in (1, 2)
]  # fmt: skip


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "doubling"
    folder.mkdir()
    (folder / "task.yaml").write_text(TASK)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def completions(tmp_path, *rows):
    file = tmp_path / "completions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_verdicts_reasons_and_what_was_printed(cli, task, tmp_path):
    file = completions(
        tmp_path,
        {"sample_id": "test-00000", "completion": "def solve(x):\n    print('seen', x)\n    return x+1"},
        {"sample_id": "test-00000", "completion": "def solve(x):\n    return 1"},
        {"sample_id": "test-00001", "completion": "def solve(x):\n    print('\\x1b[31m')\n    raise KeyError(x)"},
    )
    shown = cli("judge", file, "--task", task)
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert [line.split()[:4] for line in lines[1:4]] == [
        ["test-00000", "0", "passed", "2/2"],
        ["test-00000", "1", "failed", "1/2"],
        ["test-00001", "0", "error", "0/2"],
    ]
    assert "KeyError" in lines[3]
    assert "  seen 1" in lines
    assert "\x1b" not in shown.out
    assert "1/3 programs: 33.33 % passed (1 passed, 1 failed, 1 error; tier " in shown.out


def test_a_python_file_answers_one_sample(cli, task, tmp_path):
    (tmp_path / "mine.py").write_text("def solve(x):\n    return x+2\n")
    assert "1/1 programs" in cli("judge", tmp_path / "mine.py", "--task", task, "--sample", "test-00001").out
    refused = cli("judge", tmp_path / "mine.py", "--task", task)
    assert refused.code == 2
    assert "--sample" in refused.err


def test_tests_that_tell_nothing_are_named(cli, task, tmp_path):
    (task / "test.jsonl").write_text(json.dumps(ROWS[0] | {"tests": ["solve(1)"]}) + "\n")
    file = completions(tmp_path, {"completion": "def solve(x):\n    return 7"})
    shown = cli("judge", file, "--task", task)
    assert "test-00000: its tests are not admitted" in shown.out
    assert "a program that returns None passes" in shown.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--sample", "test-00009"], "does not exist in this split"),
        (["--split", "train"], "split 'train' not found"),
    ],
)
def test_wrong_usage_exits_2(cli, task, tmp_path, arguments, expected):
    file = completions(tmp_path, {"completion": "def solve(x):\n    return 7"}, {"completion": "x"})
    shown = cli("judge", file, "--task", task, *arguments)
    assert shown.code == 2
    assert expected in shown.err


def test_the_task_says_what_a_program_may_compute(cli, task, tmp_path):
    slow = "import time\ndef solve(x):\n    while time.process_time() < 0.6: pass\n    return x+1"
    file = completions(tmp_path, {"sample_id": "test-00000", "completion": slow})
    assert "1/1 programs" in cli("judge", file, "--task", task).out
    with (task / "task.yaml").open("a") as definition:
        definition.write("graders: {unit_tests: {cpu_seconds: 0.3}}\n")
    assert "1 cpu_limit" in cli("judge", file, "--task", task).out


def test_a_sample_without_a_completion_is_an_error(cli, task, tmp_path):
    file = completions(tmp_path, {"sample_id": "test-00000", "completion": "x = 1"})
    shown = cli("judge", file, "--task", task, "--sample", "test-00001")
    assert shown.code == 2
    assert "no completion of sample 'test-00001'" in shown.err


def test_a_completion_without_a_program_is_a_load_error(cli, task, tmp_path):
    file = completions(tmp_path, {"sample_id": "test-00000", "completion": ""})
    assert "load_error" in cli("judge", file, "--task", task).out


def test_a_task_without_unit_tests_is_refused(cli, tmp_path):
    file = completions(tmp_path, {"sample_id": "test-00000", "completion": "A: 3"})
    shown = cli("judge", file, "--task", "arithmetic")
    assert shown.code == 2
    assert "has no unit tests" in shown.err


def test_without_a_sandbox_it_says_so(cli, task, tmp_path):
    file = completions(tmp_path, *({"completion": row["program"]} for row in ROWS))
    shown = cli("judge", file, "--task", task, "--unsafe-no-sandbox")
    assert "2/2 programs: 100.00 % passed (2 passed; WITHOUT A SANDBOX)" in shown.out
