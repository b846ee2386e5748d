"""The leak guard: no test prompt may also stand among the prompts that train or select."""

from __future__ import annotations

import hashlib

from rlbench.errors import InputError
from rlbench.tasks.task import DEMONSTRATIONS, Task


def check_leaks(task: Task, held_out: str = "test") -> None:
    """Compare the prompts of `held_out` with those of every other split and of the demonstrations, by hash.

    Prompts that differ only in blanks are the same. A task without that split has nothing to leak.

    Raises:
        InputError: a prompt of `held_out` stands elsewhere too.
    """
    if held_out not in task.splits:
        return
    secret = {_hash(sample.prompt): sample.sample_id for sample in task.samples(held_out)}
    prompts = {split: [sample.prompt for sample in task.samples(split)] for split in task.splits if split != held_out}
    if task.has_demonstrations:
        prompts[DEMONSTRATIONS] = [prompt for prompt, _ in task.demonstrations()]
    for place, others in prompts.items():
        leaked = sorted({secret[_hash(prompt)] for prompt in others if _hash(prompt) in secret})
        if leaked:
            raise InputError(
                f"task {task.name!r}: {len(leaked)} of {len(secret)} prompts of split {held_out!r} also stand in "
                f"{place} (first: {leaked[0]}); remove them from one of the two"
            )


def _hash(prompt: str) -> bytes:
    return hashlib.sha256(" ".join(prompt.split()).encode()).digest()
