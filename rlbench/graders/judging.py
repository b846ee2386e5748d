"""The judge of this process and what it has said: opened when needed, asked once about each program, closed at exit."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from typing import Any

from rlbench.graders.memory import REMEMBERED, Memory, key
from rlbench.sandbox import Judge, Limits, Program, Verdict, open_judge
from rlbench.sandbox.admission import Admission, admit

_FLEETING = ("infra_error", "wall_limit")
"""What another try may answer differently: it is asked again every time."""


class Judging:
    """One judge with its memory. Programs are the same if all their fields are.

    Args:
        cpu_seconds: what one program may compute; its wall clock is three times that.
        unsafe: judge without a sandbox, where none can be had.
    """

    def __init__(self, cpu_seconds: float, unsafe: bool) -> None:
        self._limits = Limits(cpu_seconds=cpu_seconds, wall_seconds=3 * cpu_seconds)
        self._unsafe = unsafe
        self._resources = ExitStack()
        self._judge: Judge | None = None
        self._verdicts = Memory[Verdict](REMEMBERED, lasting=lambda verdict: verdict.status not in _FLEETING)
        self._admissions = Memory[Admission](REMEMBERED, lasting=lambda admission: admission.decided)

    def verdicts(self, programs: Sequence[Program], weak: bool = False) -> list[Verdict]:
        """Return one verdict per program, in order; `weak` runs the tests in the program's own process.

        Raises:
            SandboxUnavailable: programs cannot be confined on this machine.
        """

        def ask(new: list[int]) -> list[Verdict]:
            judged = self._open().run_many([programs[position] for position in new], weak=weak)
            # What a program printed is not remembered with its verdict.
            return [replace(verdict, output="") for verdict in judged]

        return self._verdicts.answers([key(program, weak) for program in programs], ask)

    def admissions(self, programs: Sequence[Program]) -> list[Admission]:
        """Say whether the tests of each program, whose source is the reference, can tell right from wrong.

        Raises:
            SandboxUnavailable: programs cannot be confined on this machine.
        """

        def ask(new: list[int]) -> Sequence[Admission]:
            return admit(self._open(), [programs[position] for position in new])

        return self._admissions.answers([key(program) for program in programs], ask)

    def close(self) -> None:
        """End the judge's processes; the next question opens it again."""
        self._judge = None
        self._resources.close()

    def _open(self) -> Judge:
        if self._judge is None:
            # A worker of `rlbench run` is one of as many as there are cores; on a GPU there are few, and free cores.
            alone = parent_process() is None or _on_gpu()
            lanes = None if alone else min(2, len(os.sched_getaffinity(0)))
            self._judge = self._resources.enter_context(
                open_judge(lanes=lanes, limits=self._limits, unsafe=self._unsafe)
            )
        return self._judge


def _on_gpu() -> bool:
    """Whether this process trains on a GPU; torch is not imported to find out."""
    torch: Any = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_available())


def judging(cpu_seconds: float, unsafe: bool) -> Judging:
    """Return this process's judge with these settings. A forked child gets its own."""
    return _judging(cpu_seconds, unsafe, os.getpid())


@cache
def _judging(cpu_seconds: float, unsafe: bool, process: int) -> Judging:
    made = Judging(cpu_seconds, unsafe)
    # Unlike atexit, this also runs at the end of a worker of multiprocessing.
    Finalize(None, made.close, exitpriority=10)
    return made
