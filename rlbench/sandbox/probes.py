"""What no program may be able to do: each function tries it and returns "refused" if that was prevented.

The self-test hands this very file to the judge as a program, so it uses nothing but the standard library. The functions
are told where there is something to find: a file, a folder, a port and a local socket of the judge, and its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import socket
import time
from pathlib import Path

REFUSED = "refused"


def read_a_file(file: str) -> str:
    """Read a file outside of the sandbox."""
    try:
        return Path(file).read_text()
    except OSError:
        return REFUSED


def write_a_file(folder: str) -> str:
    """Make a file or a folder somewhere."""
    for place in (folder, "/tmp", "/dev/shm", "/var/tmp", "."):
        with contextlib.suppress(OSError):
            (Path(place) / "rlbench-probe").write_text("written")
            return f"wrote in {place}"
        with contextlib.suppress(OSError):
            (Path(place) / "rlbench-probe").mkdir()
            return f"made a folder in {place}"
    return REFUSED


def start_a_process() -> str:
    """Fork."""
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError:
        return REFUSED
    return "forked"


def run_a_command() -> str:
    """Become another program."""
    try:
        os.execv("/bin/sh", ["sh", "-c", "exit 0"])
    except OSError:
        return REFUSED


def connect_to_a_port(port: int) -> str:
    """Reach a server over TCP."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return REFUSED
    return "connected"


def connect_to_a_local_socket(name: str) -> str:
    """Reach a server through an abstract socket, which needs no file."""
    try:
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(name)
    except OSError:
        return REFUSED
    return "connected"


def signal_a_process(pid: int) -> str:
    """Signal the judge, the parent or everybody. Signal 0 does no harm."""
    for process in (pid, os.getppid(), -1):
        with contextlib.suppress(OSError):
            os.kill(process, 0)
            return f"signalled {process}"
    return REFUSED


def read_memory(pid: int) -> str:
    """Read the memory of the judge or of the parent."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    for process in (pid, os.getppid()):
        if libc.process_vm_readv(process, words, 1, words, 1, 0) >= 0 or ctypes.get_errno() not in (1, 3, 38):
            return f"read process {process}"  # neither forbidden, nor no such process, nor no such call
    return REFUSED


def learn_a_secret(pid: int) -> str:
    """Be root, or see the environment of the judge."""
    if 0 in (os.getuid(), os.geteuid()):
        return "is root"
    inherited = set(os.environ) - {"PYTHONHASHSEED", "MALLOC_ARENA_MAX", "PWD", "LC_CTYPE"}
    if inherited:
        return f"sees {min(inherited)}"
    for process in (pid, os.getppid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/environ").read_bytes():
                return f"reads the environment of process {process}"
    return REFUSED


def inherit_a_secret(variable: str) -> str:
    """See a variable of the judge's environment."""
    return "sees the environment of the judge" if variable in os.environ else REFUSED


def use_memory() -> str:
    """Take more memory than the limit."""
    return f"has {len(bytearray(1 << 30))} bytes"


def use_cpu_time() -> str:
    """Compute for longer than the limit."""
    while time.process_time() < 5:
        pass
    return "computed for 5 seconds"


def raise_a_limit() -> str:
    """Set a resource limit anew."""
    for limit in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, resource.getrlimit(limit))
            return "set a limit"
    return REFUSED
