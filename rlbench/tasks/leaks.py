"""The leak guard: no test prompt may also stand among the prompts that train or select."""

from __future__ import annotations

from rlbench.errors import InputError
from rlbench.tasks.prompts import prompt_hash
from rlbench.tasks.task import DEMONSTRATIONS, PREFERENCES, Task


def check_leaks(task: Task, held_out: str = "test") -> None:
    """Compare the prompts of `held_out` with those of every other split, the demonstrations and preferences, by hash.

    Prompts that differ only in blanks and capitals are the same. A task without that split has nothing to leak.

    Raises:
        InputError: a prompt of `held_out` stands elsewhere too.
    """
    if held_out not in task.splits:
        return
    secret = {prompt_hash(sample.prompt): sample.sample_id for sample in task.samples(held_out)}
    places = prompts_by_place(task)
    del places[held_out]
    for place, others in places.items():
        hashes = {prompt_hash(prompt) for prompt in others}
        leaked = sorted(sample_id for known, sample_id in secret.items() if known in hashes)
        if leaked:
            raise InputError(
                f"task {task.name!r}: {len(leaked)} of {len(secret)} prompts of split {held_out!r} also stand in "
                f"{place} (first: {leaked[0]}, {task.where(leaked[0])}); remove them from one of the two"
            )


def prompts_by_place(task: Task) -> dict[str, list[str]]:
    """Return the prompts of every split, and of the demonstrations and preferences that the task has.

    Raises:
        InputError: data is missing or malformed.
    """
    prompts = {split: [sample.prompt for sample in task.samples(split)] for split in task.splits}
    if task.has_demonstrations:
        prompts[DEMONSTRATIONS] = [prompt for prompt, _ in task.demonstrations()]
    if task.has_preferences:
        prompts[PREFERENCES] = [each.prompt for each in task.preferences()]
    return prompts
