"""Completions of which it is known beforehand whether they are right: a task's references, and wrong ones made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlbench.records import Sample

Kind = Literal["garbage", "empty", "another's", "hedged"]
GARBAGE = "Blorf snizzle quandrix vemp, ootle grix."
HEDGES = 5
"""A hedged answer names the right answers of so many samples in a row."""
_FORMS = ("{}", "The answer is {}.", "\\boxed{{{}}}")


@dataclass(frozen=True)
class Wrong:
    """A completion that is wrong for a sample; `other` is the sample to which it is right, if there is one."""

    kind: Kind
    sample: Sample
    completion: str
    other: Sample | None = None


def evenly(samples: Sequence[Sample], most: int | None) -> list[Sample]:
    """Return at most so many samples, evenly spread; None takes all."""
    if most is None or len(samples) <= most:
        return list(samples)
    return [samples[index * len(samples) // most] for index in range(most)]


def right_forms(sample: Sample) -> list[list[str]]:
    """Return what should count as right: the references, or the answer, which may be written in several forms."""
    if sample.references:
        return [list(sample.references)]
    return [] if sample.answer is None else [[form.format(sample.answer)] for form in _FORMS]


def wrong_completions(samples: Sequence[Sample], right: Sequence[Sequence[str]]) -> list[Wrong]:
    """Return what should count as wrong for samples in a row, of which `right` are the right completions.

    Programs are not hedged: a file may define what others ask for, too.
    """
    wrong = []
    for index, sample in enumerate(samples):
        wrong += [Wrong("garbage", sample, GARBAGE), Wrong("empty", sample, "")]
        neighbours = [(index + step) % len(samples) for step in range(HEDGES)]
        own = {_folded(text) for text in right[index]}
        others = [place for place in neighbours[1:] if right[place] and _folded(right[place][0]) not in own]
        if not own or not others:
            continue
        wrong.append(Wrong("another's", sample, right[others[0]][0], samples[others[0]]))
        if sample.tests is None:
            hedged = {_folded(right[place][0]): right[place][0] for place in [*others, index]}
            wrong.append(Wrong("hedged", sample, "\n".join(hedged.values())))
    return wrong


def _folded(text: str) -> str:
    """Two completions that differ only in capitals, blanks and punctuation may well be the same answer."""
    return "".join(each for each in text.casefold() if each.isalnum()) or text
