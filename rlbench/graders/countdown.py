"""Judges the countdown game: make a target from numbers with + - * / and parentheses.

The sample's answer is the target and then the numbers, separated by blanks or line ends. The completion's expression is
the inside of its last `<answer>...</answer>`, else what it marks last (`\\boxed{}`, "the answer is"), else its last
equation between numbers.

Columns:
    correct: 1 if the expression uses every number exactly once and no other, and its exact value is the target. What
        it is said to equal ("= 24") must be the target, too.
    marked: 1 if there is an expression that can be read, right or wrong. This is the format.

A sample whose answer is missing or is not a whole target and whole numbers is unscored. Only the target may be
negative: the sign of a number in an expression is a minus, so that a negative number could never be used.
"""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction

from rlbench.graders.marks import marked_expressions
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("correct", "marked")
LONGEST = 200
_GAME = re.compile(r"-?[0-9]{1,9}(?: [0-9]{1,9})+")
_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
_EQUATION = re.compile(r"(?<![\w.])[-(]{0,9}[0-9][0-9+\-*/() ]{0,199}=[ ]?-?[0-9]+(?![\w.])")
_SPELLINGS = (
    (re.compile(r"\\times|\\cdot|[×·∗]"), "*"),
    (re.compile(r"\\div|[÷∕]"), "/"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\\left|\\right|\\[()\[\]]|[$`]"), " "),
)
_WRITTEN = re.compile(r"[0-9+\-*/() ]+")
_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class _Options(Options):
    """Countdown has no options."""


def countdown(**options: object) -> Grader:
    """Return the grader of the countdown game.

    Raises:
        InputError: an option is given; there are none.
    """
    read_options("countdown", _Options, options)
    return Grader(
        name="countdown",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="arithmetic expression that uses each number once and equals the target, and the format",
    )


def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
    """Judge every candidate."""
    return [_judge(candidate) for candidate in candidates]


def _judge(candidate: Candidate) -> Judgement:
    answer = candidate.sample.answer
    if answer is None:
        return Unscored("the sample has no answer: the target and the numbers")
    words = answer.split()
    if not _GAME.fullmatch(" ".join(words)):
        return Unscored(f"the answer is not a target and numbers of at most 9 digits: {answer[:40]!r}")
    target, *numbers = map(int, words)
    reason, marked = _problem(candidate.completion, target, numbers)
    return Scored({"correct": float(not reason), "marked": float(marked)}, reason or "correct")


def _problem(completion: str, target: int, numbers: list[int]) -> tuple[str, bool]:
    """Return why a completion is wrong, or "", and whether it has an expression that can be read."""
    said = expression(completion)
    if said is None:
        return "no marked expression", False
    left, *sides = said.split("=")
    found = evaluate(left)
    if found is None:
        return f"cannot be read: {left.strip()[:40]!r}", False
    value, used = found
    if used != Counter(numbers):
        return f"uses {sorted(used.elements())} instead of {sorted(numbers)}", True
    if value is None:
        return "divides by zero", True
    if value != target:
        return f"equals {value} instead of {target}", True
    for side in filter(str.strip, sides):
        claimed = evaluate(side)
        if claimed is None or claimed[0] != target:
            return f"is said to equal {side.strip()[:20]!r}", True
    return "", True


def expression(completion: str) -> str | None:
    """Return the text of the expression that a completion offers, or None."""
    for spelling, replacement in _SPELLINGS:
        completion = spelling.sub(replacement, completion)
    tags = _TAG.findall(completion)
    if tags:
        said = tags[-1]
    elif marked := marked_expressions(completion):
        said = marked[-1]
    elif equations := _EQUATION.findall(completion):
        said = equations[-1]
    else:
        return None
    return str(said).strip().rstrip(".")


def evaluate(text: str) -> tuple[Fraction | None, Counter[int]] | None:
    """Return the exact value (None where it divides by zero) and the numbers of an expression; None if it is none."""
    text = " ".join(text.split())
    if len(text) > LONGEST or not _WRITTEN.fullmatch(text):
        return None
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    used: Counter[int] = Counter()
    try:
        return _value(tree, used), used
    except ZeroDivisionError:
        return None, used
    except ValueError:
        return None


def _value(node: ast.expr, used: Counter[int]) -> Fraction:
    """Return the value of an expression and count its numbers.

    Raises:
        ValueError: it holds something else than numbers, + - * / and a sign.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        used[node.value] += 1
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _value(node.operand, used)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _value(node.left, used), _value(node.right, used)
        return _OPERATIONS[type(node.op)](left, right)
    raise ValueError("no arithmetic expression")
