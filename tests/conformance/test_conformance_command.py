"""The command: exit codes, the JSON file, and mistakes."""

import importlib.util
import json

import pytest

from rlbench.cli import main as command
from rlbench.conformance.axis import from_json
from rlbench.conformance.trainers import conform
from rlbench.errors import InputError

LIKE_OURS = ["--set", "loss_type=grpo", "--set", "beta=4e-2", "--set", "use_bias_correction_kl=false"]


@pytest.fixture
def rlbench(monkeypatch, capsys):
    """Run the command and return its exit code, output and errors."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["rlbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            command.main()
        return stopped.value.code, *capsys.readouterr()

    return run


def test_without_the_extra_it_says_what_to_install(monkeypatch, rlbench):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "trl" else find(name, *more))
    code, _, errors = rlbench("conform", "trl")
    assert code == 2
    assert "pip install 'rlbench[trl]'" in errors


def test_exit_code_and_json_tell_the_verdict(rlbench, tmp_path):
    pytest.importorskip("trl", reason="needs the extra trl")
    file = tmp_path / "found.json"
    code, text, _ = rlbench("conform", "trl", "--algorithm", "grpo", "--json", file)
    data = json.loads(file.read_text())
    assert code == 1
    assert data["verdict"] == "differs"
    [check] = from_json(data)
    assert check == conform("trl", "grpo")[1][0]
    assert f"trl {data['trainer_version']} differs" in text
    for axis in check.axes:
        assert axis.name in text


def test_exit_code_of_a_setting_that_conforms(rlbench):
    pytest.importorskip("trl", reason="needs the extra trl")
    more = ["--set", "disable_dropout=true", "--ours", "advantage_epsilon=1e-4"]
    code, text, errors = rlbench("conform", "trl", "--algorithm", "grpo", *LIKE_OURS, *more)
    assert (code, errors) == (0, "")
    assert "conforms" in text


def test_exit_code_where_the_loss_cannot_be_run(rlbench):
    pytest.importorskip("trl", reason="needs the extra trl")
    code, text, _ = rlbench("conform", "trl", "--algorithm", "grpo", "--set", "loss_type=none")
    assert code == 3
    assert "Unknown loss type" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algorithm", "grpo", "--set", "bta=1"], "nearest: 'beta'"),
        (["--algorithm", "grpo", "--set", "num_generations=4"], "set by the check itself"),
        (["--algorithm", "grpo", "--set", "beta"], "expected KEY=VALUE"),
        (["--algorithm", "grpo", "--ours", "bta=1"], "unknown option 'bta'"),
        (["--algorithm", "dpo", "--ours", "bta=1"], "unknown option 'bta'"),
        (["--algorithm", "sft", "--ours", "beta=1"], "sft option 'beta' does not exist"),
        (["--algorithm", "reward_model", "--ours", "beta=1"], "reward_model option 'beta' does not exist"),
        (["--algorithm", "dpo", "--set", "loss_weights=[1,2]"], "DPOConfig refuses"),
    ],
)
def test_mistakes_are_one_message(rlbench, arguments, message):
    pytest.importorskip("trl", reason="needs the extra trl")
    code, _, errors = rlbench("conform", "trl", *arguments)
    assert code == 2
    assert message in errors
    assert "Traceback" not in errors


def test_a_json_file_that_cannot_be_written_is_an_input_error(rlbench, tmp_path):
    pytest.importorskip("trl", reason="needs the extra trl")
    code, _, errors = rlbench("conform", "trl", "--algorithm", "sft", "--json", tmp_path / "missing" / "found.json")
    assert code == 2
    assert "cannot be written" in errors


def test_options_without_an_algorithm_are_refused():
    with pytest.raises(InputError, match="name it with --algorithm"):
        conform("trl", options={"beta": 1})
