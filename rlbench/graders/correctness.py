"""Judges numeric answers by rule: strictly by what the completion marks as its answer, and flexibly beside it.

Columns:
    correct: 1 if the completion marks exactly one distinct value and it equals the gold answer. Several distinct
        marked values are wrong, so that naming many answers does not pay.
    correct_flexible: 1 if `correct`, or if the last number of the completion equals the gold answer.
    marked: 1 if the completion marks exactly one distinct value, right or wrong. This is the format.

Values are compared exactly as fractions (1.50 equals 1.5; 0.333 does not equal 1/3). Units are not compared. An empty
completion is wrong. A sample whose gold answer is missing or not one number is unscored.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rlbench.graders.answers import bare_number, last_number, marked_answers
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("correct", "correct_flexible", "marked")


class _Options(Options):
    """Correctness has no options."""


def correctness(**options: object) -> Grader:
    """Return the grader of numeric answers.

    Raises:
        InputError: an option is given; there are none.
    """
    read_options("correctness", _Options, options)
    return Grader(
        name="correctness",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="numeric answer equal to the gold answer: strict (marked answers), flexible, and the format",
    )


def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
    """Judge every candidate; gold answers are read once per distinct text."""
    golds: dict[str, Fraction | Unscored] = {}
    judgements: list[Judgement] = []
    for candidate in candidates:
        text = candidate.sample.answer
        if text is None:
            judgements.append(Unscored("the sample has no gold answer"))
            continue
        if text not in golds:
            golds[text] = gold_answer(text)
        gold = golds[text]
        judgements.append(gold if isinstance(gold, Unscored) else judge(candidate.completion, gold))
    return judgements


def gold_answer(text: str) -> Fraction | Unscored:
    """Read the gold answer: what `text` marks, or the number that it is."""
    marked, _ = marked_answers(text)
    if len(marked) > 1:
        return Unscored(f"the gold answer marks several values: {_shown(marked)}")
    for value in marked:
        return value
    bare = bare_number(text)
    return Unscored(f"the gold answer is not a number: {_short(text)!r}") if bare is None else bare


def judge(completion: str, gold: Fraction) -> Scored:
    """Judge one completion against the value of its gold answer."""
    if not completion.strip():
        return Scored(dict.fromkeys(COLUMNS, 0.0), "empty")
    marked, any_mark = marked_answers(completion)
    correct = marked == {gold}
    last = last_number(completion)
    if len(marked) > 1:
        reason = f"several marked values: {_shown(marked)}"
    elif marked:
        reason = "correct" if correct else f"expected {_text(gold)}, got {_shown(marked)}"
    elif any_mark:
        reason = "no marked value can be read"
    else:
        reason = "no marked answer"
    flexible = correct or last == gold
    if flexible and not correct:
        reason += "; the last number is right"
    return Scored(
        {"correct": float(correct), "correct_flexible": float(flexible), "marked": float(len(marked) == 1)}, reason
    )


def _shown(values: frozenset[Fraction]) -> str:
    shown = [_text(value) for value in sorted(values)[:4]]
    return ", ".join(shown) + (", ..." if len(values) > 4 else "")


def _text(value: Fraction) -> str:
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
