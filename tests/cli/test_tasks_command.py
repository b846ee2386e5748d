"""`rlbench tasks`: what is printed, and exit codes."""

import json
import shutil
from pathlib import Path

import pytest

from rlbench.tasks.task import load_task


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.delenv("RLBENCH_DATA_DIR", raising=False)


@pytest.fixture
def arithmetic(tmp_path, plain):
    folder = Path(shutil.copytree(load_task("arithmetic").folder, tmp_path / "sums"))
    (folder / "generate.py").unlink()
    for path in folder.glob("*.jsonl"):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    return folder


def test_show(cli, arithmetic):
    result = cli("tasks", "show", arithmetic)
    assert result.code == 0, result.text
    assert "reward         correctness.correct" in result.out
    assert "splits         train 20, dev 20, test 20, demonstrations 20" in result.out
    assert "lengths are in characters and words" in result.out
    assert f"test-00000 ({arithmetic}/test.jsonl:1)\n  prompt, 6 characters, 1 words:\n    29+72=\n" in result.out
    assert "  reference, 6 characters, 2 words:\n    A: 101\n  answer, 6 characters, 2 words:\n    A: 101" in result.out
    assert result.out.count("\n  prompt, ") == 3
    dev = cli("tasks", "show", arithmetic, "--split", "dev").out
    assert "dev-00000" in dev
    assert "test-00000" not in dev


def test_show_counts_tokens_of_a_chat_by_its_template(cli, arithmetic, tmp_path):
    from rlbench.policies.tiny import character_tokenizer

    tokenizer = character_tokenizer(["0123456789+=A: "])
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}=="
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    text = (arithmetic / "task.yaml").read_text()
    (arithmetic / "task.yaml").write_text(
        text.replace('prompt: "{a}+{b}="', 'prompt: [{role: user, content: "{a}+{b}="}]')
    )
    result = cli("tasks", "show", arithmetic, "--tokenizer", tmp_path / "tokenizer")
    assert result.code == 0, result.text
    assert "  prompt, 8 tokens:\n    user: 29+72=" in result.out
    assert "  answer, 6 tokens:" in result.out
    assert cli("tasks", "check", arithmetic, "--tokenizer", tmp_path / "tokenizer").code == 0
    wrong = cli("tasks", "show", arithmetic, "--tokenizer", tmp_path / "nothing")
    assert wrong.code == 2
    assert "is not a folder; expected one with a tokenizer" in wrong.err


def test_check(cli, arithmetic):
    sound = cli("tasks", "check", arithmetic)
    assert sound.code == 0, sound.text
    assert "ok           references, reward and gold correctness.correct: all 60 are right" in sound.out
    assert sound.out.endswith("1 task: 18 ok\n")
    rows = (arithmetic / "test.jsonl").read_text().splitlines()
    rows[4] = json.dumps(json.loads(rows[4]) | {"reference": "A: 1"})
    (arithmetic / "test.jsonl").write_text("\n".join(rows))
    wrong = cli("tasks", "check", arithmetic)
    assert wrong.code == 1
    assert (
        f"failed       references, reward and gold correctness.correct: 1 of 60: {arithmetic}/test.jsonl:5" in wrong.out
    )


def test_files_that_are_wrong(cli, arithmetic, tmp_path):
    (arithmetic / "dev.jsonl").write_text('{"a": 1}\n')
    result = cli("tasks", "check", arithmetic)
    assert result.code == 2
    assert f"{arithmetic}/dev.jsonl:1: field 'b' is missing (has: a)" in result.err
    assert "Traceback" not in result.text
    for arguments in ([], ["arithmetic", "--all"], ["arithmetics"], [tmp_path / "nothing"]):
        assert cli("tasks", "check", *arguments).code == 2
    assert cli("tasks", "show", "gsm8k", "--data-dir", tmp_path).code == 2


def test_all_skips_public_data_that_is_not_here(cli, plain, monkeypatch):
    monkeypatch.setattr("rlbench.cli.tasks.task_names", lambda: ["gsm8k", "stories"])
    result = cli("tasks", "check", "--all")
    assert result.code == 0, result.text
    assert "gsm8k: skipped: public data; give the folder" in result.out
    assert result.out.endswith("2 tasks: 13 ok, 3 not checked; 1 skipped\n")
