"""Fixtures of the judge's tests: an open judge, damaged copies of the package, and who descends from whom."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import rlbench
from rlbench.sandbox import Limits, SandboxUnavailable, open_judge

PACKAGE = Path(rlbench.__file__).resolve().parent
COPIED = ("__init__.py", "errors.py", "sandbox")
START = "import sys; sys.path.insert(0, {root!r}); import rlbench; assert rlbench.__file__.startswith({root!r})\n"
OPEN = """
from rlbench.sandbox import SandboxUnavailable, open_judge
try:
    with open_judge({tier!r}, lanes=1) as judge:
        verdict = judge.run("def solve(x): return 2 * x + 1", tests="assert solve(3) == 7")
        print("opened", judge.tier, verdict.tier, verdict.status)
except SandboxUnavailable as error:
    print("unavailable", error)
"""
RUN_SECONDS = 120


class Copy:
    """A copy of the judge's package, in a folder that everybody may read."""

    def __init__(self, folder):
        self.root = Path(folder).resolve()
        self.root.chmod(0o755)
        for name in COPIED:
            source, target = PACKAGE / name, self.root / "rlbench" / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(exist_ok=True)
                shutil.copy(source, target)

    def change(self, name, old, new):
        """Replace the only occurrence of a text in `sandbox/<name>`."""
        file = self.root / "rlbench" / "sandbox" / name
        text = file.read_text()
        assert text.count(old) == 1, f"{name}: {old!r} is there {text.count(old)} times; adapt this test"
        file.write_text(text.replace(old, new))

    def run(self, code, python=sys.executable, user=None, **environment):
        """Run code that imports the copy, perhaps as another user, and return what it printed."""
        other = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        done = subprocess.run(
            [python, "-P", "-B", "-c", START.format(root=str(self.root)) + code],
            capture_output=True, text=True, timeout=RUN_SECONDS, env=os.environ | environment, cwd="/", check=False,
            **other,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def open(self, tier, **how):
        """Open a judge of the copy: "opened A A passed" or "unavailable ..."."""
        return self.run(OPEN.format(tier=tier), **how).strip()


@pytest.fixture
def package():
    """Factory of copies of the judge's package, to be damaged."""
    with tempfile.TemporaryDirectory(prefix="rlbench-copy-", dir="/tmp") as folder:
        yield lambda name="copy": Copy(_made(Path(folder), name))


def _made(folder, name):
    folder.chmod(0o755)
    (folder / name).mkdir()
    return folder / name


@pytest.fixture(scope="session")
def judge():
    """A judge of the strongest tier here, with limits so low that tests of limits are quick."""
    try:
        opened = open_judge(lanes=2, limits=Limits(cpu_seconds=0.5, wall_seconds=1.5, output_bytes=1 << 16))
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    with opened:
        yield opened


def _opens(tier):
    try:
        open_judge(tier, lanes=1).close()
    except SandboxUnavailable:
        return False
    return True


@pytest.fixture(scope="session")
def tiers_here(tmp_path_factory):
    """The tiers that this machine offers, as a text like "ABC"; found out once for all workers."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    file = shared / "tiers-here.json"
    if not file.exists():
        found = "".join(tier for tier in "ABC" if _opens(tier))
        fresh = shared / f"tiers-{os.getpid()}.json"
        fresh.write_text(json.dumps(found))
        fresh.rename(file)
    return json.loads(file.read_text())


def _parents():
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            found[int(folder.name)] = (int(parent), state)
    return found


def _descendants(pid, zombies=True):
    known = _parents()
    found, fresh = set(), {pid}
    while fresh:
        fresh = {each for each, (parent, _) in known.items() if parent in fresh} - found
        found |= fresh
    return {each for each in found if zombies or known[each][1] != "Z"}


@pytest.fixture(scope="session")
def descendants():
    """`descendants(pid)`: ids of its children, their children and so on; `zombies=False` leaves out dead ones."""
    return _descendants


def _gone(pids, seconds):
    """Wait until none of the processes lives, and return those that still do."""
    deadline = time.monotonic() + seconds
    while True:
        known = _parents()
        left = {pid for pid in pids if pid in known and known[pid][1] != "Z"}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


@pytest.fixture(scope="session")
def gone():
    """`gone(pids, seconds)`: those of the processes that do not end in that time."""
    return _gone
