"""Tests made ready for the tests' process, once for all programs that are judged by them."""

from __future__ import annotations

import types
from dataclasses import dataclass
from functools import lru_cache

from rlbench.errors import InputError
from rlbench.sandbox.entry_points import free_names
from rlbench.sandbox.inside.splitting import split_tests


@dataclass(frozen=True)
class Tests:
    """What the tests' process reads. Code is compiled here, because it would be compiled for every program there."""

    tests: types.CodeType
    expected: int
    """Assertions in the tests."""
    setup: types.CodeType
    entry_points: tuple[str, ...]
    reply_bytes: int
    weak: bool = False
    source: str = ""
    """The program itself, where the tests run it in their own process (`weak`)."""


@lru_cache(4096)
def prepare(tests: str, setup: str, entry_points: tuple[str, ...], reply_bytes: int) -> Tests:
    """Compile tests and their setup, and find the entry points if none are given.

    Raises:
        InputError: tests or setup are no Python, or an entry point is no name.
    """
    try:
        code, expected = split_tests(tests)
        names = entry_points or free_names(tests, setup)
        before = compile(setup, "setup.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"judge: the tests are no Python: {error}") from error
    wrong = [name for name in names if not name.isidentifier()]
    if wrong:
        raise InputError(f"judge: entry_points: expected names of functions, got {wrong[0]!r:.80}")
    return Tests(code, expected, before, tuple(names), reply_bytes)
