"""Which functions of the program tests call: the names that they use and nothing else defines."""

from __future__ import annotations

import ast
import builtins

_IMPLICIT = {"__name__", "__file__", "__doc__", *vars(builtins)}


def free_names(tests: str, setup: str = "") -> tuple[str, ...]:
    """Return the names that `tests` use in the order of their first use, but neither they nor `setup` define.

    Where there is none, the builtin that they call, if it is one only: the program then has a function of that name.

    Raises:
        SyntaxError: one of the two is no Python.
    """
    tree = ast.parse(tests)
    bound = _bound(tree) | _bound(ast.parse(setup)) | _IMPLICIT
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    free, builtin = _in_order([each for each in used if each.id not in bound]), _in_order(called)
    return free or (builtin if len(builtin) == 1 else ())


def _in_order(names: list[ast.Name]) -> tuple[str, ...]:
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(node.id for node in names))


def _bound(tree: ast.AST) -> set[str]:
    """Every name that is bound anywhere in the code: scopes are not told apart."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
    return found
