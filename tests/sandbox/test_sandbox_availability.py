"""Without bubblewrap, namespaces, Landlock or seccomp: the right tier, or none at all, and never a program run bare."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rlbench.errors import InputError
from rlbench.sandbox import open_judge, tiers

NOBODY = 65534
CALL = "_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446"
NO_LANDLOCK = ("inside/landlock.py", CALL, "_CREATE, _ADD_RULE, _RESTRICT = 4440, 4450, 4460")  # ENOSYS: an old kernel
NO_SECCOMP = ("inside/seccomp.py", "_MODE_FILTER = 22, 38, 2", "_MODE_FILTER = 22, 38, 77")  # EINVAL: built without
NO_NAMESPACES = """#!/bin/sh
echo 'bwrap: No permissions to create a new namespace' >&2
exit 1
"""
AWAY = [
    frozenset(away)
    for count in range(5)
    for away in itertools.combinations(("bubblewrap", "namespaces", "landlock", "seccomp"), count)
]
BARE = """
import json
from rlbench.sandbox import SandboxUnavailable, lane, open_judge
started = []
class Watched(lane.Lane):
    def __init__(self, tier, *more):
        started.append(tier)
        super().__init__(tier, *more)
import rlbench.sandbox.judge
rlbench.sandbox.judge.Lane = Watched
try:
    with open_judge(lanes=1) as judge:
        verdict = judge.run("def solve(x): return 2 * x + 1", tests="assert solve(3) == 7")
        print("opened", judge.tier, verdict.tier, verdict.status)
except SandboxUnavailable as error:
    print("unavailable", error)
assert "none" not in started
"""


def path_without(away, folder):
    """A PATH on which bwrap is not, or is one that works as where namespaces are forbidden."""
    folder.mkdir()
    if "bubblewrap" not in away and "namespaces" in away:
        (folder / "bwrap").write_text(NO_NAMESPACES)
        (folder / "bwrap").chmod(0o755)
    elif "bubblewrap" not in away and (found := shutil.which("bwrap")):
        (folder / "bwrap").symlink_to(found)
    return str(folder)


def expected(away):
    if "seccomp" in away:
        return "unavailable"
    if "landlock" in away:
        return "opened C C passed"
    return "opened B B passed" if {"bubblewrap", "namespaces"} & away else "opened A A passed"


@pytest.mark.slow
@pytest.mark.parametrize("away", AWAY, ids=lambda away: "without-" + ("-".join(sorted(away)) or "nothing"))
def test_what_is_missing_decides_the_tier(away, package, tiers_here, tmp_path):
    wanted = expected(away)
    if wanted != "unavailable" and wanted.split()[1] not in tiers_here:
        pytest.skip(f"this machine does not offer tier {wanted.split()[1]}")
    copy = package()
    for name, change in (("landlock", NO_LANDLOCK), ("seccomp", NO_SECCOMP)):
        if name in away:
            copy.change(*change)
    found = copy.run(BARE, PATH=path_without(away, tmp_path / "bin"), RLBENCH_SANDBOX_RUNNER="").strip()
    if wanted == "unavailable":
        assert found.startswith("unavailable programs cannot be confined on this machine, and they are never run bare:")
        for tier in "BC":
            assert f"tier {tier}" in found
        assert "Install bubblewrap" in found
        assert "Traceback" not in found
    else:
        assert found == wanted


@pytest.mark.parametrize(
    ("tier", "change", "words"),
    [
        ("B", NO_LANDLOCK, "the kernel has no Landlock"),
        ("B", NO_SECCOMP, "PR_SET_SECCOMP"),
        ("C", NO_SECCOMP, "PR_SET_SECCOMP"),
    ],
    ids=["B-landlock", "B-seccomp", "C-seccomp"],
)
def test_the_message_says_what_is_missing(tier, change, words, package):
    copy = package()
    copy.change(*change)
    found = copy.open(tier)
    assert found.startswith("unavailable ")
    assert words in found


def test_a_bubblewrap_that_cannot_be_started_is_none(package, tmp_path):
    (tmp_path / "bwrap").write_text("this is no program")
    (tmp_path / "bwrap").chmod(0o755)
    assert package().open("A", PATH=str(tmp_path)).startswith("unavailable ")


def test_the_message_names_bubblewrap(package, tmp_path):
    copy = package()
    found = copy.open("A", PATH=path_without({"bubblewrap"}, tmp_path / "none"))
    assert "bubblewrap is not installed" in found
    found = copy.open("A", PATH=path_without({"namespaces"}, tmp_path / "fake"))
    assert "No permissions to create a new namespace" in found


def test_an_unknown_machine_is_not_guessed(package):
    copy = package()
    copy.change("inside/seccomp.py", "name = os.uname().machine", 'name = "riscv64"')
    assert "no system-call table for riscv64" in copy.open("C")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"tier": "B", "unsafe": True}, "unsafe"), ({"lanes": 0}, "at least 1"), ({"lanes": -1}, "at least 1")],
)
def test_arguments_that_make_no_sense_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        open_judge(**arguments)


def test_without_a_sandbox_the_verdict_says_so():
    with open_judge(unsafe=True, lanes=1) as judge:
        verdict = judge.run("def solve(x): return 2 * x + 1", tests="assert solve(3) == 7")
    assert (judge.tier, verdict.tier, verdict.status) == ("none", "none", "passed")


def open_to_all(python):
    return all(folder.stat().st_mode & 1 for folder in [python, *python.parents])


def python_of_everybody():
    """An interpreter that ordinary users may run: that of these tests, or the system's."""
    found = [
        tiers.interpreter(),
        *Path("/usr/bin").glob("python3.1[1-9]"),
        *Path("/usr/local/bin").glob("python3.1[1-9]"),
    ]
    return next((python for python in found if python.exists() and open_to_all(python)), None)


def namespaces_for_everybody():
    command = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    return (
        subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("tier", ["A", "B", "C"])
def test_an_ordinary_user_gets_the_same_tiers(tier, package, tiers_here):
    if tier not in tiers_here or (tier == "A" and not namespaces_for_everybody()):
        pytest.skip(f"this machine does not offer tier {tier} to ordinary users")
    python = python_of_everybody()
    if python is None:
        pytest.skip("no Python >= 3.11 that ordinary users may run")
    copy = package()
    found = copy.open(tier, python=python, user=NOBODY, TMPDIR="/tmp", RLBENCH_CANARY="secret")
    assert found == f"opened {tier} {tier} passed"
