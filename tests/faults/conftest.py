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
            time.sleep(0.004)
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
def start(start_cli, kill_group):
    """As `start_cli`; what still lives at the end of the test is killed."""
    started = []

    def run(*arguments, **keywords):
        process = start_cli(*arguments, **keywords)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None or _members(process.pid):
            kill_group(process)


@pytest.fixture(scope="session")
def flip():
    """`flip(path, position)`: damage one bit of a file."""

    def damage(path, position=0):
        content = bytearray(path.read_bytes())
        content[position % len(content)] ^= 1
        path.write_bytes(content)

    return damage
