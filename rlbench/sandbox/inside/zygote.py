"""The fork server of one lane: forks the two ends of a job, watches them, and says how they ended.

It never reads a job. Its children read their own, after they have confined themselves. It is single-threaded, so a fork
is safe, and it lives in the same sandbox as its children.

Messages on the control socket: a JSON object with the limits, and the open files of a job in the order of
`PROGRAM_FILES` and `TESTS_FILES`; back comes a JSON object with the `End` of every child. When the socket closes,
everything ends.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import gc
import json
import marshal
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from rlbench.sandbox.inside import program_end, tests_end
from rlbench.sandbox.inside.channel import READY, Channel, Closed
from rlbench.sandbox.inside.lockdown import Lockdown, Resources, become_nobody, close_range, hide
from rlbench.sandbox.inside.preload import preload

PROGRAM_FILES = ("stdin", "stdout", "stderr", "link", "job")  # numbers 0 to 4 of the program
TESTS_FILES = ("link", "job", "report")  # numbers 3 to 5 of the tests
NOT_CONFINED = 120
_TICK = 0.05
_SPARE, _LAST = 64, 1 << 20  # numbers of open files


class End(NamedTuple):
    """How a child ended: `killed` says why the fork server ended it ("" if it did not), `status` is that of wait4."""

    killed: str
    status: int
    cpu_seconds: float


class Child:
    """One forked process and what it may use."""

    def __init__(self, pid: int, cpu_seconds: float, threads: int) -> None:
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.cpu_seconds = cpu_seconds
        self.threads = threads
        self.killed = ""

    def kill(self, why: str) -> None:
        """End it, if nothing has yet."""
        if not self.killed:
            self.killed = why
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def check(self, blocked_seconds: float) -> float:
        """Kill it if it has used up a limit, and return after how many seconds to look again.

        Args:
            blocked_seconds: left of the wall clock.
        """
        try:
            used = time.clock_gettime((~self.pid << 3) | 2)  # the CPU clock of another process
        except OSError:  # it has just ended
            return _TICK
        if used > self.cpu_seconds:
            self.kill("cpu")
        elif blocked_seconds <= 0:
            self.kill("wall")
        elif len(_threads(self.pid)) > self.threads:
            self.kill("threads")
        return min(_TICK, max(0.002, self.cpu_seconds - used))

    def reap(self) -> End:
        """Wait for its end."""
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self.handle)
        return End(self.killed, status, usage.ru_utime + usage.ru_stime)


class Zygote:
    """The fork server, ready to be given jobs."""

    def __init__(self, control: socket.socket, lockdown: Lockdown) -> None:
        self.control = control
        self.lockdown = lockdown
        self.pid = os.getpid()

    def serve(self) -> None:
        """Run jobs, one after the other, until the judge hangs up."""
        while True:
            message, ancillary, _, _ = self.control.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
            if not message:
                return
            files = array.array("i")
            for _, _, data in ancillary:
                files.frombytes(data[: len(data) - len(data) % files.itemsize])
            ends = self._run(json.loads(message), list(files))
            self.control.send(json.dumps({name: end._asdict() for name, end in ends.items()}).encode())

    def _run(self, limits: dict[str, Any], files: list[int]) -> dict[str, End]:
        program, tests = files[: len(PROGRAM_FILES)], files[len(PROGRAM_FILES) :]
        children = {"program": self._fork(limits, program, is_tests=False)}
        if tests:
            children["tests"] = self._fork(limits, tests, is_tests=True)
        for descriptor in files:
            os.close(descriptor)
        return self._watch(children, limits["wall_seconds"])

    def _fork(self, limits: dict[str, Any], mine: Sequence[int], *, is_tests: bool) -> Child:
        pid = os.fork()
        if pid == 0:
            self._child(limits, mine, is_tests=is_tests)
        return Child(pid, limits["resources"]["cpu_seconds"], limits["threads"])

    def _child(self, limits: dict[str, Any], mine: Sequence[int], *, is_tests: bool) -> NoReturn:
        status = NOT_CONFINED
        try:
            nothing = os.open("/dev/null", os.O_RDWR)
            _arrange([nothing] * 3 + list(mine) if is_tests else list(mine), self.lockdown.rules)
            try:
                self.lockdown.enter(Resources(**limits["resources"]), self.pid)
            except (OSError, ValueError) as error:
                _say_unconfined(error, report=5 if is_tests else None)
                raise
            status = 0
            random.seed(0)  # the same program meets the same numbers every time
            if is_tests:
                tests_end.serve(Channel(3, 3), report=5, job=marshal.loads(_read(4)))
            else:
                status = _program(Channel(3, 3), 4, limits["script"])
        except Closed:
            pass
        except BaseException:
            status = status or 1
        finally:
            os._exit(status)

    def _watch(self, children: dict[str, Child], wall_seconds: float) -> dict[str, End]:
        """Wait for all children; the end of the tests is the end of the program."""
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        for child in children.values():
            poll.register(child.handle, select.POLLIN)
        started = time.monotonic()
        waits, ends = dict.fromkeys(children, 0.0), dict[str, End]()
        timeout = min(_TICK, wall_seconds)
        while len(ends) < len(children):
            ready = {descriptor for descriptor, _ in poll.poll(timeout * 1000)}
            for name, child in children.items():
                if name not in ends and child.handle in ready:
                    poll.unregister(child.handle)
                    ends[name] = child.reap()
            running = {name: child for name, child in children.items() if name not in ends}
            if self.control.fileno() in ready:  # the judge is gone
                for child in running.values():
                    child.kill("abandoned")
                    child.reap()
                os._exit(0)
            if "tests" in ends:
                for child in running.values():
                    child.kill("done")
                continue
            timeout = _TICK
            for name, child in running.items():
                waits[name] = max(waits[name], _waited(child.pid))
                left = wall_seconds + sum(waits.values()) - (time.monotonic() - started)
                timeout = min(timeout, child.check(left))
        return ends


def _arrange(files: list[int], keep: int) -> None:
    """Give the files the numbers from 0 on, in order, and close everything else but `keep`."""
    for number, descriptor in enumerate([fcntl.fcntl(each, fcntl.F_DUPFD, _SPARE) for each in files]):
        os.dup2(descriptor, number, inheritable=False)
    if keep < 0:
        close_range(len(files), _LAST)
    else:
        close_range(len(files), keep - 1)
        close_range(keep + 1, _LAST)


def _say_unconfined(error: Exception, report: int | None) -> None:
    """Tell the judge why nothing is run. Nothing that nobody trusts has been read yet."""
    if report is None:
        Channel(3, 3).send(str(error).encode())
    else:
        reason = f"the tests' process could not be confined: {error}"
        os.write(report, json.dumps(tests_end.finding("infra_error", reason)).encode())


def _program(link: Channel, job: int, is_script: bool) -> int:
    """Be the program's end; return the exit status."""
    link.send(READY)
    source = _read(job)
    if is_script:
        return program_end.run_as_script(link, source)
    program_end.serve(link, source)
    return 0


def _read(job: int) -> bytes:
    """Read and close the job's file."""
    parts = []
    while part := os.read(job, 1 << 16):  # its size is not asked for: where paths are refused, so is fstat
        parts.append(part)
    os.close(job)
    return b"".join(parts)


def _threads(pid: int) -> list[str]:
    """The folders of its threads under /proc."""
    with contextlib.suppress(OSError):
        return [f"/proc/{pid}/task/{number}" for number in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208
    return []


def _waited(pid: int) -> float:
    """Seconds for which a thread of it could have run but had no core; 0 where the kernel does not say."""
    waits = [0]
    for thread in _threads(pid):
        with contextlib.suppress(OSError, IndexError, ValueError), open(f"{thread}/schedstat", "rb") as stream:  # noqa: PTH123
            waits.append(int(stream.read().split()[1]))
    return max(waits) / 1e9


def _open_to_all(path: str) -> bool:
    """Whether every user may read this file, as far as the folders above it go."""
    while path != "/":
        path = os.path.dirname(path)  # noqa: PTH120
        if not os.stat(path).st_mode & 1:  # noqa: PTH116
            return False
    return True


def main() -> None:
    """Start the fork server. `argv[1]` is a JSON object: `control` socket, `core`, `lockdown`, `readable`, …"""
    settings = json.loads(sys.argv[1])
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {settings["core"]})
    preload(everything=settings["lockdown"] == "no-paths" or not _open_to_all(os.__file__))
    # Short of memory, the kernel then ends a program and never the trainer.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:  # noqa: PTH123
        stream.write("1000")
    lockdown = Lockdown(settings["lockdown"], settings["readable"], settings["listable"])
    if settings["lockdown"] != "none":
        become_nobody()
        hide()
    sys.path[:] = [path for path in sys.path if path != settings["root"]]
    sys.argv[:] = ["program.py"]
    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(which, signal.SIG_DFL)
    control = socket.socket(fileno=settings["control"])
    gc.collect()
    gc.freeze()
    control.send(READY)
    Zygote(control, lockdown).serve()
