"""Puts graders into roles: by name with options, as the reward that training maximises, and as a score of that name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rlbench.errors import InputError
from rlbench.records import Candidate, Grader, Judgement, Rewards, Scored, Unscored
from rlbench.registry import load, unknown

_FORGEABLE_OPTIONS = (("unsafe", True), ("unsplittable", "weak"))
_FORGEABLE_STAMPS = {("sandbox", "none"), ("judged", "weak")}


def load_grader(name: str, options: Mapping[str, Any]) -> Grader:
    """Return the installed grader `name` with its options.

    Raises:
        InputError: the grader does not exist or an option is wrong.
    """
    grader: Grader = load("graders", name)(**options)
    return grader


def check_column(grader: Grader, column: str) -> None:
    """Check that the grader has the column.

    Raises:
        InputError: it has not; the message names the nearest one.
    """
    if column not in grader.columns:
        raise unknown(f"column of grader {grader.name!r}", column, grader.columns)


def as_reward(grader: Grader, column: str) -> Callable[[Sequence[Candidate]], Rewards]:
    """Return the grader's column in the role of the reward: one finite value per candidate.

    The returned function raises InputError for a completion that the grader cannot score, because training would
    otherwise have to invent a value for it, and for a verdict that the completion could have forged, because training
    would learn to.

    Raises:
        InputError: the grader has no such column, or its options (or those of a part) let completions forge verdicts.
    """
    check_column(grader, column)
    for option, value in _forgeable(grader.options):
        shown = str(value).lower()
        raise InputError(
            f"reward {grader.name}.{column}: option {option!r} is {shown}, with which a completion could forge its "
            f"verdict or do harm; a reward needs the sandbox and tests that split: leave {option!r} out"
        )

    def reward(candidates: Sequence[Candidate]) -> Rewards:
        rows = []
        for candidate, judgement in zip(candidates, grader.grade(candidates), strict=True):
            if isinstance(judgement, Unscored):
                problem = judgement.reason
            elif forgeable := _FORGEABLE_STAMPS & judgement.stamps.items():
                problem = "its verdict is stamped " + ", ".join(f"{key}: {value}" for key, value in sorted(forgeable))
            elif math.isfinite(value := judgement.values[column]):
                rows.append(judgement.values)
                continue
            else:
                problem = f"its value is {value}"
            raise InputError(
                f"reward {grader.name}.{column} cannot score a completion of sample "
                f"{candidate.sample.sample_id!r}: {problem}; a reward must give every completion a value"
            )
        others = [name for name in grader.columns if name != column]
        return Rewards([row[column] for row in rows], {name: [row[name] for row in rows] for name in others})

    return reward


def as_measure(grader: Grader, column: str) -> Callable[[Sequence[Candidate]], Rewards]:
    """Return the grader's column as a measurement: one value per candidate, NaN where it cannot be scored.

    Unlike a reward it teaches nothing, so that a missing value does no harm as long as it stays missing.

    Raises:
        InputError: the grader has no such column.
    """
    check_column(grader, column)

    def measure(candidates: Sequence[Candidate]) -> Rewards:
        judged = grader.grade(candidates)
        return Rewards([math.nan if isinstance(each, Unscored) else each.values[column] for each in judged])

    return measure


def in_role(role: str, grader: Grader, column: str) -> Grader:
    """Return a grader called `role` ("reward", "gold") whose single column `value` is the grader's column.

    It is what writes `scores/<role>.parquet`. Judgements keep their reason and stamps; its options name what it is.

    Raises:
        InputError: the grader has no such column.
    """
    check_column(grader, column)

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        return [
            judgement
            if isinstance(judgement, Unscored)
            else Scored({"value": judgement.values[column]}, judgement.reason, judgement.stamps)
            for judgement in grader.grade(candidates)
        ]

    return Grader(
        name=role,
        version=grader.version,
        columns=("value",),
        grade=grade,
        description=f"{grader.name}.{column} in the role of the {role}: {grader.description}",
        options={"grader": grader.name, "column": column, "options": dict(grader.options)},
        admits=grader.admits,
    )


def merge_stamps(stamps: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the stamps of several judgements as one.

    Of values that differ the forgeable one stays; where none is, all stand there, joined by "+".
    """
    found: dict[str, set[str]] = {}
    for each in stamps:
        for name, value in each.items():
            found.setdefault(name, set()).add(value)
    forgeable = dict(_FORGEABLE_STAMPS)
    return {
        name: forgeable[name] if forgeable.get(name) in values else "+".join(sorted(values))
        for name, values in found.items()
    }


def _forgeable(options: Mapping[str, object], inside: str = "") -> Iterator[tuple[str, object]]:
    """Every option that lets completions forge verdicts, also inside the parts of a composition, as (name, value)."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _forgeable(value, f"{inside}{name}.")
        elif (name, value) in _FORGEABLE_OPTIONS:
            yield f"{inside}{name}", value
