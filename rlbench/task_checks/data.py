"""Checks of a task's data: prompts that stand in two places, lengths, preferences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from rlbench.errors import InputError
from rlbench.records import Sample
from rlbench.task_checks.check import Check, short, verdict
from rlbench.task_checks.role import Role
from rlbench.task_checks.tokens import Tokens
from rlbench.tasks.leaks import prompts_by_place
from rlbench.tasks.prompts import prompt_hash
from rlbench.tasks.task import DEMONSTRATIONS, PREFERENCES, Task

_TRAINING = ("train", DEMONSTRATIONS, PREFERENCES)


def check_prompts(task: Task) -> Iterator[Check]:
    """Check that no prompt stands in two splits, nor in the demonstrations or preferences and a split beside `train`.

    Prompts that differ only in blanks and capitals are the same.
    """
    hashes = {place: [prompt_hash(each) for each in prompts] for place, prompts in prompts_by_place(task).items()}
    own = {DEMONSTRATIONS: task.split_of(DEMONSTRATIONS), PREFERENCES: task.split_of(PREFERENCES)}
    for first, second in combinations(hashes, 2):
        if (first in _TRAINING and second in _TRAINING) or own.get(second) == first:
            continue
        common = set(hashes[first]) & set(hashes[second])
        problems = [
            f"{task.where(f'{first}-{index:05d}')} also stands in {second}"
            for index, each in enumerate(hashes[first])
            if each in common
        ]
        detail = f"none of {len(hashes[first])} and {len(hashes[second])} prompts stands in both"
        yield verdict(f"overlap, {first} and {second}", problems, len(hashes[first]), detail)
    for split in task.splits:
        again = len(hashes[split]) - len(set(hashes[split]))
        yield Check(f"prompts, {split}", "ok", f"{len(hashes[split])}, of which {again} repeat another")


def check_lengths(task: Task, tokens: Tokens | None) -> Iterator[Check]:
    """Check that no reference is missing or empty and that all fit into `max_new_tokens`, and say what is longest.

    Without a tokenizer a reference cannot fit if it has more words than tokens are allowed.
    """
    count = tokens or (lambda text: len(text.split()))
    unit = "tokens" if tokens else "words"
    for split in task.splits:
        samples = task.samples(split)
        references = [(sample, text) for sample in samples for text in sample.references]
        without = [sample for sample in samples if task.references and not sample.references]
        problems = [f"{task.where(sample.sample_id)}: has no reference" for sample in without]
        for sample, text in references:
            if not text.strip():
                problems.append(f"{task.where(sample.sample_id)}: a reference is empty")
            elif (length := count(text)) > task.max_new_tokens:
                limit = f"max_new_tokens is {task.max_new_tokens}"
                problems.append(f"{task.where(sample.sample_id)}: a reference has {length} {unit}, but {limit}")
        longest = [f"prompt {_longest([sample.prompt for sample in samples], count, unit)}"]
        if references:
            longest.append(f"reference {_longest([text for _, text in references], count, unit)}")
        yield verdict(f"lengths, {split}", problems, len(references) + len(without), f"longest {', '.join(longest)}")


def _longest(texts: list[str], count: Tokens, unit: str) -> str:
    return f"{max(map(count, texts))} {unit} ({max(map(len, texts))} characters)"


def check_preferences(task: Task, gold: Role) -> Check:
    """Check that a chosen completion differs from the rejected one, and say how often gold agrees with the choice."""
    pairs = task.preferences()
    problems = [
        f"{short(each.prompt)}: chosen and rejected are the same" for each in pairs if each.chosen == each.rejected
    ]
    try:
        said = _agreement(task, gold)
    except InputError as error:
        said = f"gold cannot be asked ({error})"
    return verdict(PREFERENCES, problems, len(pairs), f"{len(pairs)} pairs; {said}")


def _agreement(task: Task, gold: Role) -> str:
    """Say in how many pairs gold prefers the chosen completion; prompts of the splits come with their answers."""
    samples = {sample.prompt: sample for split in task.splits for sample in task.samples(split)}
    pairs = task.preferences()
    judged = [samples.get(each.prompt, Sample("preference", each.prompt)) for each in pairs]
    chosen = gold.values(judged, [each.chosen for each in pairs])
    rejected = gold.values(judged, [each.rejected for each in pairs])
    both = [
        (better.value, worse.value)
        for better, worse in zip(chosen, rejected, strict=True)
        if better.value is not None and worse.value is not None
    ]
    if not both:
        return f"gold scores none of them ({chosen[0].reason})"
    higher = 100 * sum(better > worse for better, worse in both) / len(both)
    return f"gold is higher for the chosen one in {higher:.1f} % of {len(both)}"
