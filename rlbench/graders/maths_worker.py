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
from itertools import accumulate
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Expr, FiniteSet, Float, Interval, MatrixBase, MatrixExpr, Tuple  # type: ignore[import-untyped]

MEMORY_BYTES = 2 << 30
RELATIVE = 5e-6
"""How far equal numbers may be apart where one is written as a decimal; `EXACT` where none is."""
EXACT = 1e-12
EQUATED, APPROXIMATE = 0.01, 0.05
"""How far the sides of an equation (=, or approximately so) may be apart, for they are rounded at will."""
_APPROXIMATELY = re.compile(r"\\(?:approx|simeq)(?![A-Za-z])|[≈≃]")
_RELATION = re.compile(rf"(?<![<>!:=])=(?!=)|{_APPROXIMATELY.pattern}")
_LIST = re.compile(r"[;\n]|\\\\|,(?![0-9]{3}(?![0-9]))|\\(?:vee|lor|wedge|land|q?quad)(?![A-Za-z])|\b(?:and|or)\b")
_UNIT = re.compile(r"\\(?:text|mbox|mathrm) ?\{([^{}]*)\}")
_NO_NUMBER = re.compile(r"\\(?:circ|degree|[pb]?mod)(?![A-Za-z])|[%°_]")
"""A number that stands for another one: a percentage, an angle, one in another base."""
_NAME = re.compile(r"\s*[A-Za-z]\s*")
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
            if verify(mine, theirs, timeout_seconds=None) and close(mine, theirs):
                return "equal" if holds(answer) or not holds(gold) else "different"
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


def holds(text: str) -> bool:
    """Whether no equation between numbers in a text is wrong ("6 = 5", "7 = 6 = 5", "5 \\approx 6").

    One that starts with a name is a derivation and is judged by its end, as other graders do ("x = 4 + 2 = 7 = 5").
    """
    return all(map(_agree, _split(text, _LIST)))


def _agree(statement: str) -> bool:
    """Whether the sides of an equation, or of a chain of them, that are numbers are the same number."""
    tolerance = APPROXIMATE if _APPROXIMATELY.search(statement) else EQUATED
    sides = _split(statement, _RELATION)
    if _NAME.fullmatch(sides[0]):
        return True
    if len({tuple(_UNIT.findall(side)) for side in sides if _UNIT.search(side)}) > 1:  # 1 hour = 60 minutes
        sides = [side for side in sides if not _UNIT.search(side)]
    values = [value for side in sides if len(sides) > 1 and not _NO_NUMBER.search(side) for value in _value(side)]
    return not values or bool(max(values) - min(values) <= tolerance * max(map(abs, values)))


def _split(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split a text at the separators that stand outside brackets."""
    depth = list(accumulate(((each in "{([") - (each in "})]") for each in text), initial=0))
    cuts = [match.span() for match in separator.finditer(text) if depth[match.start()] == 0]
    starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _value(text: str) -> list[Any]:
    """Return the value of a text that is one number, else none."""
    found = [numbers(each) for each in read(text)[:1] if isinstance(each, Expr)]
    return found[0] or [] if found else []


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
