"""The end of a job under an external runner, which confines it. Standard input and output are the channel."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

from rlbench.sandbox.inside import program_end, tests_end
from rlbench.sandbox.inside.channel import READY, Channel
from rlbench.sandbox.inside.lockdown import Resources, limit
from rlbench.sandbox.inside.preload import preload
from rlbench.sandbox.inside.splitting import split_tests


def main(work: dict[str, Any]) -> None:
    """Be the `role` of `work`: "program" prints to standard error, "script" to where scripts print, "tests" report."""
    preload(everything=False)
    _supervise(work["seconds"])
    limit(Resources(**work["resources"]))
    nothing = os.open("/dev/null", os.O_RDWR)
    link = Channel(os.dup(0), os.dup(1))
    job = work["job"]
    source = job.get("source", "").encode(errors="surrogatepass")
    random.seed(0)
    status = 0
    if work["role"] == "script":
        link.send(READY)
        os.dup2(_file(job["stdin"].encode(errors="surrogatepass")), 0)
        status = program_end.run_as_script(link, source)
    elif work["role"] == "program":
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        link.send(READY)
        program_end.serve(link, source)
    else:
        report = os.dup(2)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        tests, expected = split_tests(job["tests"])
        setup = compile(job["setup"], "setup.py", "exec", dont_inherit=True)
        tests_end.serve(link, report, job | {"tests": tests, "setup": setup, "expected": expected})
    os._exit(status)


def _supervise(seconds: float) -> None:
    """Go on in a child, and end it after so many seconds: killing the runner may not reach what it has started.

    The status says truthfully how the child ended: 128 + the number of its signal, and less for one of its own.
    """
    child = os.fork()
    if child == 0:
        return
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else min(os.WEXITSTATUS(status), 127))


def _file(content: bytes) -> int:
    """A file in memory that holds `content`."""
    descriptor = os.memfd_create("stdin")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
