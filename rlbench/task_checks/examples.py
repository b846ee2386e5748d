"""A task as people see it: what it is, and three rendered examples."""

from __future__ import annotations

from collections.abc import Iterator

from rlbench.records import Sample
from rlbench.task_checks.completions import evenly
from rlbench.task_checks.judged import held_out
from rlbench.task_checks.tokens import Tokens
from rlbench.tasks.task import DEMONSTRATIONS, PREFERENCES, Task

EXAMPLES = 3


def show(task: Task, split: str | None, tokens: Tokens | None) -> Iterator[str]:
    """Return the lines that show a task with examples of a split, by default the one that is measured.

    Lengths are in tokens if they can be counted, otherwise in characters and words.

    Raises:
        InputError: there is no such split, or data is missing or malformed.
    """
    examples = evenly(task.samples(split or held_out(task)), EXAMPLES)
    yield f"{task.name}: {task.description}"
    for key, value in _facts(task).items():
        yield f"  {key:14} {value}"
    if tokens is None:
        yield "  lengths are in characters and words; --tokenizer counts tokens"
    for sample in examples:
        yield f"\n{sample.sample_id} ({task.where(sample.sample_id)})"
        for title, text in _parts(sample):
            yield f"  {title}, {_length(text, tokens)}:"
            yield from (f"    {_printable(line)}" for line in text.split("\n"))


def _facts(task: Task) -> dict[str, str]:
    sizes = {split: len(task.samples(split)) for split in task.splits}
    if task.has_demonstrations:
        sizes[DEMONSTRATIONS] = len(task.demonstrations())
    if task.has_preferences:
        sizes[PREFERENCES] = len(task.preferences())
    facts = {
        "licence": task.licence,
        "contamination": task.contamination or "",
        "source": task.source,
        "reward": ".".join(task.reward),
        "gold": ".".join(task.gold) if task.gold != task.reward else "the reward",
        "metrics": ", ".join(f"{name} (primary)" if name == task.primary else name for name in task.metrics),
        "max_new_tokens": str(task.max_new_tokens),
        "splits": ", ".join(f"{split} {size}" for split, size in sizes.items()),
    }
    facts |= {f"  {place}": identity for place, identity in task.provenance().items()}
    return {key: " ".join(value.split()) for key, value in facts.items() if value}


def _parts(sample: Sample) -> Iterator[tuple[str, str]]:
    yield "prompt", sample.prompt
    for number, text in enumerate(sample.references, 1):
        yield "reference" if len(sample.references) == 1 else f"reference {number}", text
    if sample.answer is not None:
        yield "answer", sample.answer
    if sample.tests is not None:
        yield (
            "tests",
            sample.tests.code or "\n".join(f"{given!r} -> {wanted!r}" for given, wanted in sample.tests.cases),
        )


def _length(text: str, tokens: Tokens | None) -> str:
    if tokens is None:
        return f"{len(text)} characters, {len(text.split())} words"
    return f"{tokens(text)} tokens"


def _printable(text: str) -> str:
    """Data has a say in what is shown: nothing of it may steer the terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
