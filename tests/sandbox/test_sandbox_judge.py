"""Life and death of a judge: killed fork servers, threads, interrupts, a killed parent; and nothing is left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rlbench
from rlbench.sandbox import Limits, SandboxUnavailable, open_judge, tiers

RIGHT = {"source": "def solve(x): return 2 * x + 1", "tests": "assert solve(3) == 7"}
SLEEP = {"source": "import time\ndef solve(x): time.sleep(600)", "tests": "assert solve(3) == 7"}
END_SECONDS = 5.0  # on a machine that does something else too; alone, it takes a tenth of a second


def open_files():
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 (names only)


@pytest.fixture(params=["A", "B", "C"])
def tier(request, tiers_here):
    if request.param not in tiers_here:
        pytest.skip(f"this machine does not offer tier {request.param}")
    return request.param


def kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it may end with the one before
            os.kill(pid, signal.SIGKILL)


def test_closing_leaves_no_process_and_no_open_file(tier, descendants, gone):
    before, files = descendants(os.getpid()), open_files()
    with open_judge(tier, lanes=3) as judge:
        started = descendants(os.getpid()) - before
        assert len(started) >= 3
        assert [verdict.status for verdict in judge.run_many([RIGHT] * 6)] == ["passed"] * 6
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("judge")]
        assert threads
    assert not gone(started, END_SECONDS)
    assert descendants(os.getpid()) - before == set()  # and no zombies
    assert open_files() == files


def test_closing_twice_is_no_mistake(tier):
    judge = open_judge(tier, lanes=1)
    judge.close()
    judge.close()


def test_a_judge_that_cannot_be_had_leaves_nothing(descendants, monkeypatch):
    before, files = descendants(os.getpid()), open_files()
    monkeypatch.setattr(tiers, "LOCKDOWN", tiers.LOCKDOWN | {"B": "none"})
    with pytest.raises(SandboxUnavailable, match="does not hold"):
        open_judge("B", lanes=2)
    assert descendants(os.getpid()) == before
    assert open_files() == files


def test_a_killed_fork_server_is_replaced(tier, descendants):
    before = descendants(os.getpid())
    with open_judge(tier, lanes=2) as judge:
        servers = descendants(os.getpid()) - before
        kill(servers)
        assert [verdict.status for verdict in judge.run_many([RIGHT] * 8)] == ["passed"] * 8
        fresh = descendants(os.getpid(), zombies=False) - before
        assert fresh
        assert not fresh & servers
        assert judge.run(**RIGHT).tier == tier


def test_a_fork_server_that_is_killed_at_work_is_replaced_and_the_verdict_comes(tier, descendants, gone):
    before = descendants(os.getpid())
    with open_judge(tier, lanes=1, limits=Limits(cpu_seconds=1, wall_seconds=1.5)) as judge:
        servers = descendants(os.getpid()) - before
        with ThreadPoolExecutor(1) as pool:
            verdict = pool.submit(judge.run, **SLEEP)
            time.sleep(0.5)
            working = descendants(os.getpid()) - before
            kill(servers)
            assert verdict.result(timeout=120).status == "wall_limit"
        assert not gone(working, END_SECONDS)  # a program does not outlive its fork server
        assert judge.run(**RIGHT).passed


def test_after_it_could_not_be_replaced_the_judge_works_again(descendants, monkeypatch, tiers_here):
    if "B" not in tiers_here:
        pytest.skip("this machine does not offer tier B")

    def refuse(tier):
        raise SandboxUnavailable("gone")

    before = descendants(os.getpid())
    with open_judge("B", lanes=1) as judge:
        kill(descendants(os.getpid()) - before)
        monkeypatch.setattr(tiers, "command", refuse)
        for _ in range(2):
            assert judge.run(**RIGHT).status == "infra_error"
        monkeypatch.undo()
        assert judge.run(**RIGHT).passed
    assert descendants(os.getpid(), zombies=False) <= before


@pytest.mark.slow
def test_a_copy_of_this_process_does_not_keep_the_fork_servers_alive(tier, descendants, gone):
    before = descendants(os.getpid())
    judge = open_judge(tier, lanes=1)
    servers = descendants(os.getpid()) - before
    copy = os.fork()  # such as a worker that loads data; it holds whatever was open
    if copy == 0:
        try:
            time.sleep(60)
        finally:
            os._exit(0)
    try:
        started = time.monotonic()
        judge.close()
        assert time.monotonic() - started < END_SECONDS
        assert not gone(servers, END_SECONDS)
    finally:
        os.kill(copy, signal.SIGKILL)
        os.waitpid(copy, 0)


@pytest.mark.slow
def test_a_limit_that_this_process_already_has_is_no_obstacle(tier):
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
    code = f"with open_judge({tier!r}, lanes=1, limits=Limits(cpu_seconds=30)) as judge:\n"
    code += "    print(judge.run(**RIGHT).status)"
    with start(limited + code) as process:
        assert process.communicate(timeout=100)[0] == "passed\n"


@pytest.mark.slow
def test_several_threads_share_a_judge(judge):
    def ask(number):
        source = f"def solve(x):\n    return x + {number}\n"
        mine = judge.run(source, tests=f"assert solve(1) == {number + 1}")
        other, _ = judge.run_many([{"source": source, "tests": f"assert solve(1) == {number}"}, RIGHT])
        return mine.status, other.status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(48))) == {("passed", "failed")}


def test_verdicts_come_in_the_order_of_the_programs(judge):
    programs = [
        {"source": f"def solve(x): return {number}", "tests": f"assert solve(1) == {number % 3}"}
        for number in range(12)
    ]
    statuses = [verdict.status for verdict in judge.run_many(programs)]
    assert statuses == ["passed"] * 3 + ["failed"] * 9
    assert judge.run_many([]) == []


def test_a_program_leaves_nothing_to_the_next_one(judge):
    source = "import builtins, os, sys\nbuiltins.sum = None\nsys.modules['math'] = os.environ['x'] = 'x'\nsolve = abs\n"
    tests = "assert solve(-3) == 3"
    for verdict in judge.run_many([{"source": source, "tests": tests}] * 4):
        assert verdict.passed
    clean = "import math, os\ndef solve(x): return sum([1, 1]) + math.floor(x) + ('x' in os.environ)\n"
    assert all(verdict.passed for verdict in judge.run_many([{"source": clean, "tests": "assert solve(3.5) == 5"}] * 4))


def test_the_same_program_meets_the_same_chance(judge):
    source = "import random\ndef solve(x): return [random.random(), hash('text')]\n"
    printed = {
        verdict.output for verdict in judge.run_many([{"source": source + "print(solve(1))", "cases": [("", "")]}] * 6)
    }
    assert len(printed) == 1


SCRIPT = f"""
import sys; sys.path.insert(0, {str(Path(rlbench.__file__).resolve().parents[1])!r})
import json, os, signal, sys, threading, time
from rlbench.sandbox import Limits, open_judge
RIGHT, SLEEP = {RIGHT!r}, {SLEEP!r}
def files(): return sorted(os.listdir("/proc/self/fd"))
"""
INTERRUPTED = """
before = files()
try:
    with open_judge(%r, lanes=2, limits=Limits(cpu_seconds=1, wall_seconds=3)) as judge:
        threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
        judge.run_many([SLEEP] * 40)
    print(json.dumps("not interrupted"))
except KeyboardInterrupt:
    children = [pid for pid in os.listdir("/proc") if pid.isdigit() and os.path.exists(f"/proc/{pid}/stat")
                and open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1] == str(os.getpid())]
    print(json.dumps({"files": files() == before, "children": children, "threads": threading.active_count()}))
"""
KILLED = """
with open_judge(%r, lanes=2, limits=Limits(cpu_seconds=5, wall_seconds=600)) as judge:
    print("open", flush=True)
    judge.run_many([SLEEP] * 4)
"""


def start(code):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_an_interrupt_ends_everything(tier):
    started = time.monotonic()
    with start(INTERRUPTED % tier) as process:
        out, _ = process.communicate(timeout=100)
    assert json.loads(out) == {"files": True, "children": [], "threads": 1}
    assert time.monotonic() - started < 60  # and not for as long as forty programs take
    assert process.returncode == 0


@pytest.mark.slow
def test_when_the_parent_is_killed_everything_ends(tier, descendants, gone):
    with start(KILLED % tier) as process:
        assert process.stdout.readline() == "open\n"
        deadline = time.monotonic() + 20
        while len(family := descendants(process.pid)) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(family) >= 6  # two fork servers, each with a program and its tests
        process.kill()
        process.wait()
        assert not gone(family, END_SECONDS)
