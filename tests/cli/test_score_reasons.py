"""What could not be scored is told with its reasons."""

import json


def test_unscored_completions_are_told_with_the_most_frequent_reasons_first(new_task, tmp_path, cli):
    task = new_task(tmp_path / "odd")
    rows = [json.loads(line) for line in (task / "test.jsonl").read_text().splitlines()]
    for place, word in enumerate(["many", "many", "many", "few", "few", "none", "some"]):
        rows[place]["sum"] = word
    (task / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = tmp_path / "mine.jsonl"
    file.write_text('{"completion": "A: 3"}\n' * len(rows))
    result = cli("score", file, "--task", task, "--out", tmp_path / "scores", "--metric", "correctness")
    assert result.code == 0, result.text
    assert "7 unscored" in result.out
    told = [line for line in result.out.splitlines() if line.startswith("correctness left")]
    assert told[0].startswith("correctness left 3 unscored: the gold answer is not a number")
    assert told[1].startswith("correctness left 2 unscored")
    assert told[3] == "correctness left others unscored for 1 more reasons; see its table"


def test_the_gold_reward_of_a_task_can_be_scored(digits, tmp_path, cli):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"completion": "2"}\n' * 12 + '{"completion": "1"}\n' * 12)
    result = cli("score", file, "--task", digits, "--out", tmp_path / "scores", "--metric", "gold_reward")
    assert result.code == 0, result.text
    assert "0.5 points" in result.out
