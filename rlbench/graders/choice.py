"""Judges answers to multiple-choice questions: the letter that a completion marks against the gold letter.

Columns:
    correct: 1 if the completion chooses exactly one letter and it is the gold letter.
    marked: 1 if the completion chooses exactly one letter, right or wrong. This is the format.

A completion chooses by what follows "answer is", "Answer:", "correct option is", `####` or stands in `\\boxed{}`; if
it says none of these, by a letter that it starts with ("D", "(D) Alina", "D. It cannot be A") or that stands alone on
a line. "B or C", "B; C", "B (or C)", "(B)(C)" and, at the start, "B) x C) y" are two choices, and several distinct
choices are wrong. A letter in running prose is none: the "A" of "the answer is A dog" is an article. Marks are read in
English.

The gold letter is what the answer chooses in these ways, or the capital that it starts with ("A Peter").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from pydantic import Field

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("correct", "marked")
_MARK = re.compile(
    r"\#{4}|\\f?boxed ?\{"
    r"|\b(?i:answer(?:[ ](?:to|for|choice|option)\b[^.\n:]{0,60}?)?|(?:correct|right|best)[ ](?:option|choice))"
    r"[*_ ]{0,4}(?:\b(?i:is|would[ ]be|should[ ]be)\b|[:：=])"
)
_LETTER = (
    r"(?:[(\[][ ]?(?P<round>[A-Za-z])[ ]?[)\]]"
    r"|(?P<bare>[B-HJ-Z])(?![\w'’])"
    # "A" and "I" may be words, so that something must follow that does not go on with a sentence.
    r"|(?P<word>[AI])(?![\w'’])(?=[*_ ]*(?:[.,;:)\]}$\"”/&。]|$|(?:or|and|because|since|as)\b)))"
)
_BEFORE = (
    r"(?:[\s*_:\"'“‘$`{]|\\\(|\\(?:text|textbf|textrm|mathrm|mathbf|mbox) ?\{)*+(?i:(?:option|choice|letter)[ ])?[*_]*"
)
_CHOSEN = re.compile(_BEFORE + _LETTER, re.MULTILINE)
_ANOTHER = re.compile(
    r"[*_} ]*(?:(?:[,;/&]|\(?(?:\bor\b|\band\b)){1,2}[*_ ]*(?:or |and )?|(?=[(\[][ ]?[A-Za-z][ ]?[)\]]))" + _LETTER,
    re.MULTILINE,
)
_FIRST = re.compile(r"\s*[*_]*(?:[(\[](?P<round>[A-Za-z])[)\]]|(?P<bare>[A-Z])[*_]*(?=[.):,。]|\s*(?:\n|\Z)))")
_LISTED = re.compile(r"[*_]*(?:[.):,][ ]?|(?P<item>\)[^()\n]*[ ]))(?P<bare>[A-Z])(?=(?(item)\)|[.):,]))")
_LINE = re.compile(r"^[ \t*_]*(?:[(\[](?P<round>[A-Za-z])[)\]]|(?P<bare>[A-Z])\)?)[*_.。 \t]*$", re.MULTILINE)
_LEADING = re.compile(r"\s*\(?(?P<bare>[A-Z])\b")


class _Options(Options):
    """`choices` is how many letters there are, from A on."""

    choices: int = Field(default=10, ge=2, le=26)


def choice(**options: object) -> Grader:
    """Return the grader of multiple-choice answers.

    Raises:
        InputError: an option is unknown or wrong.
    """
    chosen = read_options("choice", _Options, options)
    letters = frozenset(ascii_uppercase[: chosen.choices])

    def judge(candidate: Candidate) -> Judgement:
        answer = candidate.sample.answer
        if answer is None:
            return Unscored("the sample has no gold answer")
        gold = (choices(answer) or _letters(_LEADING.match(answer))) & letters
        if len(gold) != 1:
            return Unscored(f"the gold answer is not one letter from A to {max(letters)}: {answer[:40]!r}")
        said = choices(candidate.completion) & letters
        if len(said) == 1:
            reason = "correct" if said == gold else f"expected {min(gold)}, got {min(said)}"
        else:
            reason = f"several choices: {', '.join(sorted(said))}" if said else "no marked choice"
        return Scored({"correct": float(said == gold), "marked": float(len(said) == 1)}, reason)

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        return [judge(candidate) for candidate in candidates]

    return Grader(
        name="choice",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="letter of a multiple-choice question: the marked choice is the gold one, and the format",
        options=chosen.model_dump(),
    )


def choices(text: str) -> frozenset[str]:
    """Return the distinct letters, as capitals, that `text` chooses."""
    found: frozenset[str] = frozenset()
    for mark in _MARK.finditer(text):
        found |= _series(text, _CHOSEN.match(text, mark.end()))
    if found:
        return found
    return _series(text, _FIRST.match(text), _LISTED).union(*map(_letters, _LINE.finditer(text)))


def _series(text: str, first: re.Match[str] | None, *joints: re.Pattern[str]) -> frozenset[str]:
    """Return the letter of a match and those that are joined to it, by `_ANOTHER` or by one of `joints`."""
    found: frozenset[str] = frozenset()
    while first:
        found |= _letters(first)
        end = first.end()
        first = next(filter(None, (joint.match(text, end) for joint in (_ANOTHER, *joints))), None)
    return found


def _letters(match: re.Match[str] | None) -> frozenset[str]:
    """Return the letter of a match as a capital; groups that are no letter are left out."""
    named = match.groupdict().items() if match else ()
    return frozenset(letter.upper() for name, letter in named if letter and name != "item")
