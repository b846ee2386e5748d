"""Finds the answers that a text marks as final, and the last number of a text.

A mark is `#### n`, `\\boxed{n}`, "the answer is n" or a line that starts with `A: n` (or `Answer: n`). A mark says
one value when its text can be read in one way:

* it starts with the value ("18 eggs a day"), or it is words around a single number ("therefore 5");
* an equation says its right-hand side ("x = 5", "9 * 2 = 18");
* a choice ("18 or 19", "18, 19") says every value it offers, so that hedging is seen as several answers.

A mark that cannot be read (a bare "16 - 3", a Markdown heading "#### Step 1") says nothing. Where a mark stands inside
the text of another ("the answer is \\boxed{18}"), the inner one speaks.

`A:` often opens worked steps instead ("A: There are 15 trees. ... The answer is 6."). So it speaks only if its first
sentence is the value itself ("A: 18", "A: 18 eggs."), or if it is one sentence and nothing else in the text is marked.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from rlbench.graders.numbers import NUMBER, numbers, plain, value

MARK = re.compile(
    r"(?P<hash>\#{4,})"
    r"|\\(?:f?boxed|fbox)[ ]?(?P<box>\{)"
    r"|(?P<label>(?:^[^\w\n]{0,8}|(?<=\#)[*_ ]{0,3})(?:A|(?i:ans|(?:final[ ])?answer))[*_ ]{0,3}[:：][*_]{0,2})"
    r"|(?P<says>\b(?i:(?:the[ \t]{1,4}(?:(?:final|correct)[ \t]{1,4})?|final[ \t]{1,4})answer"
    r"[*_ \t]{0,4}(?:(?:is|would[ ]be)\b|[:=])|answer[ \t]{1,4}(?:is|would[ ]be)\b))",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_DECORATION = " \t\r\n*_$€£¥:=~≈\"'`“”‘’(<[{>"
# Possessive quantifiers (*+, {}+) and words that cannot be split keep matching linear on hostile text.
_CLOSING = r"[\s%*_$€£¥°.,;!?)\]}>\"'`“”’]*+"
_ALONE = re.compile(_CLOSING + r"(?:[A-Za-z°][A-Za-z°²³'’./-]{0,24}+(?![A-Za-z°])" + _CLOSING + r"){0,3}+")
_UNITS = r"[%$€£*_]{0,3}(?: ?[A-Za-z°][A-Za-z°.]{0,24}+(?![A-Za-z°.])){0,3}? ?"
_GOES_ON = re.compile(_UNITS + r"(?:[-+/÷×xX*] ?[0-9($.\\]|\+\w|[\^=≈]|\\[A-Za-z])|[:.]?[0-9]|\.[0-9]")
_CHOICE = re.compile(_UNITS + r"(?:[,;&|/]|\b(?:or|and|to)\b)(?: ?(?:or|and|maybe|perhaps))? {0,2}")
_ENUMERATOR = re.compile(r"[.):]\s+\w")
_NEGATION = re.compile(r"\b(?:not|never)\b|n['’]t\b", re.IGNORECASE)
_MINUS = re.compile(r"\b(?:minus|negative) ?[*_$(]{0,4}\Z", re.IGNORECASE)
_EQUALS = re.compile(r"[=≈]+")
_BLANK = re.compile(" +")


class Answers(NamedTuple):
    """What a text marks as its answers: the `distinct` values, and whether there was any mark at all."""

    distinct: frozenset[Fraction]
    any_mark: bool


def marked_answers(text: str) -> Answers:
    """Return the distinct values that `text` marks as final answers."""
    text = plain(text)
    found: set[Fraction] = set()
    any_mark = False
    for segment in _segments(text):
        any_mark = True
        found.update(segment)
    return Answers(frozenset(found), any_mark)


def last_number(text: str) -> Fraction | None:
    """Return the last number that stands anywhere in `text`, or None."""
    last = None
    for last in numbers(plain(text)):  # noqa: B007 (the last one is what we want)
        pass
    return last


def bare_number(text: str) -> Fraction | None:
    """Return the value of a text that is one number and at most its unit, or None."""
    said = _alone(plain(text))
    return said[0] if said else None


def _segments(text: str) -> Iterator[list[Fraction]]:
    """Yield for each mark the values that it says."""
    marks = list(MARK.finditer(text))
    starts = [mark.start() for mark in marks]
    closing = closing_braces(text) if any(mark["box"] for mark in marks) else {}
    only_labels = all(mark["label"] for mark in marks)
    for index, mark in enumerate(marks):
        following = starts[index + 1] if index + 1 < len(marks) else len(text)
        if mark["box"]:
            end = closing.get(mark.end() - 1)
            if end is None:  # cut off before the brace was closed
                continue
            inner = bisect_left(starts, end) > index + 1
            yield [] if inner else _read(text[mark.end() : end])
            continue
        line_end = text.find("\n", mark.end(), following)
        cut = line_end < 0 and following < len(text)
        segment = text[mark.end() : following if line_end < 0 else line_end]
        sentence = _SENTENCE_END.search(segment)
        if not segment.strip(_DECORATION) and line_end >= 0:
            speaks = only_labels or not mark["label"]
            yield _alone_on_next_line(text[line_end : min(following, line_end + 200)]) if speaks else []
        elif mark["hash"]:
            yield _read_heading(segment)
        elif mark["label"]:
            yield _read_label(segment, only_labels)
        elif cut and not sentence:
            yield _alone(segment)
        else:
            yield _read(segment[: sentence.start()] if sentence else segment)


def _read_label(segment: str, only_labels: bool) -> list[Fraction]:
    sentence = _SENTENCE_END.search(segment)
    first, rest = (segment[: sentence.start()], segment[sentence.end() :]) if sentence else (segment, "")
    if only_labels and not rest.strip(_DECORATION):
        return _read(first)
    return _alone(first)


def _read_heading(segment: str) -> list[Fraction]:
    number = _leading(segment)
    if number is None or _ENUMERATOR.match(segment, number.end()):
        return []
    return _read(segment)


def _alone_on_next_line(text: str) -> list[Fraction]:
    line = next((line for line in text.split("\n") if line.strip(_DECORATION)), "")
    number = _leading(line)
    return [] if number is None or _ENUMERATOR.match(line, number.end()) else _alone(line)


def _leading(segment: str) -> re.Match[str] | None:
    """Return the number that `segment` starts with, after decoration."""
    for start, character in enumerate(segment):
        if character not in _DECORATION:
            # A currency sign belongs to the number: "$-5".
            return NUMBER.match(segment, start)
    return None


def _read(segment: str) -> list[Fraction]:
    """Return the values that the text of one mark says; none if it cannot be read in one way."""
    number = _leading(segment)
    if number is None:
        return _read_words(segment)
    if _GOES_ON.match(segment, number.end()):
        return _read_equation(segment)
    first = value(number)
    if first is None:
        return []
    choice = _CHOICE.match(segment, number.end())
    for gap in (choice, _BLANK.match(segment, number.end())):
        other = NUMBER.match(segment, gap.end()) if gap else None
        second = value(other) if other else None
        if second is not None:
            return [first, second]
    return [first]


def _read_words(segment: str) -> list[Fraction]:
    if "=" in segment or "≈" in segment:
        return _read_equation(segment)
    found = list(NUMBER.finditer(segment))
    if len(found) != 1 or _NEGATION.search(segment) or "\\" in segment:
        return []
    if _GOES_ON.match(segment, found[0].end()):
        return []
    first = value(found[0])
    if first is None:
        return []
    return [-first if _MINUS.search(segment[: found[0].start()]) else first]


def _read_equation(segment: str) -> list[Fraction]:
    """Read "9 * 2 = 18" as 18 and "5 = x" as 5; bare numbers that differ ("18 = 19") are several values."""
    sides = [side for side in _EQUALS.split(segment) if side.strip(_DECORATION)]
    if len(sides) < 2:
        return []
    *others, last = sides
    said = _alone(last)
    if not said and not NUMBER.search(last) and len(others) == 1:
        return _alone(others[0])
    return said + [number for side in others for number in _alone(side)] if said else []


def _alone(segment: str) -> list[Fraction]:
    """Return the value of a text that holds one number and at most three words after it."""
    number = _leading(segment)
    if number is None or _GOES_ON.match(segment, number.end()) or not _ALONE.fullmatch(segment, number.end()):
        return []
    first = value(number)
    return [] if first is None else [first]


def closing_braces(text: str) -> dict[int, int]:
    """Map the position of every opening brace that is closed to the position of its closing brace."""
    closing: dict[int, int] = {}
    open_at: list[int] = []
    for match in re.finditer(r"(?<!\\)[{}]", text):
        if match[0] == "{":
            open_at.append(match.start())
        elif open_at:
            closing[open_at.pop()] = match.start()
    return closing
