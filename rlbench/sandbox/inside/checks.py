"""Runs tests and counts what held: every `assert` on its own, every test method of a unittest class, every `test_…`.

An assertion that fails does not keep later ones from being tried. Assertions inside `try`, `with` and classes are left
as they are, because there somebody may be waiting for the AssertionError.
"""

from __future__ import annotations

import ast
import types
import unittest
from collections.abc import Mapping
from typing import Any

_TALLY = "__checks__"


class Tally:
    """How many checks held, and the first problem."""

    Exception = Exception

    def __init__(self, expected: int = 0) -> None:
        self.expected = expected
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

    def _first(self, what: str, detail: object) -> None:
        if not self.problem:
            try:
                words = "" if detail is None else str(detail)
            except Exception:
                words = "?"
            self.problem = f"{what}: {words[:200]}" if words else what

    @property
    def total(self) -> int:
        """Checks there are: those tried, and those that were never reached."""
        return max(self.tried, self.expected, 1)


def run_checks(source: str, namespace: dict[str, Any]) -> Tally:
    """Run the tests in `namespace`, with what they call already there. What ends the whole run is let through."""
    tree = ast.parse(source)
    split = _Split()
    tree = ast.fix_missing_locations(split.visit(tree))
    tally = Tally(split.count)
    namespace[_TALLY] = tally
    try:
        exec(compile(tree, "tests.py", "exec", dont_inherit=True), namespace)
        _run_collected(namespace, tally)
    except Exception as error:
        tally.raised(None, error)
    return tally


def _run_collected(namespace: Mapping[str, Any], tally: Tally) -> None:
    """Run unittest classes; without any check so far, also functions called `test…`."""
    cases = [
        each for each in list(namespace.values())
        if isinstance(each, type) and issubclass(each, unittest.TestCase) and each.__module__ == namespace["__name__"]
    ]  # fmt: skip
    for case in cases:
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            result = unittest.TestResult()
            test.run(result)
            if result.wasSuccessful() and result.testsRun and not result.skipped:
                tally.held()
                continue
            tally.tried += 1
            tally.broken = tally.broken or bool(result.failures)
            words = [text for _, text in result.failures + result.errors]
            tally._first(f"{test.id()}", words[0].strip().splitlines()[-1] if words else "did not run")
    if not cases and not tally.tried:
        functions = [name for name, each in namespace.items() if name.startswith("test") and _is_function(each)]
        for name in functions:
            before = tally.tried
            namespace[name]()
            if tally.tried == before:
                tally.held()


def _is_function(value: object) -> bool:
    return isinstance(value, types.FunctionType)


class _Split(ast.NodeTransformer):
    """Replaces `assert test, message` by a counted check."""

    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        self.count += 1
        place = ast.Constant(node.lineno)
        handler = ast.ExceptHandler(
            type=ast.Attribute(ast.Name(_TALLY, ast.Load()), "Exception", ast.Load()),
            name="__problem__",
            body=[_tell("raised", place, ast.Name("__problem__", ast.Load()))],
        )
        message = [node.msg] if node.msg is not None else []
        test = ast.If(test=node.test, body=[_tell("held")], orelse=[_tell("broke", place, *message)])
        return ast.copy_location(ast.Try(body=[test], handlers=[handler], orelse=[], finalbody=[]), node)

    def _leave(self, node: ast.AST) -> ast.AST:
        return node

    visit_Try = visit_TryStar = visit_With = visit_AsyncWith = visit_ClassDef = _leave


def _tell(what: str, *arguments: ast.expr) -> ast.Expr:
    method = ast.Attribute(ast.Name(_TALLY, ast.Load()), what, ast.Load())
    return ast.Expr(ast.Call(method, list(arguments), []))
