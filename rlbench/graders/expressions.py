"""Compares two answers by what can be told from their text alone: numbers, words, units and brackets.

* Numbers are compared exactly, as fractions. A unit, a currency or a percent sign beside a number may be missing (so
  that 45° equals 45 and 10 % equals 10), but two different units are different (5 cm is not 5 m). None is converted.
* Words are compared without regard to capitals, LaTeX's `\\text{...}` and a full stop.
* An answer with "not", or with "or" between words, is that only if the gold answer has such words, too.
* A letter in parentheses is that letter: "(B)" equals "B".
* A set written `\\{1, 2\\}` is no tuple `(1, 2)`; where brackets are missing, either is meant.
"""

from __future__ import annotations

import re
from fractions import Fraction

from rlbench.graders.numbers import NUMBER, plain, value

LONGEST = 1000
DEEPEST = 24
_TEXT = r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname) ?"
_SPACING = re.compile(r"(?<!\\)\\(?:(?:left|right|displaystyle)(?![A-Za-z])|[!,;: ])|~|\s+")
_THOUSANDS = re.compile(r"(?<=[0-9])(?:, ?\\! ?|\{,\}|\\,)(?=[0-9]{3}(?![0-9]))")
_SPACED = re.compile(r"-?[0-9]{1,3}(?: [0-9]{3})+(?:\.[0-9]+)?")
_DOLLARS = re.compile(r"\\?\$|(?<!\\)\\[()\[\]]")
_UNIT = re.compile(
    r"(?<=[0-9})\s])\s*(?:"
    rf"{_TEXT}\{{\s*(?P<said>[^{{}}0-9]{{1,40}}?)\.?\s*\}}|(?P<bare>[A-Za-z]{{1,12}})"
    r"|(?P<percent>\\?%)|(?P<degree>°|\^ ?(?:\\circ|\{ ?\\circ ?\}))"
    r")\s*(?:\^ ?\{?[23]\}?|[²³])?$"
)
_UNITS: dict[str, str] = {
    spelling: names.split()[0]
    for names in (
        "mm millimeter millimeters millimetre millimetres",
        "cm centimeter centimeters centimetre centimetres",
        "m meter meters metre metres",
        "km kilometer kilometers kilometre kilometres",
        "in inch inches",
        "ft foot feet",
        "yd yard yards",
        "mi mile miles",
        "mg milligram milligrams",
        "g gram grams",
        "kg kilogram kilograms",
        "lb lbs pound pounds",
        "oz ounce ounces",
        "ml milliliter milliliters millilitre millilitres",
        "l liter liters litre litres",
        "s sec second seconds",
        "min minute minutes",
        "h hr hour hours",
        "day days",
        "week weeks",
        "month months",
        "year years",
        "degree degrees",
        "radian radians rad",
        "percent pct",
        "dollar dollars usd",
        "euro euros",
        "cent cents",
    )
    for spelling in names.split()
}
_WORDS = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")
_SAID = re.compile(rf"{_TEXT}\{{([^{{}}]*)\}}")
_NOT = re.compile(r"(?<!\\)\bnot\b", re.IGNORECASE)
_OR = re.compile(r"\bor\b\W*\w|\w\W*\bor\b", re.IGNORECASE)
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[aApP]\.?[mM]\.?)?")


def same(gold: str, answer: str) -> bool | None:
    """Say whether two answers, as `tidy` returns them, are the same; None if that needs algebra."""
    if gold == answer:
        return True
    if different_units(gold, answer) or {_bracket(gold), _bracket(answer)} == {"(", "\\{"}:
        return False
    if _hedged(answer) and not _hedged(gold):
        return False
    mine, theirs = number(gold), number(answer)
    if mine is not None and theirs is not None:
        fractions = ("/" in plain(gold)) != ("/" in plain(answer))  # 1/12 may be written as 0.083333
        percent = (_unit(gold) == "percent") != (_unit(answer) == "percent")  # and 10 % as 0.1
        return True if mine == theirs else None if fractions or percent else False
    if _CLOCK.fullmatch(gold):
        return gold.casefold() == answer.casefold()
    words, others = _words(gold), _words(answer)
    if words is None or others is None:
        return None
    if words.casefold() == others.casefold() and (len(words) > 2 or words.casefold() == "no" or gold != words):
        return True
    # Without `\text`, a word may as well be a product of letters; "silent" is not one that may be rearranged.
    return False if gold != words or len(words) > 3 else None


def tidy(text: str) -> str:
    """Return an answer without dollar signs around it, spacing commands, blanks and marks at its ends."""
    text = _THOUSANDS.sub(",", re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", text))
    text = _SPACING.sub(" ", _DOLLARS.sub("", text)).lstrip(" ,;:*_").rstrip(" .,;:*_")
    return text.replace(" ", "") if _SPACED.fullmatch(text) else text


def plain_text(text: str) -> bool:
    """Whether an answer, as `tidy` returns it, can be judged as a gold answer without algebra."""
    return number(text) is not None or bool(_CLOCK.fullmatch(text)) or _words(text) not in (None, text)


def comparable(text: str) -> bool:
    """Whether a text is short and shallow enough to be an answer that algebra can read."""
    depth = deepest = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    return len(text) <= LONGEST and deepest <= DEEPEST


def number(text: str) -> Fraction | None:
    """Return the value of a text that is one number and at most its unit, else None."""
    unit = _UNIT.search(text)
    if unit and (not unit["bare"] or _unit(text) or re.match(r"\s[ ]*[A-Za-z]{3}", unit[0])):
        text = text[: unit.start()]  # "5 cm", "18 eggs", but not "5x"
    read = plain(text).strip(" $€£¥%")
    match = NUMBER.fullmatch(read)
    return value(match) if match else None


def different_units(one: str, other: str) -> bool:
    """Whether both answers name a unit, and not the same."""
    units = {_unit(one), _unit(other)} - {""}
    return len(units) == 2


def _unit(text: str) -> str:
    """Return the unit at the end of an answer under one name, or ""."""
    unit = _UNIT.search(text)
    if unit is None:
        return ""
    if unit["percent"]:
        return "percent"
    if unit["degree"]:
        return "degree"
    if unit["bare"] and not NUMBER.fullmatch(plain(text[: unit.start()]).strip(" $")):
        return ""  # the last letter of a formula: "5 s + 3 m"
    said = (unit["said"] or unit["bare"]).casefold().split()
    return _UNITS.get(said[-1], "") if said else ""


def _words(text: str) -> str | None:
    """Return the words that an answer consists of, else None. A letter in parentheses is that letter."""
    said = _SAID.sub(r"\1", text)
    said = re.sub(r"^\s*\(\s*([A-Za-z])\s*\)\s*$", r"\1", said).strip(" .,;:!")
    return " ".join(said.split()) if _WORDS.fullmatch(said) else None


def _hedged(text: str) -> bool:
    """Whether an answer has words that take it back or offer another: "5 not", `5 \\text{ eggs or six}`."""
    if _NOT.search(text):
        return True
    return any(_OR.search(said) for said in _SAID.findall(text))


def _bracket(text: str) -> str:
    """Return "(" or "\\{" if such a pair encloses the whole of a list, else "". Braces without backslash only group."""
    for opening, closing in (("(", ")"), ("\\{", "\\}")):
        if "," in text and text.startswith(opening) and text.endswith(closing):
            inside = text[len(opening) : -len(closing)]
            return opening if _balanced(inside) else ""
    return ""


def _balanced(text: str) -> bool:
    """Whether no bracket in a text is closed before it was opened."""
    depth = 0
    for character in text:
        depth += (character in "{([") - (character in "})]")
        if depth < 0:
            return False
    return True
