"""Runs all checks of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import get_args

from rlbench.errors import InputError
from rlbench.task_checks.agreement import check_agreement
from rlbench.task_checks.check import Check
from rlbench.task_checks.completions import Kind
from rlbench.task_checks.data import check_lengths, check_preferences, check_prompts
from rlbench.task_checks.generated import check_generated
from rlbench.task_checks.grading import check_answers, check_finite, check_references, check_wrong
from rlbench.task_checks.judged import judge
from rlbench.task_checks.role import Role, roles_of
from rlbench.task_checks.spans import check_spans
from rlbench.task_checks.tokens import Tokens
from rlbench.tasks.task import Task


def run_checks(task: Task, tokens: Tokens | None = None, full: bool = False) -> Iterator[Check]:
    """Check a task's data, and its reward and gold on completions that are known to be right or wrong.

    `tokens` counts tokens for lengths; without it words are counted. `full` judges all references.

    Raises:
        InputError: data is missing or malformed, or a grader or a metric does not exist.
    """
    roles = roles_of(task)
    for split in task.splits:
        task.samples(split)
    yield from check_prompts(task)
    yield from check_lengths(task, tokens)
    yield from check_spans(task)
    yield from check_generated(task)
    for role in roles:
        yield from _unless_unable(role.title, partial(_role_checks, task, role, full))
    if task.has_preferences:
        yield check_preferences(task, roles[-1])


def _role_checks(task: Task, role: Role, full: bool) -> Iterator[Check]:
    judged = judge(task, role, full)
    yield check_references(task, judged)
    for kind in get_args(Kind):
        yield check_wrong(task, judged, kind)
    yield check_finite(task, judged)
    yield from check_answers(task, role, full)
    yield from check_agreement(task, role, full)


def _unless_unable(name: str, checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """A grader that cannot judge here, as without its model or its package, says why: that is no fault of the task."""
    try:
        yield from checks()
    except InputError as error:
        yield Check(name, "not checked", str(error))
