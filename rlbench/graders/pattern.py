"""Judges whether a completion matches a regular expression.

Column `matched`: 1 if the pattern is found anywhere in the completion, else 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import Field

from rlbench.errors import InputError
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored


class _Options(Options):
    """`pattern` is searched for in the completion; with `ignore_case`, capitals do not matter."""

    pattern: str = Field(min_length=1)
    ignore_case: bool = False


def pattern(**options: object) -> Grader:
    """Return the grader of one regular expression, in the syntax of Python's `re`.

    The pattern is written by the author of the task and is trusted to terminate on the completions it is given.

    Raises:
        InputError: an option is unknown, missing or wrong, or the pattern is not a regular expression.
    """
    chosen = read_options("pattern", _Options, options)
    try:
        expression = re.compile(chosen.pattern, re.IGNORECASE if chosen.ignore_case else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(
            f"grader 'pattern': option 'pattern' is not a regular expression: {error} (got {chosen.pattern[:80]!r})"
        ) from error

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        judgements: list[Judgement] = []
        for candidate in candidates:
            match = expression.search(candidate.completion)
            reason = f"found {match[0][:40]!r}" if match else "not found"
            judgements.append(Scored({"matched": float(match is not None)}, reason))
        return judgements

    return Grader(
        name="pattern",
        version=1,
        columns=("matched",),
        grade=grade,
        description=f"the completion matches {chosen.pattern!r}",
        options=chosen.model_dump(),
    )
