"""Fills the `tests:` of a task.yaml with the fields of a row, and checks what comes out."""

from __future__ import annotations

import ast
import warnings

from rlbench.errors import InputError
from rlbench.records import UnitTests
from rlbench.tasks.definition import Tests
from rlbench.tasks.rows import Row
from rlbench.tasks.template import fill, fill_all


def unit_tests(spec: Tests, row: Row) -> UnitTests:
    """Return the unit tests of one row.

    Raises:
        InputError: a field is missing or no text, the tests or their setup are no Python, a name is no identifier, or
            there are not as many outputs as inputs.
    """
    starter = fill(spec.starter, row.fields, row.where)
    if spec.code is None:
        return UnitTests(cases=_cases(spec, row), starter=starter)
    code = "\n".join(fill_all((spec.code,), row.fields, row.where))
    if not code.strip():
        raise InputError(f"{row.where}: the tests are empty; expected Python code in tests.code")
    setup = fill(spec.setup, row.fields, row.where)
    _check_python(code, "tests.code", row.where)
    _check_python(setup, "tests.setup", row.where)
    names = () if spec.entry_point is None else fill_all((spec.entry_point,), row.fields, row.where)
    for name in names:
        if not name.isidentifier():
            raise InputError(f"{row.where}: tests.entry_point is {name!r}; expected the name of a function or class")
    return UnitTests(code=code, entry_points=names, setup=setup, starter=starter)


def _cases(spec: Tests, row: Row) -> tuple[tuple[str, str], ...]:
    assert spec.inputs is not None
    assert spec.outputs is not None
    inputs, outputs = (fill_all((each,), row.fields, row.where) for each in (spec.inputs, spec.outputs))
    if len(inputs) != len(outputs):
        raise InputError(f"{row.where}: {len(inputs)} inputs but {len(outputs)} outputs; expected one output per input")
    if not inputs:
        raise InputError(f"{row.where}: there are no inputs; expected at least one with its output")
    return tuple(zip(inputs, outputs, strict=True))


def _check_python(code: str, key: str, where: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes, which old tests are full of
            ast.parse(code)
    except SyntaxError as error:
        line = f", its line {error.lineno}" if error.lineno else ""
        raise InputError(f"{where}: {key} is not valid Python: {error.msg}{line}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{where}: {key} is not valid Python: {error or type(error).__name__}") from error
