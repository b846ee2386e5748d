"""Finds what a text marks as its answer, as text: `\\boxed{x}`, `#### x`, "the answer is x", a line `Answer: x`.

What a mark says is read in this order:

* the inside of `\\boxed{...}`; boxes and formulas joined by a comma, "and" or "or" are one list of answers;
* the formula that follows it (`$x$`, `\\(x\\)`, `\\[x\\]`), unless a "not" stands between, or the whole of a short
  expression without words;
* the numbers that `answers.py` reads in a sentence ("18 eggs a day", "x is therefore 5"), each a value of its own;
* a few words ("no solution"), if nothing else in the text is marked.

Everything else that follows a mark says nothing. Where a mark stands inside the text of another, the inner one speaks.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from rlbench.graders.answers import MARK, bare_number, closing_braces, last_number, marked_answers

FORMULA = re.compile(
    r"\$\$(?P<double>[^$]{1,1000})\$\$"
    r"|(?<![\\0-9])\$(?P<single>(?:[^$\n\\]|\\.){1,1000})\$"
    r"|(?<!\\)\\\[(?P<display>(?:[^\\]|\\(?!\])){1,1000})\\\]"
    r"|(?<!\\)\\\((?P<inline>(?:[^\\]|\\(?!\))){1,1000})\\\)"
)
LONGEST_EXPRESSION = 200
_MOST_WORDS = 4
_SENTENCE_END = re.compile(r"[.?](?=\s|$)|!(?=\s+[A-Z]|\s*$)")  # "3! \\times 5" goes on
_GAP = r"(?:[\s$]|\\[)(\]\[]|\\ )*"
_JOINT = re.compile(
    rf"(?:{_GAP}(?:,|;|\\q?quad(?![a-z])|\\(?:text|mbox) ?\{{ ?,? ?(?:and|or) ?\}}|\b(?:and|or)\b)){{1,4}}\s*+{_GAP}?"
)
_NOT = re.compile(r"\bnot\b(?!.*(?:[,;:]|\bbut\b))")
_REACH = 60
"""Characters after which a "not" denies no more."""
_DECORATION = " \t\r\n*_:=~≈\"'`“”‘’"
_COMMAND = re.compile(
    r"\\(?:begin|end) ?\{[a-z*]*\}(?:\{[clr|]*\})?"
    r"|\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname) ?\{[^{}]*\}|\\[A-Za-z]+"
)
_WORD = re.compile(r"[^\W\d_]{3,}|\b(?:so|it|is|we|to|of|at|by|be|if|as|an|on)\b", re.IGNORECASE)
_MATHEMATICAL = frozenset(("sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "max", "min", "mod", "and"))


class Mark(NamedTuple):
    """The answers that one mark says (as LaTeX or text; none if it cannot be read), or a few words instead."""

    answers: tuple[str, ...]
    words: str = ""


def marked_expressions(text: str) -> tuple[str, ...]:
    """Return the different texts that `text` marks as final answers, in order."""
    found = list(_marks(text))
    answers = [answer for mark in found for answer in mark.answers]
    return tuple(dict.fromkeys(answers or [mark.words for mark in found if mark.words]))


def last_expression(text: str) -> str | None:
    """Return the last formula, box or number of a text, or the text itself if it is a short expression."""
    if _is_expression(_trimmed(text)) and not MARK.search(text):
        return _trimmed(text)
    expression, end = "", 0
    for formula in FORMULA.finditer(text):
        expression, end = _inside(formula), formula.end()
    closing = closing_braces(text)
    for mark in MARK.finditer(text):
        if mark["box"] and closing.get(mark.end() - 1, -1) >= end:
            end = closing[mark.end() - 1] + 1
            expression = text[mark.end() : end - 1].strip()
    number = last_number(text[end:])
    if number is None and expression and (_is_expression(expression) or " " not in expression):
        return expression
    number = last_number(text) if number is None else number
    return None if number is None else str(number)


def _marks(text: str) -> Iterator[Mark]:
    marks = list(MARK.finditer(text))
    starts = [mark.start() for mark in marks]
    closing = closing_braces(text) if any(mark["box"] for mark in marks) else {}
    only_labels = all(mark["label"] for mark in marks)
    joined: list[str] = []
    for index, mark in enumerate(marks):
        following = starts[index + 1] if index + 1 < len(marks) else len(text)
        if not mark["box"]:
            yield _said(text[mark.end() : following], mark, only_labels, cut=following < len(text))
            continue
        end = closing.get(mark.end() - 1)
        if end is None or bisect_left(starts, end) > index + 1:  # cut off, or an inner mark speaks
            continue
        joined.append(text[mark.end() : end].strip())
        next_is_box = index + 1 < len(marks) and marks[index + 1]["box"]
        if not (next_is_box and _JOINT.fullmatch(text, end + 1, following)):
            yield Mark((", ".join(dict.fromkeys(joined)),) if any(joined) else ())
            joined = []


def _said(segment: str, mark: re.Match[str], only_labels: bool, cut: bool) -> Mark:
    """Read what follows a mark that is no box, up to the next mark (`cut`) or the end."""
    start = len(segment) - len(segment.lstrip(_DECORATION))
    formula = FORMULA.match(segment, start)
    if formula:
        return Mark((_formulas(segment, formula),))
    line = segment[start:].partition("\n")[0]
    end = _SENTENCE_END.search(line)
    sentence = _trimmed(line[: end.start()] if end else line)
    if not end and start + len(line) == len(segment) and cut:
        # "The answer is $2 + 3 = \\boxed{5}$": the inner mark speaks, beside a number that stands alone before it.
        beside = bare_number(line)
        return Mark(() if beside is None else (str(beside),))
    alone = not (end and _trimmed(line[end.end() :])) and not segment[start + len(line) :].strip()
    if mark["label"] and not (only_labels and alone):
        # A label often opens worked steps, so that what follows it must be the answer itself.
        return Mark((sentence,)) if _is_expression(sentence) else Mark(())
    if _is_expression(sentence):
        return Mark((sentence,))
    formulas = list(FORMULA.finditer(sentence))
    if formulas:
        stated = next((formula for formula in formulas if not _denied(sentence, formula)), None)
        return Mark((_formulas(sentence, stated),) if stated else ())
    numbers = marked_answers(f"{mark[0]} {line}").distinct
    if numbers:
        return Mark(tuple(str(number) for number in sorted(numbers)))
    short = len(sentence.split()) <= _MOST_WORDS and len(sentence) <= LONGEST_EXPRESSION
    return Mark((), sentence if short and not re.search(r"\d", sentence) else "")


def _denied(text: str, formula: re.Match[str]) -> bool:
    """Whether a "not" stands in the clause before a formula: "not equal to $5$", but "not $4$ but $5$"."""
    return bool(_NOT.search(text[max(0, formula.start() - _REACH) : formula.start()]))


def _formulas(text: str, formula: re.Match[str]) -> str:
    """Return a formula and those that are joined to it, as one list."""
    found = [_inside(formula)]
    while (joint := _JOINT.match(text, formula.end())) and (after := FORMULA.match(text, joint.end())):
        found.append(_inside(after))
        formula = after
    return ", ".join(found)


def _inside(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group is not None).strip().rstrip(".,;:")


def _trimmed(text: str) -> str:
    """Return a sentence without decoration at its ends and without its full stop."""
    return text.lstrip(_DECORATION + ",;").rstrip(_DECORATION + ".,;?")


def _is_expression(text: str) -> bool:
    """Whether a text is short and has no words but those inside commands and names of functions."""
    if not text or len(text) > LONGEST_EXPRESSION or "\n" in text:
        return False
    return all(word in _MATHEMATICAL for word in _WORD.findall(_COMMAND.sub(" ", text)))
