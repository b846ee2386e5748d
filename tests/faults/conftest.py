"""What the fault tests look at while a run works: which parts are being made, and which processes are alive."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from rlbench.artifacts.identity import STAGES
from rlbench.artifacts.locking import is_locked


@pytest.fixture(scope="session")
def short(run_once):
    """As `finished`, but with one algorithm of each kind, for tests that run it several times."""
    algorithms = [{"name": "ppo", "learning_rate": 0.01}, {"name": "dpo", "learning_rate": 0.01, "batch_size": 8}]
    return run_once("short", algorithms=algorithms)


@pytest.fixture(scope="session")
def in_progress():
    """`in_progress(run)`: the stages of which a living worker makes a part right now."""

    def look(run):
        return {
            stage
            for stage in STAGES
            if any(is_locked(partial / ".lock") for partial in (run / stage).glob(".*.partial"))
        }

    return look


@pytest.fixture(scope="session")
def wait_for(in_progress):
    """`wait_for(process, run, stage)`: whether the stage began before the process ended."""

    def wait(process, run, stage, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if stage in in_progress(run):
                return True
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        pytest.fail(f"{stage} did not begin within {seconds} s")

    return wait


def _members(group):
    alive = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(of) == group and state != "Z":
                    alive.append(int(entry.name))
    return alive


@pytest.fixture(scope="session")
def members():
    """`members(group)`: the processes of a group that are alive."""
    return _members


@pytest.fixture(scope="session")
def kill_group():
    """`kill_group(process)`: kill -9 of everything that a command started."""

    def kill(process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        deadline = time.monotonic() + 10
        while _members(process.pid):
            assert time.monotonic() < deadline, "kill -9 leaves nothing alive"
            time.sleep(0.002)

    return kill


@pytest.fixture
def started(kill_group):
    """Commands; those of them that still live at the end of the test are killed."""
    commands = []
    yield commands
    for process in commands:
        if process.poll() is None or _members(process.pid):
            kill_group(process)


@pytest.fixture
def start(fork_cli, started):
    """As `fork_cli`; it is killed at the end of the test."""

    def run(*arguments, **environment):
        started.append(fork_cli(*arguments, **environment))
        return started[-1]

    return run


@pytest.fixture
def start_cold(start_cli, started):
    """As `start`, but in a new interpreter, as for a user: it spends seconds on importing before it does anything."""

    def run(*arguments, **environment):
        started.append(start_cli(*arguments, **environment))
        return started[-1]

    return run


@pytest.fixture(scope="session")
def flip():
    """`flip(path, position)`: damage one bit of a file."""

    def damage(path, position=0):
        content = bytearray(path.read_bytes())
        content[position % len(content)] ^= 1
        path.write_bytes(content)

    return damage
