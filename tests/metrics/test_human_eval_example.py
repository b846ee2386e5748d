"""The example that human-eval publishes with its judge: six completions of one problem, pass@1 of 0.4999 there."""

import json

import pandas as pd
import pytest

TASK = """\
name: example
description: the example problem of human-eval
licence: MIT
source: {kind: file, splits: {test: problem.jsonl}}
prompt: "{prompt}"
references: ["{canonical_solution}"]
tests:
  code: "{test}\\ncheck({entry_point})"
  entry_point: "{entry_point}"
  starter: "{prompt}"
max_new_tokens: 64
reward: unit_tests.passed
metrics: [pass@1, pass@4, pass@6, unit_tests_fraction, loads]
primary: pass@1
"""


@pytest.fixture(scope="module")
def example(data_dir, tmp_path_factory):
    """The folder of a task with the problem, and the file of its completions."""
    source = data_dir / "humaneval"
    if not (source / "example_samples.jsonl").is_file():
        pytest.skip(f"{source}/example_samples.jsonl is not there")
    folder = tmp_path_factory.mktemp("example")
    (folder / "task.yaml").write_text(TASK)
    (folder / "problem.jsonl").write_text((source / "example_problem.jsonl").read_text())
    samples = [json.loads(line) for line in (source / "example_samples.jsonl").read_text().splitlines()]
    rows = [{"sample_id": "test-00000", "completion": sample["completion"]} for sample in samples]
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.slow
def test_the_published_pass_at_1(example, cli):
    result = cli("score", example / "samples.jsonl", "--task", example, "--out", example / "scores")
    assert result.code == 0, result.text
    shown = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in result.out.splitlines()}
    # 0.4999… there, because of the rounding of its product; all four of four fail in C(3, 4) = 0 of C(6, 4) ways.
    assert shown["pass@1"] == "50.00 %   3/6"
    assert shown["pass@4"] == "100.00 %   6 completions"
    assert shown["pass@6"] == "100.00 %   6 completions"
    assert shown["unit_tests_fraction"] == "50.00 %   3/6"
    assert shown["loads"] == "100.00 %   6/6"
    frame = pd.read_parquet(example / "scores" / "scores" / "unit_tests.parquet")
    assert frame["passed"].tolist() == [0, 0, 0, 1, 1, 1]
    assert set(frame["sandbox"]) <= {"A", "B", "C"}
    assert set(frame["judged"]) == {"split"}
