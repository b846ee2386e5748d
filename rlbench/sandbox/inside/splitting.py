"""Turns every `assert` of tests into a check that is counted on its own, see `checks`.

Assertions inside `try`, `with` and classes are left as they are, because there somebody may be waiting for the
AssertionError.
"""

from __future__ import annotations

import ast
import types

from rlbench.sandbox.inside.checks import TALLY


def split_tests(source: str) -> tuple[types.CodeType, int]:
    """Return the compiled tests and the number of assertions that are counted.

    Raises:
        SyntaxError: the source is no Python.
        ValueError: it holds a null byte.
    """
    split = _Split()
    tree = ast.fix_missing_locations(split.visit(ast.parse(source)))
    return compile(tree, "tests.py", "exec", dont_inherit=True), split.count


class _Split(ast.NodeTransformer):
    """Replaces `assert test, message` by a counted check."""

    def __init__(self) -> None:
        self.count = 0

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        self.count += 1
        place = ast.Constant(node.lineno)
        handler = ast.ExceptHandler(
            type=ast.Attribute(ast.Name(TALLY, ast.Load()), "Exception", ast.Load()),
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
    method = ast.Attribute(ast.Name(TALLY, ast.Load()), what, ast.Load())
    return ast.Expr(ast.Call(method, list(arguments), []))
