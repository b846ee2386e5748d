"""Compares expressions with math-verify in a process of its own, which is replaced when it hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Literal

from rlbench.errors import InputError
from rlbench.graders.memory import Memory, key

Comparison = Literal["equal", "different", "unreadable", "timeout", "wall"]
_WORKER = Path(__file__).with_name("maths_worker.py")
_OVER: dict[int, Comparison] = {-signal.SIGPROF: "timeout", -signal.SIGALRM: "wall"}


class Algebra:
    """One worker with its memory. It is started when it is needed.

    Args:
        seconds: what one comparison may compute; its wall clock is three times that.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._worker: subprocess.Popen[str] | None = None
        # What hung on the wall clock may only have waited for other processes: it is asked again, once.
        self._memory = Memory[Comparison](lasting=lambda comparison: comparison != "wall")
        self._hung: set[bytes] = set()

    def compare(self, gold: str, answer: str) -> Comparison:
        """Say whether `answer` equals `gold`; math-verify's notion of equality is not symmetric.

        Returns:
            "equal" or "different"; "unreadable" if the gold cannot be read; "wall" if the comparison was stopped on
            the wall clock; "timeout" if it was stopped for its CPU time, or on the wall clock a second time.

        Raises:
            InputError: math-verify does not start.
        """

        question = key(gold, answer)

        def ask(_: Sequence[int]) -> list[Comparison]:
            comparison = self._ask(gold, answer)
            again = comparison == "wall" and question in self._hung
            if comparison == "wall":
                self._hung.add(question)
            return ["timeout" if again else comparison]

        return self._memory.answers([question], ask)[0]

    def close(self) -> None:
        """End the worker; the next question starts another."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()
            worker.communicate()

    def _ask(self, gold: str, answer: str) -> Comparison:
        try:
            return self._answer(self._worker or self._start(), gold, answer)
        except BaseException:
            self.close()  # else the answer to a question that was interrupted would be read as that to the next
            raise

    def _answer(self, worker: subprocess.Popen[str], gold: str, answer: str) -> Comparison:
        assert worker.stdin is not None
        assert worker.stdout is not None
        try:
            print(json.dumps([gold, answer]), file=worker.stdin, flush=True)
            said = worker.stdout.readline()
        except BrokenPipeError:
            said = ""
        if said:
            comparison: Comparison = json.loads(said)
            return comparison
        ended = worker.wait()
        self.close()
        # A worker that ended otherwise ran out of memory or crashed; nothing equal does that.
        return _OVER.get(ended, "different")

    def _start(self) -> subprocess.Popen[str]:
        # Without -P the folder of the script, which has a module `numbers`, would come before the standard library.
        self._worker = subprocess.Popen(
            [sys.executable, "-P", str(_WORKER), str(self._seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8",
            env=os.environ | {"PYTHONHASHSEED": "0"}, start_new_session=True,
        )  # fmt: skip
        assert self._worker.stdout is not None
        if not self._worker.stdout.readline():
            raise InputError(
                "grader 'maths': math-verify does not start; "
                "try `python -c 'import math_verify'` and pip install 'rlbench[maths]'"
            )
        return self._worker


def algebra(seconds: float) -> Algebra:
    """Return this process's worker with this limit. A forked child gets its own."""
    return _algebra(seconds, os.getpid())


@cache
def _algebra(seconds: float, process: int) -> Algebra:
    made = Algebra(seconds)
    # Unlike atexit, this also runs at the end of a worker of multiprocessing.
    Finalize(None, made.close, exitpriority=10)
    return made
