"""kill -9 at seeded moments of every stage: what comes out after resuming is the same, byte for byte."""

import os
import random
import shutil
import signal
import time

import pytest

pytestmark = pytest.mark.slow
# The stage to wait for, and how many seconds into it to strike at the latest. Start-up is before any stage; training
# counts from the first checkpoint, so that there is something to resume from.
EARLY = [(None, 3.0), ("prepare", 0.1), ("train", 0.3), ("train", 1.0), ("sample", 0.5)]
LATE = [("train", 0.3), ("sample", 0.8), ("score", 0.2), ("compare", 0.2), ("report", 1.0)]


def has_checkpoint(run):
    return any(run.glob("train/.*.partial/checkpoint-*"))


@pytest.mark.parametrize(("seed", "moments"), [(0, EARLY), (1, LATE), (2, EARLY), (3, LATE)])  # 20 kills
def test_resuming_after_kills_gives_the_same_bytes(
    seed, moments, short, results, start, start_cold, kill_group, wait_for, in_progress, tmp_path
):
    file, reference = short
    rng = random.Random(f"kills {seed}")
    run, struck = tmp_path / "run", []
    for stage, latest in moments:
        while True:
            process = (start if stage else start_cold)("run", file, "--out", run)
            if stage is None or wait_for(process, run, stage):
                while stage == "train" and not has_checkpoint(run) and process.poll() is None:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, latest))
            while stage and not (at_work := in_progress(run)) and process.poll() is None:
                time.sleep(0.002)  # between two stages: strike in the next
            if process.poll() is None:
                break
            process.communicate()  # it was done before it could be struck: begin anew
            assert process.returncode == 0
            assert results(run) == results(reference)
            shutil.rmtree(run)
        struck.append(at_work if stage else {"start-up"})
        kill_group(process)
    assert len(struck) == 5
    assert len(set().union(*struck)) >= 3, f"kills were meant to hit different stages: {struck}"

    process = start("run", file, "--out", run)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert results(run) == results(reference)
    assert (run / "report" / "comparison.json").read_bytes() == (reference / "report" / "comparison.json").read_bytes()
    assert not list(run.rglob("*.partial")), "no unfinished work is left behind"
    assert not (run / "quarantine").exists(), "a kill damages nothing"


def test_workers_of_a_killed_run_end_and_do_not_disturb_the_next(short, results, start, wait_for, members, tmp_path):
    """Only the main process is killed, and the same command is given again at once."""
    file, reference = short
    run = tmp_path / "run"
    killed = start("run", file, "--out", run)
    assert wait_for(killed, run, "sample")
    assert len(members(killed.pid)) > 2, "there are workers"
    os.kill(killed.pid, signal.SIGKILL)
    process = start("run", file, "--out", run)
    deadline = time.monotonic() + 10
    while alive := members(killed.pid):
        assert time.monotonic() < deadline, f"{alive} outlived the main process"
        time.sleep(0.05)
    killed.communicate()
    _, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "failed" not in err
    assert results(run) == results(reference)


def test_ctrl_c_keeps_what_is_finished(short, start_cold, wait_for, members, tmp_path):
    file, _ = short
    run = tmp_path / "run"
    process = start_cold("run", file, "--out", run)
    assert wait_for(process, run, "train")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what is finished is kept, run the same command again to go on" in err
    assert "Traceback" not in err
    assert list(run.glob("prepare/sft.*"))
    deadline = time.monotonic() + 10
    while members(process.pid):
        assert time.monotonic() < deadline, "nothing outlives it"
        time.sleep(0.05)
