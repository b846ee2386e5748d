"""Fixtures for whole runs: a task and an experiment so small that a shoot-out takes seconds."""

import contextlib
import copy
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from forked_command import ForkedCommand

from rlbench.artifacts.locking import lock

CHECKOUT = Path(__file__).resolve().parents[1]
RUN_SECONDS = 240
TASK = """\
name: digits
description: Sums of one-digit numbers; the reward is an even digit
licence: Apache-2.0
source:
  kind: file
  splits: {train: train.jsonl, dev: dev.jsonl, test: test.jsonl}
prompt: "{a}+{b}="
references: ["A: {sum}"]
answer: "A: {sum}"
demonstrations: {file: demonstrations.jsonl, completion: "A: {sum}"}
max_new_tokens: 4
reward: pattern.matched
graders: {pattern: {pattern: "[02468]"}}
metrics: [matched, correctness, distinct1, mean_length, perplexity, kl_to_sft]
primary: matched
"""
EXPERIMENT = {
    "name": "small",
    "base_policy": {"builder": "tiny", "hidden_size": 16, "layers": 1, "heads": 2},
    "sft": {"epochs": 2, "batch_size": 16},
    "tasks": ["SET BY THE FIXTURE"],
    "algorithms": [  # bold enough to change what such a small policy writes
        {"name": "ppo", "learning_rate": 0.01},
        {"name": "grpo", "learning_rate": 0.01},
        {"name": "gspo", "learning_rate": 0.01},
        {"name": "dpo", "learning_rate": 0.01, "batch_size": 8},
    ],
    "seeds": [0, 1],
    "budget": {"completions": 64},
    "rollout": {"prompts_per_batch": 4, "completions_per_prompt": 4},
    "evaluation": {"prompts": 20, "samples_per_prompt": 2},
    "training": {"checkpoint_every": 1, "dev_every": 2, "dev_prompts": 8},
    "comparison": {"replicates": 200},
    "device": "cpu",
}


def pytest_collection_modifyitems(items):
    """Longest first, so that at the end no worker is left alone with a long test. Shoot-outs are longest."""
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("shootout", "slow")])


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def text(self):
        return self.out + self.err


@pytest.fixture(scope="session")
def data_dir():
    """Local copies of public data sets; tests that need them are skipped where they are not."""
    folder = Path(os.environ.get("RLBENCH_DATA_DIR") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no public data in {folder}; set RLBENCH_DATA_DIR")
    return folder


@pytest.fixture(scope="session", autouse=True)
def records_of_shared_fixtures(tmp_path_factory):
    """What fixtures of more than one test record of public data stays out of the home folder, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "records" / "shared"))
        yield


@pytest.fixture(autouse=True)
def records(monkeypatch, tmp_path_factory):
    """The folder in which a test records what it loads of public data: its own, and made only if it does."""
    folder = tmp_path_factory.getbasetemp() / "records" / uuid.uuid4().hex
    monkeypatch.setenv("RLBENCH_CACHE", str(folder))
    return folder


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_task(folder, name="digits"):
    """Write a task folder with 16 training, 8 dev and 24 test prompts and 48 demonstrations."""
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(TASK.replace("name: digits", f"name: {name}"))
    sums = [{"a": a, "b": b, "sum": a + b} for a in range(1, 10) for b in range(10)]
    sums.sort(key=lambda row: hashlib.sha256(f"{name}{row}".encode()).digest())
    for split, rows in {"test": sums[:24], "dev": sums[24:32], "train": sums[32:48]}.items():
        write_rows(folder / f"{split}.jsonl", rows)
    write_rows(folder / "demonstrations.jsonl", sums[32:80])
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The folder of the task `digits`. It is not changed by tests."""
    return make_task(tmp_path_factory.mktemp("tasks") / "digits")


@pytest.fixture(scope="session")
def new_task():
    """Factory of task folders: `new_task(folder, name)`."""
    return make_task


@pytest.fixture(scope="session")
def write_experiment(digits):
    """Factory of experiment files: `write_experiment(folder, key=value, ...)` changes top-level keys; None drops one.

    A mapping is merged into the mapping that is there.
    """

    def write(folder, **changes):
        content = copy.deepcopy(EXPERIMENT) | {"tasks": [str(digits)]}
        for key, value in changes.items():
            if isinstance(value, dict) and isinstance(content.get(key), dict):
                content[key] |= value
            else:
                content[key] = value
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "experiment.yaml"
        kept = {key: value for key, value in content.items() if value is not None}
        path.write_text(yaml.safe_dump(kept, sort_keys=False))
        return path

    return write


def _run_here(*arguments):
    """Call the command line in this process. Whatever is no exit is a traceback for the user, and fails the test."""
    from rlbench.cli.main import main

    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["rlbench", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        sys.argv = before
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def cli():
    """`cli("run", file, ...)`: the command line, in this process."""
    return _run_here


@pytest.fixture
def fork_cli(tmp_path_factory):
    """`fork_cli("run", file, ...)`: as `start_cli`, but forked from a process that has everything imported."""

    def start(*arguments, **environment):
        return ForkedCommand(arguments, tmp_path_factory.mktemp("forked"), environment)

    return start


@pytest.fixture(scope="session")
def start_cli():
    """`start_cli("run", file, ...)`: the command line as its own process group; it is killed when the test ends."""

    def start(*arguments, code="from rlbench.cli.main import main; main()", **environment):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | environment,
        )

    return start


@pytest.fixture(scope="session")
def cli_process(start_cli):
    """As `cli`, but in a process of its own."""

    def run(*arguments, **keywords):
        process = start_cli(*arguments, **keywords)
        try:
            out, err = process.communicate(timeout=RUN_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return Result(process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def run_once(tmp_path_factory, write_experiment):
    """`run_once(name, key=value, ...)`: a changed small experiment and its run folder, made once for all workers."""
    root = tmp_path_factory.getbasetemp()

    def run(name, **changes):
        shared = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / name
        with lock(shared / ".lock", wait_seconds=RUN_SECONDS):
            if not (shared / "run" / "report").exists():
                task = make_task(shared / "digits")
                file = write_experiment(shared, tasks=[str(task)], **changes)
                result = _run_here("run", file, "--out", shared / "run")
                assert result.code == 0, result.text
        return shared / "experiment.yaml", shared / "run"

    return run


@pytest.fixture(scope="session")
def finished(run_once):
    """The experiment file and the finished run folder of the small experiment. Tests only read it."""
    return run_once("finished")


@pytest.fixture
def copied(finished, tmp_path):
    """As `finished`, but the run folder is a copy that the test may damage."""
    file, run = finished
    return file, Path(shutil.copytree(run, tmp_path / "run"))


def _fingerprint(folder):
    return {
        path.relative_to(folder).as_posix(): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def contents():
    """`contents(folder)`: sha256 and modification time of every file in it."""
    return _fingerprint


def _results(run):
    """What must not depend on interruptions: the comparison, all completions and scores, all trained weights."""
    kinds = ("compare/*/comparison.json", "sample/*/*.parquet", "sample/*/*.jsonl", "score/*/scores/*.parquet")
    kinds += ("train/*/model/model.safetensors", "prepare/*/model/model.safetensors", "prepare/*/prompts.json")
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for kind in kinds
        for path in run.glob(kind)
        if not path.relative_to(run).parts[1].startswith(".")
    }


@pytest.fixture(scope="session")
def results():
    """`results(run)`: hashes of everything that must not depend on interruptions."""
    return _results
