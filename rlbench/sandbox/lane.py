"""One lane of the judge: a fork server, and the judge's end of the jobs that it runs one after the other."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlbench.sandbox import tiers
from rlbench.sandbox.inside.channel import READY, Channel, Closed
from rlbench.sandbox.inside.lockdown import Resources
from rlbench.sandbox.prepared import Tests
from rlbench.sandbox.program import Limits
from rlbench.sandbox.verdict import Tier

_START_SECONDS = 60.0
_END_SECONDS = 10.0
_LONGEST_REPORT = 1 << 16


class LaneBroken(Exception):
    """The fork server is gone or does not answer. Nothing is known about the job."""


@dataclass(frozen=True)
class End:
    """How a process ended: why it was killed ("" if it ended itself), the status of wait(2), CPU seconds."""

    killed: str
    status: int
    cpu_seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of a job: how its processes ended, the tests' report (None without one), and what was printed."""

    program: End
    tests: End | None
    report: Mapping[str, Any] | None
    said: tuple[str, ...]
    """What the process of a script said before it ran: that it is confined, and what keeps it from being compiled."""
    stdout: bytes
    stderr: bytes
    printed_bytes: int
    wall_seconds: float


class Lane:
    """A running fork server of one tier.

    All processes of a lane share one core: they take turns, and waking one on another core costs more than it gains.

    Args:
        tier: how it is confined.
        index: of the lane, which chooses the core.

    Raises:
        tiers.SandboxUnavailable: it does not start.
    """

    def __init__(self, tier: Tier, index: int) -> None:
        arguments, root = tiers.command(tier)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            cores = sorted(os.sched_getaffinity(0))
            lockdown = tiers.LOCKDOWN[tier]
            settings = {
                "control": theirs.fileno(),
                "core": cores[(os.getpid() + index) % len(cores)],  # judges of other processes start elsewhere
                "lockdown": lockdown,
                "readable": tiers.readable() if lockdown == "landlock" else [],
                "listable": tiers.listable() if lockdown == "landlock" else [],
                "root": root,
            }
            try:
                self._process = subprocess.Popen(
                    [*arguments, json.dumps(settings)], pass_fds=[theirs.fileno()], env=tiers.ENVIRONMENT, cwd="/",
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                self._control.close()
                raise tiers.SandboxUnavailable(f"tier {tier}: the fork server does not start: {error}") from error
        if not self._says_ready():
            self._process.kill()
            words = self._process.communicate()[1].decode(errors="replace").strip().splitlines()
            self.close()
            raise tiers.SandboxUnavailable(f"tier {tier}: {words[-1] if words else 'the fork server does not start'}")

    def _says_ready(self) -> bool:
        self._control.settimeout(_START_SECONDS)
        try:
            return self._control.recv(64) == READY
        except OSError:
            return False
        finally:
            self._control.settimeout(None)

    def run(self, limits: Limits, source: str, tests: Tests | None, stdin: bytes = b"") -> Outcome:
        """Run a program, and the tests that talk to it, to the end of both.

        Args:
            limits: of each of the two processes.
            source: of the program.
            tests: what calls it; None for a script.
            stdin: what a script reads from standard input.

        Raises:
            LaneBroken: the fork server is gone; start another lane.
        """
        started = time.monotonic()
        opened: list[int] = []

        def keep(descriptor: int) -> int:
            opened.append(descriptor)
            return descriptor

        try:
            link, theirs = (keep(end.detach()) for end in socket.socketpair())
            stdin_file, out, err = keep(_file(stdin)), keep(_file()), keep(_file())
            files = [stdin_file, out, err, theirs, keep(_file(source.encode(errors="surrogatepass")))]
            report = -1
            if tests is not None:
                report, write_end = (keep(end) for end in os.pipe())
                files += [link, keep(_file(marshal.dumps(tests.compiled()))), write_end]
            self._send(limits, files, is_script=tests is None)
            for descriptor in (theirs, *files[5:]):  # so that each end sees when the other one is gone
                opened.remove(descriptor)
                os.close(descriptor)
            ends = self._receive()
            return Outcome(
                program=ends["program"],
                tests=ends.get("tests"),
                report=None if tests is None else read_report(os.read(report, _LONGEST_REPORT)),
                said=() if tests is not None else _said(link),
                stdout=os.pread(out, limits.output_bytes, 0),
                stderr=os.pread(err, limits.output_bytes, 0),
                printed_bytes=max(os.fstat(out).st_size, os.fstat(err).st_size),
                wall_seconds=time.monotonic() - started,
            )
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _send(self, limits: Limits, files: Sequence[int], *, is_script: bool) -> None:
        resources = Resources(limits.cpu_seconds, limits.memory_bytes, limits.stack_bytes, limits.output_bytes,
                              limits.open_files)  # fmt: skip
        message = {"resources": resources._asdict(), "wall_seconds": limits.wall_seconds, "threads": limits.threads,
                   "script": is_script}  # fmt: skip
        try:
            socket.send_fds(self._control, [_json(message)], files)
        except OSError as error:
            raise LaneBroken(f"the fork server does not take the job: {error}") from error

    def _receive(self) -> dict[str, End]:
        try:
            answer = self._control.recv(4096)
        except OSError as error:
            raise LaneBroken(f"the fork server does not answer: {error}") from error
        if not answer:
            raise LaneBroken("the fork server has ended")
        return {name: End(**end) for name, end in json.loads(answer).items()}

    def close(self) -> None:
        """End the fork server and everything that it still runs."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # also where a forked copy of this process holds it
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_SECONDS)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _file(content: bytes = b"") -> int:
    """A file in memory that holds `content`, at its start."""
    descriptor = os.memfd_create("rlbench")
    if content:
        os.write(descriptor, content)  # in memory, so it is written whole
        os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _said(link: int) -> tuple[str, ...]:
    """The frames that are there, two at most."""
    found: list[str] = []
    with contextlib.suppress(Closed, ValueError):
        while len(found) < 2:
            found.append(Channel(link, link).receive(1 << 10).decode(errors="replace"))
    return tuple(found)


def read_report(text: bytes) -> dict[str, Any] | None:
    """The tests' report, or None if there is none that can be read."""
    try:
        report = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return report if isinstance(report, dict) else None
