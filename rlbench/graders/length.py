"""Measures how long a completion is, and whether it was cut off.

Columns: `tokens` and `truncated` (1 if the length limit ended it) as the sampling stage measured them, NaN where it did
not; `words` (between blanks) and `characters` (code points), counted here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored

COLUMNS = ("tokens", "words", "characters", "truncated")


class _Options(Options):
    """Length has no options."""


def length(**options: object) -> Grader:
    """Return the grader of lengths.

    Raises:
        InputError: an option is given; there are none.
    """
    read_options("length", _Options, options)
    return Grader(
        name="length",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="tokens, words and characters of the completion, and whether it was cut off",
    )


def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
    """Measure every candidate."""
    return [
        Scored(
            {
                "tokens": candidate.measured.get("tokens", math.nan),
                "words": float(len(candidate.completion.split())),
                "characters": float(len(candidate.completion)),
                "truncated": candidate.measured.get("truncated", math.nan),
            }
        )
        for candidate in candidates
    ]
