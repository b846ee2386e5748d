"""Damaged results: `run` says so loudly, keeps them for inspection and makes them again; reading commands refuse."""

import shutil
import time

import pytest

pytestmark = pytest.mark.slow


def sealed(run, pattern):
    (folder,) = (path for path in run.glob(pattern) if not path.name.startswith("."))
    return folder


def test_reading_commands_refuse_a_damaged_run(copied, cli, flip, contents):
    _, run = copied
    weights = sealed(run, "train/digits.grpo.s1-*") / "model" / "model.safetensors"
    flip(weights, 5000)
    before = contents(run)
    for command in ("status", "verify"):
        result = cli(command, run)
        assert result.code == 2
        assert result.err.startswith("rlbench: ")
        assert result.err.count(f"{weights}: its bytes are not those that were sealed") == 1
        assert "Traceback" not in result.text
    assert "1 of 33 sealed folders are damaged" in result.err
    assert contents(run) == before, "they change nothing"


def test_verify_lists_all_damage(copied, cli, flip):
    _, run = copied
    flip(sealed(run, "sample/digits.ppo.s0-*") / "completions.parquet", 100)
    (sealed(run, "score/digits.ppo.s0-*") / "manifest.json").unlink()
    (sealed(run, "compare/all-*") / "extra").touch()
    result = cli("verify", run)
    assert result.code == 2
    assert "3 of 33 sealed folders are damaged" in result.err
    for word in ("sample/digits.ppo.s0", "score/digits.ppo.s0", "compare/all"):
        assert word in result.err


def test_run_makes_damaged_results_again(copied, finished, cli, flip, results):
    file, run = copied
    damaged = [
        sealed(run, "prepare/sft.digits-*") / "model" / "model.safetensors",
        sealed(run, "train/digits.grpo.s1-*") / "outcome.json",
        sealed(run, "sample/digits.dpo.s0-*") / "completions.jsonl",
        sealed(run, "score/digits.sft.s1-*") / "manifest.json",
        sealed(run, "compare/all-*") / "comparison.json",
        sealed(run, "report/all-*") / "manifest.sha256",
    ]
    for position, path in enumerate(damaged):
        flip(path, 7 * position)
    result = cli("run", file, "--out", run)
    assert result.code == 0, result.text
    assert result.err.count("DAMAGED RESULT") == len(damaged)
    assert result.err.count("it is made again") == len(damaged)
    assert results(run) == results(finished[1])
    kept = sorted(path.name for path in (run / "quarantine").iterdir())
    assert kept == sorted(f"{path.relative_to(run).parts[0]}-{path.relative_to(run).parts[1]}-1" for path in damaged)
    again = cli("run", file, "--out", run)
    assert again.code == 0
    assert "DAMAGED" not in again.err
    assert "Nothing to do" in again.err
    assert cli("verify", run).code == 0


def test_removed_and_truncated_results_are_made_again(copied, finished, cli, results):
    file, run = copied
    shutil.rmtree(sealed(run, "train/digits.ppo.s0-*"))
    weights = sealed(run, "prepare/base-*") / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (sealed(run, "sample/digits.ppo.s1-*") / "completions.parquet").unlink()
    result = cli("run", file, "--out", run)
    assert result.code == 0, result.text
    assert result.err.count("DAMAGED RESULT") == 2
    assert results(run) == results(finished[1])


def test_a_second_call_does_nothing_and_says_so(copied, cli, contents):
    file, run = copied
    before = contents(run)
    result = cli("run", file, "--out", run)
    assert result.code == 0
    assert "Nothing to do: every part of small is sealed in" in result.err
    assert "Report: " in result.out
    assert contents(run) == before, "no file is touched"


def test_the_published_report_is_repaired(copied, finished, cli):
    file, run = copied
    expected = (run / "report" / "index.html").read_bytes()
    (run / "report" / "index.html").write_bytes(b"\xff\xfe rubbish")
    (run / "report" / "comparison.json").unlink()
    (run / "experiment.yaml").write_bytes(b"\xff")
    result = cli("run", file, "--out", run)
    assert result.code == 0, result.text
    assert (run / "report" / "index.html").read_bytes() == expected
    assert (run / "report" / "comparison.json").exists()
    assert (run / "experiment.yaml").read_bytes() == (finished[1] / "experiment.yaml").read_bytes()


def test_a_folder_at_work_can_be_looked_at_but_not_run_again(short, start, cli, wait_for, results, tmp_path):
    file, reference = short
    run = tmp_path / "run"
    process = start("run", file, "--out", run)
    assert wait_for(process, run, "prepare")
    result = cli("run", file, "--out", run)
    assert result.code == 2
    assert result.err.startswith(f"rlbench: {run}: another rlbench process is working on this folder; wait for it")
    assert "Traceback" not in result.text
    assert result.out == ""
    seen = set()
    while process.poll() is None:  # looking does not disturb it, however often
        status = cli("status", run)
        assert status.code == 0, status.text
        seen |= {line.split()[0] for line in status.out.splitlines() if line and not line[0].isdigit()}
        time.sleep(0.05)
    assert {"done", "running", "missing", "A"} <= seen, "the last is the sentence that a run is working"
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert results(run) == results(reference)
    assert "A run is working" not in cli("status", run).out
