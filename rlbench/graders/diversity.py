"""Judges how varied the completions of one prompt are.

Columns `distinct1` and `distinct2`: the number of distinct n-grams among all n-grams of the prompt's completions (those
of them that are graded together), after Li et al. (2016). N-grams do not cross from one completion to the next.

Every completion of a prompt carries its prompt's value, so that the mean over completions is the mean over prompts.
The value falls as a prompt has more or longer completions: compare only runs with the same number of completions, and
look at the mean length beside it. A unit is a word between blanks, or with `unit: characters` a character that is
not blank (for languages that are written without blanks). A prompt whose completions are all empty is unscored;
where no completion is long enough to have an n-gram, that column is not measured (NaN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("distinct1", "distinct2")


class _Options(Options):
    """`unit` says what n-grams are made of."""

    unit: Literal["words", "characters"] = "words"


def diversity(**options: object) -> Grader:
    """Return the grader of distinct-1 and distinct-2 per prompt.

    Raises:
        InputError: an option is unknown or wrong.
    """
    chosen = read_options("diversity", _Options, options)

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        groups: dict[tuple[str, str], list[list[str]]] = {}
        for candidate in candidates:
            words = candidate.completion.split()
            units = words if chosen.unit == "words" else list("".join(words))
            groups.setdefault(_prompt(candidate), []).append(units)
        judged = {prompt: _judge(texts) for prompt, texts in groups.items()}
        return [judged[_prompt(candidate)] for candidate in candidates]

    return Grader(
        name="diversity",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description=f"share of distinct {chosen.unit} and pairs of {chosen.unit} over the completions of a prompt",
        options=chosen.model_dump(),
    )


def _prompt(candidate: Candidate) -> tuple[str, str]:
    return candidate.sample.sample_id, candidate.sample.prompt


def _judge(texts: list[list[str]]) -> Judgement:
    if not any(texts):
        return Unscored("all completions of the prompt are empty")
    values = {}
    for column, size in zip(COLUMNS, (1, 2), strict=True):
        grams = [tuple(text[start : start + size]) for text in texts for start in range(len(text) - size + 1)]
        values[column] = len(set(grams)) / len(grams) if grams else math.nan
    return Scored(values)
