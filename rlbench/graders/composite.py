"""Judges by a weighted sum of columns of other graders, so that a reward can have several parts.

Shaping is a part like any other: format as `pattern.matched`, length as `length.words` with a small negative weight and
the length from which it counts as `low`.

Columns:
    total: sum over the parts of weight x value, where the value is kept between the part's `low` and `high`.
    one column per part, by its name: that value, without the weight.

A completion that one of the parts cannot score, or to which it gives no finite value, is unscored. Parts that name the
same grader with the same options are judged together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rlbench.errors import InputError
from rlbench.graders.options import Options, read_options
from rlbench.graders.roles import check_column, load_grader, merge_stamps
from rlbench.records import Candidate, Grader, Judgement, Sample, Scored, Unscored

_VERSION = 1
_TAKEN = frozenset({"total", "sample_id", "completion_index", "reason", "sandbox", "judged"})
"""Other columns of a table of scores."""


class Part(BaseModel):
    """One part: a column of a grader, how much it weighs, and the bounds that its values are kept within."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    grader: str
    column: str
    weight: float
    options: dict[str, Any] = {}
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"expected low below high, got low {self.low:g} and high {self.high:g}")
        return self

    def clip(self, value: float) -> float:
        """Keep a value within the bounds."""
        if self.low is not None:
            value = max(value, self.low)
        return value if self.high is None else min(value, self.high)


class _Options(Options):
    """`parts` are what is added up, by name."""

    parts: dict[str, Part] = Field(min_length=1)

    @field_validator("parts")
    @classmethod
    def _columns(cls, value: dict[str, Part]) -> dict[str, Part]:
        for name in value:
            if not name.isidentifier():
                raise ValueError(f"expected names of parts that are identifiers, like 'polite', got {name!r}")
            if name in _TAKEN:
                raise ValueError(f"part {name!r} has the name of another column; choose another")
        return value


def composite(**options: object) -> Grader:
    """Return the grader of a weighted sum of parts.

    Its version rises with the version of every part's grader.

    Raises:
        InputError: an option is unknown, missing or wrong, or a part names a grader, column or option that does not
            exist, or another composition.
    """
    parts = read_options("composite", _Options, options).parts
    graders = _graders(parts)
    distinct = list({id(grader): grader for grader in graders.values()}.values())

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        judged = {id(grader): grader.grade(candidates) for grader in distinct}
        return [
            _combine(parts, {name: judged[id(grader)][row] for name, grader in graders.items()})
            for row in range(len(candidates))
        ]

    def admits(samples: Sequence[Sample]) -> list[str]:
        refusals = [grader.admits(samples) for grader in distinct if grader.admits is not None]
        return ["; ".join(dict.fromkeys(filter(None, of_sample))) for of_sample in zip(*refusals, strict=True)]

    return Grader(
        name="composite",
        version=_VERSION + sum(grader.version for grader in distinct),
        columns=("total", *parts),
        grade=grade,
        description="weighted sum: " + ", ".join(f"{part.weight:g} x {name}" for name, part in parts.items()),
        options={
            "parts": {
                name: {**part.model_dump(), "options": dict(graders[name].options)} for name, part in parts.items()
            }
        },
        admits=admits if any(grader.admits for grader in distinct) else None,
    )


def _graders(parts: Mapping[str, Part]) -> dict[str, Grader]:
    """Return the grader of every part; parts that ask for the same one with the same options share it."""
    found: dict[str, Grader] = {}
    for name, part in parts.items():
        grader = _load(name, part)
        same = [other for other in found.values() if (other.name, other.options) == (grader.name, grader.options)]
        found[name] = same[0] if same else grader
    return found


def _load(name: str, part: Part) -> Grader:
    if part.grader == "composite":
        raise InputError(f"grader 'composite', part {name!r}: expected a grader that is no composition; list its parts")
    try:
        grader = load_grader(part.grader, part.options)
        check_column(grader, part.column)
    except InputError as error:
        raise InputError(f"grader 'composite', part {name!r}: {error}") from error
    return grader


def _combine(parts: Mapping[str, Part], judgements: Mapping[str, Judgement]) -> Judgement:
    values, shown, stamps = dict[str, float](), list[str](), list[Mapping[str, str]]()
    for name, part in parts.items():
        judgement = judgements[name]
        if isinstance(judgement, Unscored):
            return Unscored(f"part {name!r}: {judgement.reason}")
        value = judgement.values[part.column]
        if not math.isfinite(value):
            return Unscored(f"part {name!r}: {part.grader}.{part.column} is {value}")
        values[name] = part.clip(value)
        shown.append(f"{name} {value:g}" + ("" if values[name] == value else f" (counts as {values[name]:g})"))
        stamps.append(judgement.stamps)
    # The exact sum does not depend on the order in which the parts are written.
    total = math.fsum(part.weight * values[name] for name, part in parts.items())
    return Scored({"total": total, **values}, ", ".join(shown), merge_stamps(stamps))
