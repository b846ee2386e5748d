"""What a process does to itself before it looks at anything that nobody trusts.

In this order: resource limits, no new privileges, Landlock, system-call filter. The user id is dropped before, once, by
the process that it is forked from. Any step that fails raises, and then nothing is run.
"""

from __future__ import annotations

import ctypes
import fcntl
import math
import os
import resource
import signal
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rlbench.sandbox.inside import landlock, seccomp

Kind = Literal["landlock", "no-paths", "none"]
NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_CLOSE_RANGE = 436  # the same on every architecture
_OUT_OF_THE_WAY = 128  # number of an open file that no job uses
libc = ctypes.CDLL(None, use_errno=True)


class Resources(NamedTuple):
    """Limits that the kernel enforces on one process."""

    cpu_seconds: float
    memory_bytes: int
    stack_bytes: int
    file_bytes: int
    open_files: int


class Lockdown:
    """Prepared once in the fork server, so that a child has little left to do.

    Args:
        kind: Landlock and filter, the filter without any path, or nothing at all.
        readable: what stays readable under Landlock.
        listable: folders whose names can still be listed.
    """

    def __init__(self, kind: Kind, readable: Sequence[str], listable: Sequence[str]) -> None:
        self.kind = kind
        self.rules = -1
        if kind == "landlock":
            rules = landlock.ruleset(libc, readable, listable)
            self.rules = fcntl.fcntl(rules, fcntl.F_DUPFD, _OUT_OF_THE_WAY)
            os.close(rules)
        self._filter = None
        if kind != "none":
            machine = seccomp.this_machine()
            self._filter = seccomp.Filter(lambda pid: seccomp.filter_program(machine, pid, paths=kind == "landlock"))

    def enter(self, resources: Resources, parent: int) -> None:
        """Confine this process, a child of process `parent` with nothing open but its own files.

        Raises:
            OSError: a step failed; nothing may be run then.
        """
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
            raise OSError("the fork server is gone")
        limit(resources)
        if self._filter is None:
            return
        seccomp.forbid_new_privileges(libc)
        if self.kind == "landlock":
            landlock.restrict(libc, self.rules)
            os.close(self.rules)
        self._filter.install(libc, os.getpid())


def close_range(first: int, last: int) -> None:
    """Close every open file from number `first` to `last`.

    Raises:
        OSError: the kernel cannot (older than 5.9).
    """
    if first <= last and libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0) != 0:
        raise OSError(ctypes.get_errno(), "close_range")


def limit(resources: Resources) -> None:
    """Set the resource limits of this process, soft and hard.

    Raises:
        OSError: one cannot be set.
    """
    wanted = {
        resource.RLIMIT_AS: resources.memory_bytes,
        resource.RLIMIT_STACK: resources.stack_bytes,
        resource.RLIMIT_FSIZE: resources.file_bytes,
        resource.RLIMIT_NOFILE: resources.open_files,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    # The fork server ends it first; without one, SIGXCPU comes at the soft limit and SIGKILL at the hard one.
    seconds = math.ceil(resources.cpu_seconds)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    last = seconds + 2 if hard == resource.RLIM_INFINITY else min(seconds + 2, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (min(seconds + 1, last), last))
    for which, most in wanted.items():
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def become_nobody() -> None:
    """Give up root for good, if this process has it.

    Raises:
        OSError: root it stays.
    """
    if os.geteuid() == 0 or os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if 0 in os.getresuid():
        raise OSError("still root after giving it up")


def hide() -> None:
    """Let no process of the same user look into this one and those forked from it.

    Raises:
        OSError: the kernel refuses.
    """
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
