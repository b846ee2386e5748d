"""Tier D: programs under a runner that the user configures. Here the runner is bubblewrap with its own options."""

import os
import shutil

import pytest

from rlbench.sandbox import Limits, SandboxUnavailable, open_judge
from rlbench.sandbox.external import RUNNER

BUBBLEWRAP = (
    "bwrap --unshare-all --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --dev /dev "
    "--proc /proc --tmpfs /tmp --die-with-parent --new-session --clearenv --setenv PATH /usr/bin"
)
TESTS = "assert solve(3) == 7\nassert solve(0) == 1"


def python_is_new_enough():
    place = shutil.which("python3", path="/usr/bin")
    return place is not None and any(os.path.exists(f"/usr/bin/python3.{minor}") for minor in range(11, 20))  # noqa: PTH110


@pytest.fixture(scope="module")
def judge():
    if shutil.which("bwrap") is None or not python_is_new_enough():
        pytest.skip("needs bubblewrap and a Python >= 3.11 in /usr/bin as a runner")
    before = os.environ.get(RUNNER)
    os.environ[RUNNER] = BUBBLEWRAP
    try:
        with open_judge("D", lanes=2, limits=Limits(cpu_seconds=1, wall_seconds=5)) as made:
            yield made
    finally:
        os.environ.pop(RUNNER)
        if before is not None:
            os.environ[RUNNER] = before


@pytest.mark.slow
def test_verdicts_are_those_of_the_other_tiers(judge):
    assert judge.tier == "D"
    expected = {
        "def solve(x): print('hello'); return 2*x+1": "passed",
        "def solve(x): return 2*x": "failed",
        "def solve(x): raise ValueError(x)": "error",
        "def solve(x) return x": "load_error",
        "def solve(x):\n import os\n os._exit(0)": "candidate_exit",
        "def solve(x):\n while True: pass": "cpu_limit",
        "def solve(x): return len(bytearray(1 << 40))": "memory_limit",
        "def solve(x):\n import os\n os.abort()": "crashed",
        "class E:\n def __eq__(s, o): return True\ndef solve(x): return E()": "unsupported_return",
    }
    verdicts = judge.run_many({"source": source, "tests": TESTS} for source in expected)
    assert {source: verdict.status for source, verdict in zip(expected, verdicts, strict=True)} == expected
    assert verdicts[0].output.startswith("hello\n")
    assert {verdict.tier for verdict in verdicts} == {"D"}


@pytest.mark.slow
def test_scripts_read_and_print(judge):
    cases = [("3\n", "6\n"), ("4", "8")]
    assert judge.run("print(2 * int(input()))", cases=cases).passed
    assert judge.run("print(int(input()))", cases=cases).status == "failed"


def test_without_a_runner_it_is_not_there(monkeypatch):
    monkeypatch.delenv(RUNNER, raising=False)
    with pytest.raises(SandboxUnavailable, match=RUNNER):
        open_judge("D")


def test_a_runner_that_confines_nothing_is_found_out(monkeypatch):
    monkeypatch.setenv(RUNNER, "env")
    with pytest.raises(SandboxUnavailable, match="read_a_file"):
        open_judge("D", lanes=2)
