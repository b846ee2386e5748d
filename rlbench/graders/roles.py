"""Puts graders into roles: by name with options, and as the reward that training maximises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlbench.errors import InputError
from rlbench.records import Candidate, Grader, Rewards, Unscored
from rlbench.registry import load, unknown


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
    otherwise have to invent a value for it.

    Raises:
        InputError: the grader has no such column.
    """
    if column not in grader.columns:
        raise unknown(f"column of grader {grader.name!r}", column, grader.columns)

    def reward(candidates: Sequence[Candidate]) -> Rewards:
        rows = []
        for candidate, judgement in zip(candidates, grader.grade(candidates), strict=True):
            if isinstance(judgement, Unscored):
                problem = judgement.reason
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
