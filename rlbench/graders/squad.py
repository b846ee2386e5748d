"""Judges short answers as SQuAD 1.1 does: exact match and token F1 after its normalisation, against the best answer.

Columns:
    exact: 1 if the completion equals an answer after normalisation.
    f1: harmonic mean of precision and recall of the tokens, counted as often as they occur.

Normalisation makes everything lower case, drops ASCII punctuation and the words "a", "an" and "the", and splits at
blanks. The answers are the sample's references, or its `answer` if it has none; a sample with neither is unscored. An
answer of which nothing is left equals only a completion of which nothing is left.

References:
    Rajpurkar et al. (2016), SQuAD: 100,000+ Questions for Machine Comprehension of Text, section 6.1.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Scored, Unscored

COLUMNS = ("exact", "f1")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


class _Options(Options):
    """The grader of SQuAD has no options."""


def squad(**options: object) -> Grader:
    """Return the grader of SQuAD 1.1.

    Raises:
        InputError: an option is given; there are none.
    """
    read_options("squad", _Options, options)
    return Grader(
        name="squad",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="SQuAD 1.1 exact match and token F1 against the best answer",
    )


def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
    """Judge every candidate."""
    return [_judge(candidate) for candidate in candidates]


def _judge(candidate: Candidate) -> Judgement:
    sample = candidate.sample
    answers = sample.references or (() if sample.answer is None else (sample.answer,))
    if not answers:
        return Unscored("the sample has neither references nor an answer")
    said = tokens(candidate.completion)
    known = [tokens(answer) for answer in answers]
    return Scored({"exact": float(said in known), "f1": max(f1(said, answer) for answer in known)})


def tokens(text: str) -> list[str]:
    """Return the words of a text after SQuAD's normalisation."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(said: Sequence[str], answer: Sequence[str]) -> float:
    """Return the F1 of two lists of tokens, from 0 to 1; of two empty ones it is 1, as in SQuAD 2.0."""
    if not said or not answer:
        return float(said == answer)
    common = (Counter(said) & Counter(answer)).total()
    return 2 * common / (len(said) + len(answer))
