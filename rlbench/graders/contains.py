"""Judges whether a completion says what the sample's answer says, wherever it says it.

Column `contained`: the share of the distinct words of the gold answer that the completion contains, from 0 to 1. Words
are runs of letters and digits; capitals do not matter, order and repetition neither. It is a recall: whoever says
everything contains everything, so as a reward it needs a part beside it that costs words.

A sample whose gold answer is missing or holds no word is unscored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

_WORD = re.compile(r"[^\W_]+")


class _Options(Options):
    """Contains has no options."""


def contains(**options: object) -> Grader:
    """Return the grader of contained answers.

    Raises:
        InputError: an option is given; there are none.
    """
    read_options("contains", _Options, options)
    return Grader(
        name="contains",
        version=1,
        columns=("contained",),
        grade=grade,
        description="share of the words of the gold answer that the completion contains",
    )


def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
    """Judge every candidate."""
    return [_judge(candidate) for candidate in candidates]


def _judge(candidate: Candidate) -> Judgement:
    if candidate.sample.answer is None:
        return Unscored("the sample has no gold answer")
    wanted = _words(candidate.sample.answer)
    if not wanted:
        return Unscored(f"the gold answer holds no word: {candidate.sample.answer[:40]!r}")
    missing = wanted - _words(candidate.completion)
    reason = f"lacks {', '.join(sorted(missing)[:4])}" if missing else "contains all"
    return Scored({"contained": 1 - len(missing) / len(wanted)}, reason)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))
