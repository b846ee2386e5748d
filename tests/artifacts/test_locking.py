"""Locks: one holder at a time, across processes, and gone with the process that held them."""

import subprocess
import sys
import time

import pytest

from rlbench.artifacts.locking import is_locked, lock
from rlbench.errors import Busy

HOLD = "import sys, time\nfrom pathlib import Path\nfrom rlbench.artifacts.locking import lock\n"
HOLD += "with lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(float(sys.argv[2]))\n"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock, for `seconds`."""
    started = []

    def start(seconds=60):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path / "a" / ".lock"), str(seconds)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_holder_in_another_process_is_refused(tmp_path, holder):
    holder()
    path = tmp_path / "a" / ".lock"
    assert is_locked(path)
    with pytest.raises(Busy, match="another rlbench process is working on this folder"), lock(path):
        pass


def test_a_kill_releases_it(tmp_path, holder):
    process = holder()
    process.kill()
    process.wait()
    path = tmp_path / "a" / ".lock"
    assert not is_locked(path)
    with lock(path):
        assert is_locked(path)
    assert not is_locked(path)


def test_it_waits_for_the_holder_as_long_as_it_is_told(tmp_path, holder):
    holder(seconds=0.5)
    started = time.monotonic()
    with lock(tmp_path / "a" / ".lock", wait_seconds=30):
        assert time.monotonic() - started < 20


def test_waiting_has_an_end(tmp_path, holder):
    holder()
    started = time.monotonic()
    with pytest.raises(Busy), lock(tmp_path / "a" / ".lock", wait_seconds=0.2):
        pass
    assert 0.2 <= time.monotonic() - started < 10


def test_an_error_inside_releases_it_and_passes_through(tmp_path):
    path = tmp_path / ".lock"
    with pytest.raises(RuntimeError, match="inside"), lock(path):
        raise RuntimeError("inside")
    assert not is_locked(path)


def test_what_was_never_locked_is_not_locked(tmp_path):
    assert not is_locked(tmp_path / "nothing" / ".lock")
    assert not (tmp_path / "nothing").exists(), "looking changes nothing"
