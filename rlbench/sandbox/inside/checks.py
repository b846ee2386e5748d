"""Runs tests and counts what held: every `assert` on its own, every test method of a unittest class, every `test_…`.

An assertion that fails does not keep later ones from being tried.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import Any

TALLY = "__checks__"


class Tally:
    """How many checks held, and the first problem."""

    Exception = Exception

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
        self.completed = False
        self.passed = 0
        self.tried = 0
        self.broken = False
        self.problem = ""

    def held(self) -> None:
        """An assertion held."""
        self.tried += 1
        self.passed += 1

    def broke(self, place: int, message: object = None) -> None:
        """An assertion did not hold."""
        self.tried += 1
        self.broken = True
        self._first(f"the assertion in line {place} of the tests does not hold", message)

    def raised(self, place: int | None, error: BaseException) -> None:
        """The tests, or the program that they called, raised instead."""
        self.tried += 1
        self.broken = self.broken or isinstance(error, AssertionError)
        self._first(f"{type(error).__name__}" + (f" in line {place} of the tests" if place else ""), error)

    def method_failed(self, name: str, message: str, broken: bool) -> None:
        """A test method did not succeed; `broken` if an assertion did not hold."""
        self.tried += 1
        self.broken = self.broken or broken
        self._first(name, message)

    def _first(self, what: str, detail: object) -> None:
        if not self.problem:
            try:
                words = "" if detail is None else str(detail)
            except Exception:
                words = "?"
            self.problem = f"{what}: {words[:200]}" if words else what

    @property
    def total(self) -> int:
        """Checks there are: those tried, and where the tests were cut short, those that were never reached."""
        return self.tried if self.completed else max(self.tried, self.expected, 1)


def run_checks(tests: types.CodeType, expected: int, namespace: dict[str, Any]) -> Tally:
    """Run the tests in `namespace`, with what they call already there. What ends the whole run is let through.

    Args:
        tests: compiled by `splitting.split_tests`.
        expected: how many assertions there are in them.
        namespace: of their module.
    """
    tally = Tally(expected)
    namespace[TALLY] = tally
    try:
        exec(tests, namespace)
        _run_collected(namespace, tally)
        if not tally.tried and not expected:
            tally.held()  # tests that check in their own way, and raise where something is wrong
        tally.completed = tally.tried > 0  # else a program has kept its tests from being reached
    except Exception as error:
        tally.raised(None, error)
    return tally


def _run_collected(namespace: Mapping[str, Any], tally: Tally) -> None:
    """Run unittest classes; without any check so far, also functions called `test…`."""
    unittest = sys.modules.get("unittest")  # there only if the tests use it
    cases = [
        each for each in list(namespace.values())
        if unittest and isinstance(each, type) and issubclass(each, unittest.TestCase)
        and each.__module__ == namespace["__name__"]
    ]  # fmt: skip
    for case in cases:
        assert unittest is not None
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
        count, result = suite.countTestCases(), unittest.TestResult()
        suite.run(result)
        problems = result.failures + result.errors
        others = len(result.skipped) + len(result.unexpectedSuccesses)
        held = max(0, result.testsRun - len(problems) - others)
        for _ in range(held):
            tally.held()
        for test, text in (problems + [(case.__name__, "did not run")] * count)[: count - held]:
            tally.method_failed(str(test), text.strip().splitlines()[-1], bool(result.failures))
    if not cases and not tally.tried:
        functions = [
            name for name, each in namespace.items() if name.startswith("test") and _is_theirs(each, namespace)
        ]
        for name in functions:
            before = tally.tried
            namespace[name]()
            if tally.tried == before:
                tally.held()


def _is_theirs(value: object, namespace: Mapping[str, Any]) -> bool:
    """Whether it is a function of the tests themselves, not a proxy for one of the program."""
    return isinstance(value, types.FunctionType) and value.__globals__ is namespace
