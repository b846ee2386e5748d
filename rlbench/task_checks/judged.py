"""The right and the wrong completions of a task, judged by its reward or gold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rlbench.records import Sample
from rlbench.task_checks.completions import Wrong, evenly, right_forms, wrong_completions
from rlbench.task_checks.role import Role, Value
from rlbench.tasks.task import Task

UNSPLITTABLE = "unsplittable.jsonl"
HELD_OUT, ELSEWHERE = 2000, 200
"""How many samples are judged of the split that is measured, and of each other one. More take long with programs."""
WRONG = 200


@dataclass(frozen=True)
class Right:
    """A completion that should count as right."""

    sample: Sample
    completion: str
    judged: Value


@dataclass(frozen=True)
class Judged:
    """What a role says about right and wrong completions.

    `swapped` says of a completion that is right for another sample what the other way round gets: a reference of this
    sample as a completion of the other. Both are right if two samples have the same answer.
    """

    role: Role
    right: tuple[Right, ...]
    wrong: tuple[tuple[Wrong, Value], ...]
    swapped: dict[str, float | None]

    @property
    def is_verifier(self) -> bool:
        """Whether all values are 0 or 1."""
        values = [each.judged.value for each in self.right] + [value.value for _, value in self.wrong]
        return {value for value in values if value is not None} <= {0.0, 1.0}

    @property
    def lowest(self) -> dict[str, float]:
        """Return the lowest value of the right completions of every sample, by its id."""
        lowest: dict[str, float] = {}
        for each in self.right:
            if each.judged.value is not None:
                name = each.sample.sample_id
                lowest[name] = min(each.judged.value, lowest.get(name, each.judged.value))
        return lowest

    @property
    def highest_wrong(self) -> dict[str, float]:
        """Return the highest value of garbage, nothing and hedged answers of every sample, by its id."""
        highest: dict[str, float] = {}
        for each, judged in self.wrong:
            if each.other is None and judged.value is not None:
                name = each.sample.sample_id
                highest[name] = max(judged.value, highest.get(name, judged.value))
        return highest


def held_out(task: Task) -> str:
    """Return the split that is measured: `test`, or the last one."""
    return "test" if "test" in task.splits else task.splits[-1]


def chosen_samples(task: Task, full: bool) -> list[Sample]:
    """Return the samples whose references are judged, those of the split that is measured first."""
    first = held_out(task)
    chosen = evenly(task.samples(first), None if full else HELD_OUT)
    for split in task.splits:
        if split != first:
            chosen += evenly(task.samples(split), None if full else ELSEWHERE)
    return chosen


def judge(task: Task, role: Role, full: bool) -> Judged:
    """Judge the right and the wrong completions of a task.

    Raises:
        InputError: data is missing or malformed, or the grader cannot judge here.
    """
    right = _judged_right(role, chosen_samples(task, full))
    texts: dict[str, list[str]] = {}
    for each in right:
        texts.setdefault(each.sample.sample_id, []).append(each.completion)
    some = evenly(task.samples(held_out(task)), None if full else WRONG)
    wrong = wrong_completions(some, [texts.get(sample.sample_id, []) for sample in some])
    values = role.values([each.sample for each in wrong], [each.completion for each in wrong])
    crossed = [(each.sample, each.other) for each in wrong if each.other is not None]
    back = role.values([other for _, other in crossed], [texts[sample.sample_id][0] for sample, _ in crossed])
    swapped = {sample.sample_id: value.value for (sample, _), value in zip(crossed, back, strict=True)}
    return Judged(role, right, tuple(zip(wrong, values, strict=True)), swapped)


def _judged_right(role: Role, samples: Sequence[Sample]) -> tuple[Right, ...]:
    """Judge references; where answers stand in their place, they are written in the form that is right most often."""
    forms = [right_forms(sample) for sample in samples]
    best: tuple[Right, ...] = ()
    for number in range(max(map(len, forms), default=0)):
        chosen = [
            (sample, text)
            for sample, each in zip(samples, forms, strict=True)
            if each
            for text in each[min(number, len(each) - 1)]
        ]
        values = role.values([sample for sample, _ in chosen], [text for _, text in chosen])
        right = tuple(Right(*pair, value) for pair, value in zip(chosen, values, strict=True))
        best = max(best, right, key=_total)
        if all(each.judged.value == 1 for each in best):
            break
    return best


def _total(right: Sequence[Right]) -> float:
    return sum(each.judged.value or 0.0 for each in right) if right else float("-inf")


def known_unscored(task: Task) -> set[str]:
    """Return the ids of samples that the task itself lists as impossible to judge."""
    path = task.folder / UNSPLITTABLE
    if not path.is_file():
        return set()
    return {json.loads(line)["sample_id"] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
