"""Runs a corpus of attacks through the judge and looks at what got out. See docs/sandbox.md.

Needs only the standard library and rlbench.sandbox, so that it can be started by an ordinary user with another Python:

    PYTHONPATH=<folder of rlbench> python3 attack_run.py --tier B --corpus attacks/forge.json --json result.json

A row of a corpus is {id, kind, title, source} and perhaps `tests`, `entry_points` or `cases`, `expect` (acceptable
statuses), `machine` (the processor whose system-call numbers it uses), `tiers` (where it can work: in tier C no path
can be looked at, nor the size of an open file) and `harmless` (may be run without a sandbox). Rows of other kinds than
`honest` answer wrongly unless the attack works, so `passed` means that it worked. In sources, {CANARY_FILE},
{CANARY_PORT}, {CANARY_SOCKET} and {MARK} (part of the name of everything that an attack leaves) are filled in.

Exit status: 0 nothing got out and every honest program was judged rightly; 1 something did; 2 wrong use;
3 the tier is not available here.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import random
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlbench.sandbox import Limits, Program, SandboxUnavailable, Verdict, open_judge

SECRET = ("AWS_SECRET_ACCESS_KEY", "SECRET-CANARY-0123456789abcdef")
TESTS = """
assert solve(3) == 7
assert solve(10) == 21
assert solve(-4) == -7
assert solve(0) == 1
assert solve(12345) == 24691
assert type(solve(7)) is int
"""
CONTROL = "def solve(x):\n    return 2 * x + 1\n"
BETWEEN_CONTROLS = 10
HONEST_LIMITS = Limits(cpu_seconds=3.0, wall_seconds=9.0)
PLACES = ("/", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run", "/run/lock", "/home", "/mnt", "/usr", "/usr/bin")
# What the programs of given.json leave where they can; they do not know {MARK}.
NAMES_OF_GIVEN = re.compile(r"f\d+|lnk")
EXPECTED_OF_GIVEN = {"H06": ["failed"], "H07": ["load_error"], "H08": ["error"]}
SYSV_KEYS = range(0x524C4200, 0x524C4300)
PR_SET_CHILD_SUBREAPER = 36
END_SECONDS = 5.0


@dataclass
class Canary:
    """What lies outside of the sandbox for programs to find: a file, listeners, a place for what is left."""

    home: Path
    mark: str = field(default_factory=lambda: f"mark{secrets.token_hex(6)}")
    hits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.chmod(0o755)
        (folder := self.home / "canary").mkdir()
        self.file = folder / "canary.txt"
        self.content = f"CANARY {self.mark}\n"
        self.file.write_text(self.content)
        for path, mode in ((folder, 0o777), (self.file, 0o666)):  # whoever the program is, only the sandbox protects it
            path.chmod(mode)
        for name in ("cwd", "tmp"):
            (self.home / name).mkdir()
            (self.home / name).chmod(0o777)
        self.listeners = [self._tcp(), *self._abstract()]
        self.port = self.listeners[0].getsockname()[1]
        for listener in self.listeners:
            threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def _tcp(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0))

    def _abstract(self) -> Iterator[socket.socket]:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            listener = socket.socket(socket.AF_UNIX, kind)
            listener.bind(f"\0{self.mark}")
            if kind != socket.SOCK_DGRAM:
                listener.listen(8)
            yield listener

    def _listen(self, listener: socket.socket) -> None:
        what = f"{listener.family.name} {listener.type.name}"
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(64)
                else:
                    listener.accept()[0].close()
                self.hits.append(what)

    def fill(self, text: str) -> str:
        """Put the canary's names into a source."""
        names = {"FILE": str(self.file), "PORT": str(self.port), "SOCKET": self.mark}
        for name, value in names.items():
            text = text.replace("{CANARY_" + name + "}", value)
        return text.replace("{MARK}", self.mark)

    def touched(self) -> bool:
        """Whether the canary file is not what it was."""
        try:
            stat = self.file.stat()
            return self.file.read_text() != self.content or stat.st_mode & 0o777 != 0o666
        except OSError:
            return True

    def left_over(self, before: set[str]) -> list[str]:
        """Files, shared memory, semaphores and queues that bear the mark, or lie where nobody else writes."""
        found = self.snapshot() - before
        ours = (path for path in found if self.mark in path or path.startswith(str(self.home)))
        given = (path for path in found if path.startswith("/tmp/") and NAMES_OF_GIVEN.fullmatch(Path(path).name))
        return sorted({*ours, *given, *(path for path in found if path.startswith("sysv"))})

    def snapshot(self) -> set[str]:
        """Names in the places that an attack may write to."""
        found = {str(path) for path in self.home.rglob("*")}
        for place in {*PLACES, str(Path.home())}:
            with contextlib.suppress(OSError):
                found |= {f"{place.rstrip('/')}/{name}" for name in os.listdir(place)}  # noqa: PTH208 (names only)
        for kind in ("shm", "sem", "msg"):
            with contextlib.suppress(OSError):
                rows = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
                found |= {f"sysv {kind} {row.split()[0]}" for row in rows if int(row.split()[0]) in SYSV_KEYS}
        return found

    def remove(self, left: Sequence[str]) -> None:
        """Remove what bears the mark: after a run without a sandbox there is some."""
        for path in left:
            if self.mark in Path(path).name and not path.startswith("sysv"):
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108 (a path that may be a broken link)


def read_corpus(files: Sequence[Path], tier: str | None, *, only_harmless: bool) -> list[dict[str, Any]]:
    """Return the rows of the files that can be run on this machine and in this tier."""
    rows = [row for path in files for row in json.loads(path.read_text(encoding="utf-8"))]
    rows = [row for row in rows if row.get("machine", platform.machine()) == platform.machine()]
    rows = [row for row in rows if tier is None or tier in row.get("tiers", tier)]
    return [row for row in rows if row.get("harmless")] if only_harmless else rows


def as_program(row: dict[str, Any], canary: Canary) -> Program:
    """Return the program of a row."""
    source = canary.fill(row["source"])
    if "cases" in row:
        return Program(source, cases=tuple((given, wanted) for given, wanted in row["cases"]))
    return Program(source, tests=row.get("tests", TESTS), entry_points=tuple(row.get("entry_points", ("solve",))))


def expected(row: dict[str, Any]) -> list[str] | None:
    """The acceptable statuses of a row; None where any but `passed` is."""
    default = ["passed"] if row["kind"] == "honest" else None
    statuses: list[str] | None = row.get("expect", EXPECTED_OF_GIVEN.get(row["id"], default))
    return statuses


def summarise(rows: Sequence[dict[str, Any]], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Sort the verdicts into what went well and what did not; each problem is a line of words."""
    found: dict[str, Any] = {"forged": [], "escaped": [], "infra": [], "honest_wrong": [], "unexpected": []}
    for row, verdict in zip(rows, verdicts, strict=True):
        wanted, status = expected(row), verdict.status
        line = f"{row['id']} {row['title']}: {status} ({verdict.reason[:120]})"
        if wanted is not None and status not in wanted:
            line += f", expected {' or '.join(wanted)}"
        if status == "infra_error":  # nothing that a program does may look like the judge's own failure
            found["infra"].append(line)
        if row["kind"] == "honest":
            if wanted is not None and status not in wanted:
                found["honest_wrong"].append(line)
        elif status == "passed":
            found["escaped" if row["kind"] == "escape" else "forged"].append(line)
        elif wanted is not None and status not in wanted:
            found["unexpected"].append(line)
    found["statuses"] = dict(Counter(f"{row['kind']} {verdict.status}" for row, verdict in zip(rows, verdicts)))  # noqa: B905
    found["programs"] = len(rows)
    return found


def children() -> list[str]:
    """Command lines of live processes whose parent is this one; orphans of the judge come here too."""
    alive = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                alive.append(f"{folder.name} " + (folder / "cmdline").read_text().replace("\0", " ")[:80])
    return alive


def processes_left() -> list[str]:
    """Processes that outlive the judge for more than a few seconds. They are ended then."""
    deadline = time.monotonic() + END_SECONDS
    while (alive := children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for line in alive:
        with contextlib.suppress(OSError):
            os.kill(int(line.split()[0]), signal.SIGKILL)
    return alive


def with_controls(attacks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """An honest program after every few attacks: whatever they leave behind in their lane must not hurt it."""
    mixed: list[dict[str, Any]] = []
    for start in range(0, len(attacks), BETWEEN_CONTROLS):
        control = {"id": f"control{start}", "kind": "honest", "title": "after attacks", "source": CONTROL}
        mixed += [*attacks[start : start + BETWEEN_CONTROLS], control]
    return mixed


def judged(
    rows: Sequence[dict[str, Any]], canary: Canary, limits: Limits, arguments: argparse.Namespace
) -> list[Verdict]:
    """Judge the programs of the rows in one judge."""
    tier = None if arguments.unsafe else arguments.tier
    with open_judge(tier, arguments.lanes, limits, unsafe=arguments.unsafe) as judge:
        return judge.run_many([as_program(row, canary) for row in rows])


def run(arguments: argparse.Namespace, canary: Canary) -> dict[str, Any]:
    """Judge every program and return what was found. Honest ones get longer limits, beside the attacks."""
    rows = read_corpus(arguments.corpus, arguments.tier, only_harmless=arguments.unsafe)
    random.Random(arguments.seed).shuffle(rows)
    honest = [row for row in rows if row["kind"] == "honest"]
    attacks = with_controls([row for row in rows if row["kind"] != "honest"])
    limits = Limits(cpu_seconds=arguments.cpu, wall_seconds=arguments.wall)
    before = canary.snapshot()
    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        parts = [
            pool.submit(judged, part, canary, each, arguments)
            for part, each in ((attacks, limits), (honest, HONEST_LIMITS))
        ]
        verdicts = [verdict for part in parts for verdict in part.result()]
    rows = attacks + honest
    found = summarise(rows, verdicts)
    found["tiers"] = sorted({verdict.tier for verdict in verdicts})
    found["seconds"] = round(time.monotonic() - started, 1)
    found["cpu_seconds"] = round(sum(verdict.cpu_seconds for verdict in verdicts), 1)
    found["verdicts"] = {
        row["id"]: [verdict.status, verdict.reason, round(verdict.cpu_seconds, 2), round(verdict.wall_seconds, 2)]
        for row, verdict in zip(rows, verdicts, strict=True)
    }
    found["processes"] = processes_left()
    found["left_over"] = canary.left_over(before)
    found["listener_hits"] = list(canary.hits)
    if canary.touched():
        found["escaped"].append("the canary file was changed")
    canary.remove(found["left_over"])
    return found


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="run a corpus of attacks through the judge")
    parser.add_argument("--tier", choices=("A", "B", "C", "D"), help="default: the strongest")
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where to write what was found")
    parser.add_argument("--lanes", type=int, default=4, help="programs at a time")
    parser.add_argument("--cpu", type=float, default=0.5, help="seconds of CPU time for an attack")
    parser.add_argument("--wall", type=float, default=1.5, help="seconds of waiting for an attack")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the programs")
    parser.add_argument("--unsafe", action="store_true", help="without a sandbox, only rows that are harmless")
    return parser.parse_args(arguments)


PROBLEMS = ("forged", "escaped", "infra", "honest_wrong", "unexpected", "listener_hits", "left_over", "processes")


def main() -> int:
    """Run the corpus and say what got out."""
    arguments = parse()
    if os.environ.get(SECRET[0]) != SECRET[1]:  # it has to be in the environment that this process was started with
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, SECRET[0]: SECRET[1]})
    arguments.corpus = [path.resolve() for path in arguments.corpus]
    out = arguments.json.resolve() if arguments.json else None
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    home = Path(tempfile.mkdtemp(prefix="rlbench-attacked-"))
    try:
        canary = Canary(home)
        os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")  # what the judge leaves is left here
        os.chdir(home / "cwd")
        found = run(arguments, canary)
    except SandboxUnavailable as error:
        print(error)
        return 3
    finally:
        os.chdir("/")
        shutil.rmtree(home, ignore_errors=True)
    if out is not None:
        out.write_text(json.dumps(found, indent=1))
    for name in PROBLEMS:
        for line in found[name]:
            print(f"{name}: {line}")
    print(f"{found['programs']} programs in {found['seconds']} s, tier {', '.join(found['tiers'])}: "
          + ", ".join(f"{len(found[name])} {name.replace('_', ' ')}" for name in PROBLEMS))  # fmt: skip
    return int(any(found[name] for name in PROBLEMS))


if __name__ == "__main__":
    sys.exit(main())
