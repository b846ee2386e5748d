"""A task's reward and gold as the checks use them: a grader's column that gives completions values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlbench.errors import InputError
from rlbench.graders.roles import load_grader
from rlbench.records import Candidate, Grader, Sample, Unscored
from rlbench.registry import unknown
from rlbench.tasks.task import Task


@dataclass(frozen=True)
class Value:
    """What a completion got, or None and why not."""

    value: float | None
    reason: str


@dataclass(frozen=True)
class Role:
    """A grader's column; `name` is "reward", "gold" or "reward and gold"."""

    name: str
    grader: Grader
    column: str

    @property
    def title(self) -> str:
        """Return the role with what fills it."""
        return f"{self.name} {self.grader.name}.{self.column}"

    def values(self, samples: Sequence[Sample], completions: Sequence[str]) -> list[Value]:
        """Judge completions of samples, all at once. Where tokens count, a word is taken for one.

        Raises:
            InputError: the grader cannot judge here, as without its model.
        """
        candidates = [
            Candidate(sample, completion, measured={"tokens": float(len(completion.split())), "truncated": 0.0})
            for sample, completion in zip(samples, completions, strict=True)
        ]
        judged = self.grader.grade(candidates) if candidates else ()
        return [
            Value(None, each.reason) if isinstance(each, Unscored) else Value(each.values[self.column], each.reason)
            for each in judged
        ]


def roles_of(task: Task) -> list[Role]:
    """Return the reward and the gold of a task, one if they are the same.

    Raises:
        InputError: a grader or its column does not exist, or an option is wrong.
    """
    if task.reward == task.gold:
        return [_role(task, "reward and gold", task.reward)]
    return [_role(task, "reward", task.reward), _role(task, "gold", task.gold)]


def _role(task: Task, name: str, place: tuple[str, str]) -> Role:
    grader_name, column = place
    try:
        grader = load_grader(grader_name, task.graders.get(grader_name, {}))
    except InputError as error:
        raise InputError(f"{task.folder / 'task.yaml'}: {name}: {error}") from error
    if column not in grader.columns:
        wrong = unknown(f"column of grader {grader_name!r}", column, grader.columns)
        raise InputError(f"{task.folder / 'task.yaml'}: {name}: {wrong}")
    return Role(name, grader, column)
