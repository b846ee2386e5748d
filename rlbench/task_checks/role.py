"""A task's reward and gold as the checks use them: a grader's column that gives completions values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlbench.graders.roles import check_column, load_grader
from rlbench.records import Candidate, Grader, Metric, Sample, Unscored
from rlbench.registry import load
from rlbench.tasks.task import Task
from rlbench.yaml_file import YamlDocument, blame, read_yaml


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

    All that task.yaml names is looked for, also graders and metrics that neither needs.

    Raises:
        InputError: a grader, its column or a metric does not exist, or an option is wrong; the message names the line.
    """
    document = read_yaml(task.folder / "task.yaml")
    for name, options in task.graders.items():
        with blame(document, "graders", name):
            load_grader(name, options)
    for index, name in enumerate(task.metrics):
        with blame(document, "metrics", index):
            metric: Metric = load("metrics", name)
            grader = _grader(task, metric.grader)
            for column in metric.columns:
                check_column(grader, column)
    if task.reward == task.gold:
        return [_role(task, document, "reward and gold", task.reward)]
    return [_role(task, document, "reward", task.reward), _role(task, document, "gold", task.gold)]


def _role(task: Task, document: YamlDocument, name: str, place: tuple[str, str]) -> Role:
    grader_name, column = place
    with blame(document, "gold" if name == "gold" else "reward"):
        grader = _grader(task, grader_name)
        check_column(grader, column)
    return Role(name, grader, column)


def _grader(task: Task, name: str) -> Grader:
    return load_grader(name, task.graders.get(name, {}))
