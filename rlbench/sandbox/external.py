"""Tier D: every process of a job is started by a command that the user configures and trusts to confine it.

The command (`RLBENCH_SANDBOX_RUNNER`, such as `docker run --rm -i --network none --read-only python:3.11-slim`) is
followed by `python3 …`. Its standard input and output are the channel between program and tests, which the judge relays
without looking into it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from rlbench.sandbox.inside.channel import READY
from rlbench.sandbox.inside.lockdown import Resources
from rlbench.sandbox.lane import End, LaneBroken, Outcome, read_report
from rlbench.sandbox.prepared import Tests
from rlbench.sandbox.program import Limits
from rlbench.sandbox.tiers import SandboxUnavailable

RUNNER = "RLBENCH_SANDBOX_RUNNER"
START_SECONDS = 20.0
"""Granted to a runner beyond the limits of the program, for starting a container."""
_END_SECONDS = 5.0
_READY = struct.pack("<I", len(READY)) + READY
_INSIDE = Path(__file__).parent / "inside"
_MODULES = ("channel", "codec", "checks", "splitting", "program_end", "tests_end", "syscalls", "seccomp", "landlock",
            "lockdown", "preload", "external_end")  # fmt: skip
_BOOT = """
import json, os, sys, types
def read(count):
    text = b""
    while len(text) < count:
        part = os.read(0, count - len(text))
        if not part: sys.exit("the judge is gone")
        text += part
    return text
work = json.loads(read(int(read(10))))
for name, source in work.pop("modules"):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["rlbench.sandbox.inside.external_end"].main(work)
"""


class ExternalLane:
    """Runs jobs through the configured command, as `Lane` does through a fork server.

    Raises:
        SandboxUnavailable: no command is configured.
    """

    def __init__(self) -> None:
        command = shlex.split(os.environ.get(RUNNER, ""))
        if not command:
            raise SandboxUnavailable(f"tier D: no runner is configured; set {RUNNER} (docs/sandbox.md)")
        self._command = [*command, "python3", "-s", "-S", "-B", "-X", "utf8", "-c", _BOOT]
        packages = [[f"rlbench{rest}", ""] for rest in ("", ".sandbox", ".sandbox.inside")]
        modules = [[f"rlbench.sandbox.inside.{name}", (_INSIDE / f"{name}.py").read_text()] for name in _MODULES]
        self._modules = packages + modules

    def run(self, limits: Limits, source: str, tests: Tests | None, stdin: bytes = b"") -> Outcome:
        """Run a program, and the tests that talk to it, to the end of both; see `Lane.run`.

        Raises:
            LaneBroken: the command cannot be started.
        """
        started = time.monotonic()
        if tests is None:
            text = stdin.decode(errors="surrogatepass")
            program, judging = self._start(limits, "script", {"source": source, "stdin": text}), None
            program.gather("stdout", limits.output_bytes + len(_READY))
        else:
            program = self._start(limits, "program", {"source": source})
            judging = self._start(limits, "tests", tests.text())
            program.relay_to(judging)
            judging.relay_to(program)
        deadline = started + limits.wall_seconds + START_SECONDS
        last = (judging or program).end(deadline)
        first = program.end(0.0 if judging else deadline)
        stdout, stderr = program.printed["stdout"], program.printed["stderr"]
        return Outcome(
            program=first,
            tests=last if judging else None,
            report=read_report(judging.printed["stderr"]) if judging else None,
            said=(READY.decode(),) if stdout.startswith(_READY) else (),
            stdout=stdout.removeprefix(_READY),
            stderr=stderr,
            printed_bytes=max(len(stdout), len(stderr)),
            wall_seconds=time.monotonic() - started,
        )

    def _start(self, limits: Limits, role: str, job: Mapping[str, Any]) -> _Process:
        resources = Resources(limits.cpu_seconds - 1, limits.memory_bytes, limits.stack_bytes, limits.output_bytes,
                              limits.open_files)  # fmt: skip
        seconds = limits.wall_seconds + START_SECONDS / 2
        work = {"role": role, "job": job, "resources": resources._asdict(), "seconds": seconds,
                "modules": self._modules}  # fmt: skip
        try:
            process = _Process(self._command, json.dumps(work).encode())
        except OSError as error:
            raise LaneBroken(f"{RUNNER}: the command cannot be started: {error}") from error
        process.gather("stderr", limits.output_bytes)
        return process

    def close(self) -> None:
        """Nothing is left to end: every process belongs to a job."""


class _Process:
    """A process under the runner, with threads that read what it writes so that it never waits for the judge."""

    def __init__(self, command: list[str], work: bytes) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self._threads: list[threading.Thread] = []
        self._work = b"%010d" % len(work) + work
        self._feeding = self._in_background(self._feed)
        self.printed = {"stdout": b"", "stderr": b""}

    def _in_background(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _feed(self) -> None:
        self._write(self._work)

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def gather(self, name: Literal["stdout", "stderr"], most: int) -> None:
        """Keep up to `most` bytes of what it writes there, and read the rest without keeping it."""
        stream = getattr(self._process, name)

        def read() -> None:
            while part := stream.read1(1 << 16):
                self.printed[name] += part[: most - len(self.printed[name])]

        self._in_background(read)

    def relay_to(self, other: _Process) -> None:
        """Hand everything that it writes to the other one, and hang up when it has ended."""
        stream = self._process.stdout
        assert isinstance(stream, io.BufferedReader)

        def copy() -> None:
            other._feeding.join()
            while part := stream.read1(1 << 16):
                other._write(part)
            with contextlib.suppress(OSError, ValueError):
                assert other._process.stdin is not None
                other._process.stdin.close()

        self._in_background(copy)

    def end(self, deadline: float) -> End:
        """Wait until the deadline, end it if it has not ended, and say how it ended."""
        killed = ""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            killed = "wall" if deadline else "done"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for thread in self._threads:
            thread.join(timeout=_END_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()
        code = self._process.returncode
        # Runners report the signal that ended their program as 128 + its number, as shells do.
        if code - 128 in signal.valid_signals():
            return End(killed, code - 128, 0.0)
        return End(killed, -code if code < 0 else code << 8, 0.0)
