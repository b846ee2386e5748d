"""The process that compares expressions with math-verify, which can hang or exhaust memory. Run as a script.

It imports only the standard library and math-verify. A line of JSON `[gold, answer]` on standard input is answered by
one on standard output: "equal", "different" or "unreadable" (the gold). Comparing takes bounded CPU time and memory:
when they are used up, the system ends this process, which also works inside a computation that does not return.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Eq, Expr, FiniteSet, Float, Interval, MatrixBase, MatrixExpr, Tuple  # type: ignore[import-untyped]

MEMORY_BYTES = 2 << 30
RELATIVE = 5e-6
"""How far equal numbers may be apart where one is written as a decimal; `EXACT` where none is."""
EXACT = 1e-12
_SCIENTIFIC = re.compile(r"(?<![A-Za-z\\])([0-9])[eE]([-+]?[0-9]{1,3})(?![A-Za-z0-9.])")


@lru_cache(maxsize=256)
def read(text: str) -> tuple[Any, ...]:
    """Return the expressions that math-verify reads in a text; empty if it reads none."""
    text = _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", text)
    found = parse(
        f"\\boxed{{{text}}}",
        [LatexExtractionConfig(boxed_match_priority=0)],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return tuple(each for each in found if isinstance(each, (Basic, MatrixBase)))


def compare(gold: str, answer: str) -> str:
    """Return "equal", "different", or "unreadable" for a gold text that math-verify cannot read."""
    golds = read(gold)
    if not golds:
        return "unreadable"
    for mine in golds:
        for theirs in read(answer):
            if verify(mine, theirs, timeout_seconds=None) and close(mine, theirs) and true(theirs):
                return "equal"
    return "different"


def close(gold: Any, answer: Any) -> bool:
    """Whether two expressions that math-verify takes to be equal have the same numbers, also where these are tiny.

    It rounds to decimal places and drops what is below 1e-15, so that any two tiny numbers are equal to it.
    """
    mine, theirs = numbers(gold), numbers(answer)
    if mine is None or theirs is None or len(mine) != len(theirs):
        return True
    tolerance = RELATIVE if gold.has(Float) or answer.has(Float) else EXACT
    return all(
        abs(one - other) <= tolerance * max(abs(one), abs(other)) for one, other in zip(mine, theirs, strict=True)
    )


def true(answer: Any) -> bool:
    """Whether an answer is no equation between numbers that is wrong ("6 = 5")."""
    if not isinstance(answer, Eq):
        return True
    sides = numbers(answer.lhs), numbers(answer.rhs)
    if not all(side is not None and len(side) == 1 for side in sides):
        return True
    (left,), (right,) = sides  # type: ignore[misc]
    return bool(abs(left - right) <= 0.01 * max(abs(left), abs(right)))


def numbers(expression: Any) -> list[Any] | None:
    """Return the value of a number, or the sorted values of a set, tuple, interval or matrix of numbers, else None."""
    parts: list[Any]
    if isinstance(expression, (FiniteSet, Tuple)):
        parts = list(expression.args)
    elif isinstance(expression, Interval):
        parts = [expression.start, expression.end]
    elif isinstance(expression, MatrixBase):
        parts = list(expression.flat())
    else:
        parts = [expression]
    values = []
    for part in parts:
        if not isinstance(part, Expr) or isinstance(part, MatrixExpr) or not part.is_number:
            return None
        value = part.doit().evalf(20)
        if not value.is_finite or not value.is_real:
            return None
        values.append(value)
    return sorted(values)


def main() -> None:
    """Answer questions until standard input ends. The argument is the CPU seconds that one comparison may take."""
    seconds = float(sys.argv[1])
    sys.set_int_max_str_digits(0)  # a long number is stopped by the clock, not by an error
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    compare("x+\\frac{1}{2}", "0.5+x")  # loads the grammar, so that the first question takes no longer
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, 3 * seconds)
        try:
            answer = compare(*json.loads(line))
        except Exception:  # whatever a library makes of hostile text, it is not equal
            answer = "different"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
