"""Tests made ready for the tests' process, once for all programs that are judged by them."""

from __future__ import annotations

import threading
import types
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rlbench.errors import InputError
from rlbench.sandbox.entry_points import free_names
from rlbench.sandbox.inside.splitting import split_tests

_PARSER = threading.Lock()  # in Python 3.11 two threads that build syntax trees at a time can fail with a SystemError


@dataclass(frozen=True)
class Tests:
    """What the tests' process reads. `source` is the program itself, where they run it in their own process (`weak`).

    Code is compiled here, because there it would be compiled for every program.
    """

    tests: str
    setup: str
    entry_points: tuple[str, ...]
    reply_bytes: int
    code: tuple[types.CodeType, types.CodeType] = field(repr=False)
    """Of the tests and of the setup."""
    expected: int
    """Assertions in the tests."""
    derived: bool
    """The entry points were found in the tests; what the setup defines is none of them."""
    weak: bool = False
    source: str = ""
    seed: str = ""
    """Of the random numbers that tests draw. Programs must not know it."""

    def compiled(self) -> dict[str, Any]:
        """The job of a tests' process that has this very Python."""
        return self._job() | {"tests": self.code[0], "setup": self.code[1], "expected": self.expected}

    def text(self) -> dict[str, Any]:
        """The job of a tests' process that may have another Python."""
        return self._job() | {"tests": self.tests, "setup": self.setup}

    def _job(self) -> dict[str, Any]:
        return {
            "entry_points": self.entry_points,
            "derived": self.derived,
            "reply_bytes": self.reply_bytes,
            "weak": self.weak,
            "source": self.source,
            "seed": self.seed,
        }


@lru_cache(512)
def prepare(tests: str, setup: str, entry_points: tuple[str, ...], reply_bytes: int) -> Tests:
    """Compile tests and their setup, and find the entry points if none are given.

    Raises:
        InputError: tests or setup are no Python, or an entry point is no name.
    """
    try:
        with _PARSER:
            code, expected = split_tests(tests)
            names = entry_points or free_names(tests, setup)
            before = compile(setup, "setup.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"judge: the tests are no Python: {error}") from error
    wrong = [name for name in names if not name.isidentifier()]
    if wrong:
        raise InputError(f"judge: entry_points: expected names of functions, got {wrong[0]!r:.80}")
    return Tests(tests, setup, tuple(names), reply_bytes, (code, before), expected, derived=not entry_points)
