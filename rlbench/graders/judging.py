"""The judge of this process and what it has said: opened when needed, asked once about each program, closed at exit."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from typing import Any, TypeVar

from rlbench.sandbox import Judge, Limits, Program, Verdict, open_judge
from rlbench.sandbox.admission import Admission, admit

REMEMBERED = 65_536
"""Verdicts that are kept, without the program's output."""
_FLEETING = ("infra_error", "wall_limit")
"""What another try may answer differently: it is asked again every time."""

Answer = TypeVar("Answer")


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
        self._verdicts: dict[bytes, Verdict] = {}
        self._admissions: dict[bytes, Admission] = {}

    def verdicts(self, programs: Sequence[Program], weak: bool = False) -> list[Verdict]:
        """Return one verdict per program, in order; `weak` runs the tests in the program's own process.

        Raises:
            SandboxUnavailable: programs cannot be confined on this machine.
        """

        def ask(new: list[Program]) -> list[Verdict]:
            return [replace(verdict, output="") for verdict in self._open().run_many(new, weak=weak)]

        return _remembered(
            self._verdicts, programs, ask, lambda each: each.status not in _FLEETING, b"w" if weak else b""
        )

    def admissions(self, programs: Sequence[Program]) -> list[Admission]:
        """Say whether the tests of each program, whose source is the reference, can tell right from wrong.

        Raises:
            SandboxUnavailable: programs cannot be confined on this machine.
        """
        return _remembered(self._admissions, programs, lambda new: admit(self._open(), new), lambda each: each.decided)

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


def _remembered(
    memory: dict[bytes, Answer],
    programs: Sequence[Program],
    ask: Callable[[list[Program]], Sequence[Answer]],
    lasting: Callable[[Answer], bool],
    kind: bytes = b"",
) -> list[Answer]:
    """Answer from memory where possible and ask once about each program that is new; the oldest are forgotten."""
    keys = [kind + hashlib.sha256(repr(program).encode()).digest() for program in programs]
    known = {key: memory[key] for key in keys if key in memory}
    new = {key: program for key, program in zip(keys, programs, strict=True) if key not in known}
    if new:
        known |= zip(new, ask(list(new.values())), strict=True)
    for key, answer in known.items():
        memory.pop(key, None)  # what is asked about again becomes the youngest
        if lasting(answer):
            memory[key] = answer
    for key in list(memory)[: max(0, len(memory) - REMEMBERED)]:
        del memory[key]
    return [known[key] for key in keys]
