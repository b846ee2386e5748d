"""Puts graders into roles: by name with options, and as the reward that training maximises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlbench.errors import InputError
from rlbench.records import Candidate, Grader, Rewards, Unscored
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


def as_reward(grader: Grader, column: str) -> Callable[[Sequence[Candidate]], Rewards]:
    """Return the grader's column in the role of the reward: one finite value per candidate.

    The returned function raises InputError for a completion that the grader cannot score, because training would
    otherwise have to invent a value for it, and for a verdict that the completion could have forged, because training
    would learn to.

    Raises:
        InputError: the grader has no such column, or its options let completions forge verdicts.
    """
    if column not in grader.columns:
        raise unknown(f"column of grader {grader.name!r}", column, grader.columns)
    for option, value in _FORGEABLE_OPTIONS:
        if grader.options.get(option) == value:
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
