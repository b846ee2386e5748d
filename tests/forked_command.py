"""The command line in a process that is forked from one which has everything imported: it starts at once.

A new interpreter spends seconds of CPU on importing torch and its friends, twice: for the command and for the server of
its workers. Here both are forks. All else is as usual: the command leads a process group of its own, in which its
server and its workers live, and it can be killed with them or without them.
"""

import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from itertools import pairwise
from multiprocessing import util
from pathlib import Path

import rlbench.cli.run
import rlbench.running  # noqa: F401 - what a test does beside a command must start at once, too
from rlbench.execution.local import warm_up

_spawn = util.spawnv_passfds


class ForkedCommand:
    """`rlbench` with some arguments, as far as a test needs what `subprocess.Popen` offers."""

    def __init__(self, arguments, folder, environment):
        self._outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        warm_up()
        self._process = multiprocessing.get_context("forkserver").Process(
            target=_serve, args=(list(map(str, arguments)), self._outputs, environment)
        )
        self._process.start()
        self.pid = self._process.pid
        while self.poll() is None and os.getpgid(self.pid) != self.pid:
            time.sleep(0.001)  # until then it could not be killed as a group

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def communicate(self, timeout=None):
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("rlbench", timeout)
        return tuple(path.read_text() if path.exists() else "" for path in self._outputs)


def _serve(arguments, outputs, environment):
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(environment)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["rlbench", *arguments]
    util.spawnv_passfds = _fork_server
    from rlbench.cli.main import main

    os.setsid()
    main()


def _fork_server(path, command, kept):
    """What multiprocessing starts a server of workers with, but as a fork. It keeps no file but those it is given."""
    if "forkserver" not in command[-1]:
        return _spawn(path, command, kept)
    child = os.fork()
    if child:
        return child
    try:
        for low, high in pairwise([2, *sorted(kept), os.sysconf("SC_OPEN_MAX")]):
            os.closerange(low + 1, high)
        exec(command[-1], {})
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(0)
