"""The attack corpus against every tier that this machine offers, started as root and as an ordinary user."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "rlbench"
CORPUS = sorted((HERE / "attacks").glob("*.json"))
OWN = [path for path in CORPUS if path.name != "given.json"]
NOBODY = 65534
SECONDS = 170.0
KEYS = {"id", "kind", "title", "source", "tests", "entry_points", "cases", "expect", "machine", "tiers", "harmless"}
PROBLEMS = ("forged", "escaped", "infra", "honest_wrong", "unexpected", "listener_hits", "left_over", "processes")


@pytest.fixture(scope="module")
def everybody() -> Iterator[Path]:
    """A copy of the judge, of the script and of the corpus that every user of the machine can read."""
    with tempfile.TemporaryDirectory(prefix="rlbench-everybody-") as name:
        place = Path(name)
        (place / "rlbench").mkdir()
        for module in ("__init__.py", "errors.py"):
            shutil.copy(PACKAGE / module, place / "rlbench")
        shutil.copytree(
            PACKAGE / "sandbox", place / "rlbench" / "sandbox", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(HERE / "attacks", place / "attacks")
        shutil.copy(HERE / "attack_run.py", place)
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield place


def become(user: str) -> dict[str, Any]:
    """Arguments of `subprocess.run` that start a process as this user."""
    same = (os.geteuid() == 0) == (user == "root")
    if not same and os.geteuid() != 0:
        pytest.skip("only root can start a judge as root")
    return {} if same else {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@functools.cache
def interpreter(user: str) -> str:
    """A Python of 3.11 or newer that the user may run."""
    known = [sys.executable, "/usr/bin/python3", "/usr/local/bin/python3", shutil.which("python3", path=os.defpath)]
    for path in filter(None, known):
        try:
            probe = "import sys; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([path, "-c", probe], cwd="/", capture_output=True, **become(user)).returncode == 0:
                return path
        except OSError:
            continue
    pytest.skip(f"no Python of at least 3.11 that user {user} may run")


def offered(tier: str, user: str) -> None:
    """Skip where the machine lacks what the tier is made of. The judge is not asked: it could be wrong."""
    if tier == "A":
        bubblewrap = shutil.which("bwrap")
        if bubblewrap is None:
            pytest.skip("tier A: bubblewrap is not installed")
        command = [bubblewrap, "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/", "true"]
        if subprocess.run(command, capture_output=True, cwd="/", **become(user)).returncode != 0:
            pytest.skip(f"tier A: user {user} may not make namespaces here")
    if tier in "AB" and ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) < 1:
        pytest.skip(f"tier {tier}: the kernel has no Landlock")


def attack(place: Path, user: str, *options: str) -> dict[str, Any]:
    """Run the script as a user and return what it found."""
    out = Path(tempfile.mkdtemp(prefix="rlbench-found-"))
    try:
        if "user" in (identity := become(user)):
            os.chown(out, NOBODY, NOBODY)
        command = [interpreter(user), "-B", str(place / "attack_run.py"), "--json", str(out / "found.json"), *options]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(place), "HOME": "/"}
        done = subprocess.run(
            command, env=environment, cwd="/", timeout=SECONDS, text=True, capture_output=True, **identity
        )
        assert (out / "found.json").exists(), done.stdout + done.stderr
        found: dict[str, Any] = json.loads((out / "found.json").read_text())
        assert done.returncode == int(any(found[name] for name in PROBLEMS)), done.stderr
        return found
    finally:
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("tier", ["A", "B", "C"])
def test_nothing_is_forged_nothing_escapes_and_honest_programs_are_judged_rightly(
    tier: str, user: str, everybody: Path
) -> None:
    become(user)
    offered(tier, user)
    found = attack(
        everybody, user, "--tier", tier, "--corpus", *(str(everybody / "attacks" / path.name) for path in CORPUS)
    )
    assert found["tiers"] == [tier]
    assert found["programs"] > 300
    problems = [f"{name}: {line}" for name in PROBLEMS for line in found[name]]
    assert not problems, "\n" + "\n".join(problems)


def test_the_same_attacks_win_where_nothing_confines_them(everybody: Path) -> None:
    """The negative control: without a sandbox the script sees escapes, connections and files left behind."""
    user = "nobody" if os.geteuid() == 0 else "me"
    found = attack(everybody, user, "--unsafe", "--corpus", *(str(everybody / "attacks" / path.name) for path in OWN))
    assert found["tiers"] == ["none"]
    assert len(found["escaped"]) >= 12, found
    assert {hit.split()[0] for hit in found["listener_hits"]} >= {"AF_INET", "AF_UNIX"}
    assert any("EX49" in line for line in found["escaped"])
    assert found["left_over"]
    assert not found["processes"]


def test_a_planted_pass_a_planted_infrastructure_error_and_a_wronged_program_are_seen(tmp_path: Path) -> None:
    """The script counts by kind and status: rows whose kind is a lie show up."""
    rows = [
        {"id": "L1", "kind": "forge", "title": "a right answer", "source": "def solve(x): return 2 * x + 1\n"},
        {"id": "L2", "kind": "escape", "title": "a right answer", "source": "def solve(x): return 2 * x + 1\n"},
        {"id": "L3", "kind": "honest", "title": "a wrong answer", "source": "def solve(x): return 0\n"},
        {
            "id": "L4",
            "kind": "resource",
            "title": "another end",
            "source": "def solve(x): return 0\n",
            "expect": ["crashed"],
        },
    ]
    (corpus := tmp_path / "lies.json").write_text(json.dumps([{**row, "harmless": True} for row in rows]))
    place = PACKAGE.parent
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [
        sys.executable,
        str(HERE / "attack_run.py"),
        "--unsafe",
        "--corpus",
        str(corpus),
        "--json",
        str(tmp_path / "f.json"),
    ]
    done = subprocess.run(command, env=environment, cwd=tmp_path, timeout=SECONDS, text=True, capture_output=True)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    for name, row in {"forged": "L1", "escaped": "L2", "honest_wrong": "L3", "unexpected": "L4"}.items():
        assert [line.split()[0] for line in found[name]] == [row], name


def test_the_corpus_is_well_formed() -> None:
    rows = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in CORPUS}
    own = [row for name, part in rows.items() if name != "given" for row in part]
    everything = own + rows["given"]
    assert len(rows["given"]) == 60
    assert len({row["id"] for row in everything}) == len(everything)
    assert not {row["source"] for row in own} & {row["source"] for row in rows["given"]}
    once = [row for row in own if ", part " not in row["title"]]  # the others are run twice, to meet themselves
    assert len({row["source"] + row.get("tests", "") for row in once}) == len(once)
    by_kind = {kind: [row for row in own if row["kind"] == kind] for kind in ("forge", "escape", "resource", "honest")}
    assert sum(map(len, by_kind.values())) == len(own)
    assert all(len(part) >= 15 for part in by_kind.values())
    assert len(own) - len(by_kind["honest"]) >= 60
    assert all(row.get("expect") for row in by_kind["honest"])
    for row in own:
        assert set(row) <= KEYS, row["id"]
        assert "passed" not in row.get("expect", ()) or row["kind"] == "honest", row["id"]


def test_the_readme_counts_the_hostile_programs() -> None:
    rows = [row for path in CORPUS for row in json.loads(path.read_text(encoding="utf-8"))]
    hostile = sum(row["kind"] != "honest" for row in rows)
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"0 of {hostile} hostile programs" in readme
