"""Judges whether a completion is the answer or a reference, character for character.

Column `exact`: 1 if the completion equals the answer or any reference, blanks at the ends aside, else 0. A sample
without answer and references is unscored.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored


class _Options(Options):
    """With `ignore_case`, capitals do not matter."""

    ignore_case: bool = False


def exact(**options: object) -> Grader:
    """Return the grader of literal equality.

    Raises:
        InputError: an option is unknown or wrong.
    """
    chosen = read_options("exact", _Options, options)

    def form(text: str) -> str:
        return text.strip().casefold() if chosen.ignore_case else text.strip()

    def judge(candidate: Candidate) -> Judgement:
        sample = candidate.sample
        golds = [text for text in (sample.answer, *sample.references) if text is not None]
        if not golds:
            return Unscored("the sample has neither an answer nor references")
        return Scored({"exact": float(form(candidate.completion) in map(form, golds))})

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        return [judge(candidate) for candidate in candidates]

    return Grader(
        name="exact",
        version=1,
        columns=("exact",),
        grade=grade,
        description="the completion is the answer or a reference, blanks at the ends aside",
        options=chosen.model_dump(),
    )
