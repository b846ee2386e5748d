"""Local execution: order, crashes, orphans."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from rlbench.artifacts.call import Call, Circumstances
from rlbench.artifacts.identity import Identity
from rlbench.artifacts.locking import lock
from rlbench.artifacts.run_folder import LOCK, RunFolder
from rlbench.errors import Busy, CorruptArtifact
from rlbench.execution import worker
from rlbench.execution.local import default_workers, execute
from rlbench.execution.worker import make
from rlbench.stages import prepare


@pytest.fixture
def call(tmp_path, digits):
    """Call that makes a prompt order, in milliseconds."""

    def make_call(prompts=8, task="digits", inputs=None):
        config = {"make": "prompts", "task": task, "split": "x", "prompts": prompts}
        identity = Identity("prepare", f"prompts{prompts}", inputs or {}, config, {"stage": prepare.VERSION})
        return Call(identity, RunFolder(tmp_path / "run"), Circumstances(task_paths={"digits": str(digits)}))

    return make_call


def test_a_call_is_made_and_sealed(call):
    make(call())
    manifest = call().folder.check(call().identity.place)
    assert manifest["seconds"] >= 0
    order = json.loads((call().folder.path(call().identity) / "prompts.json").read_text())
    assert len(order) == 8


def test_a_result_that_appeared_while_waiting_is_not_made_again(call, contents):
    """As when the worker of a killed run was just finishing it."""
    make(call())
    before = contents(call().folder.path(call().identity))
    make(call())
    assert contents(call().folder.path(call().identity)) == before


def test_leftovers_of_an_attempt_are_not_taken_over(call):
    call().out.mkdir(parents=True)
    (call().out / "half.json").write_text("{")
    make(call())
    assert set(call().folder.check(call().identity.place)["files"]) == {"prompts.json"}


def test_a_damaged_input_is_refused(call):
    make(call())
    (call().folder.path(call().identity) / "prompts.json").write_text("[]")
    with pytest.raises(CorruptArtifact):
        make(call(4, inputs={"other": call().identity}))


def test_two_processes_do_not_make_the_same_result(call, monkeypatch):
    monkeypatch.setattr(worker, "ORPHAN_SECONDS", 0.1)
    with lock(call().work / LOCK), pytest.raises(Busy):
        make(call())


@pytest.mark.slow
def test_workers_make_calls_in_the_order_of_their_inputs(call):
    first, second = call(8), None
    second = call(4, inputs={"first": first.identity})
    third = call(2, inputs={"second": second.identity, "first": first.identity})
    ended = []
    execute([third, second, first], 2, lambda made, report: ended.append((made.identity.name, report.kind)))
    assert ended == [("prompts8", "done"), ("prompts4", "done"), ("prompts2", "done")]


@pytest.mark.slow
def test_what_cannot_be_made_takes_only_its_successors_with_it(call):
    bad = call(8, task="digits")
    bad = replace(bad, circumstances=Circumstances(task_paths={"digits": "/nowhere"}))
    after = call(4, inputs={"bad": bad.identity})
    good = call(2)
    ended = {}
    execute([bad, after, good], 1, lambda made, report: ended.update({made.identity.name: report}))
    assert {name: report.kind for name, report in ended.items()} == {"prompts8": "input", "prompts2": "done"}
    assert "/nowhere" in ended["prompts8"].message


@pytest.mark.slow
def test_a_crash_is_reported_with_its_reason_and_leaves_its_traceback(call):
    broken = call(8)
    broken = replace(broken, identity=replace(broken.identity, config={"make": "nothing of the kind"}))
    ended = []
    execute([broken], 1, lambda made, report: ended.append(report))
    (report,) = ended
    assert report.kind == "crash"
    assert report.message.startswith("KeyError")
    assert "Traceback" in (broken.work / "error.txt").read_text()


def test_nothing_to_do_is_done_at_once():
    execute([], 2, lambda made, report: pytest.fail("nothing should end"))


def test_default_workers_are_the_cores_on_a_cpu():
    assert default_workers("cpu") == len(os.sched_getaffinity(0))


ORPHAN = """
import multiprocessing, os, sys, time
from rlbench.execution import worker
def child():
    import threading
    threading.Thread(target=worker._end_with_parent, daemon=True).start()
    print(os.getpid(), flush=True)
    while True: sum(range(1000))
if __name__ == "__main__":
    multiprocessing.get_context("forkserver").Process(target=child).start()
    time.sleep(60)
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")
