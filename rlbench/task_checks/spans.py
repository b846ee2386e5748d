"""The check that answers which are spans of the prompts are so everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rlbench.task_checks.check import SHOWN, Check, short, verdict
from rlbench.tasks.task import Task

_WORD = re.compile(r"\w+")
FEWEST = 50
MOST = 0.99
"""In a task of at least `FEWEST` references of which more than this stand in their prompts, answers are spans."""


def check_spans(task: Task) -> Iterator[Check]:
    """Check that each reference stands in its prompt, in a task where nearly all do.

    Nothing says in a task.yaml that answers are spans of a text: the data does. In public data, which is what it is,
    those that stand elsewhere are only named. Capitals, blanks and punctuation make no difference.
    """
    pairs = [(sample, text) for split in task.splits for sample in task.samples(split) for text in sample.references]
    foreign = [
        f"{task.where(sample.sample_id)}: reference {short(text)} does not stand in the prompt"
        for sample, text in pairs
        if _words(text) not in _words(sample.prompt)
    ]
    if len(pairs) < FEWEST or len(foreign) >= (1 - MOST) * len(pairs):
        return
    detail = f"{len(pairs) - len(foreign)} of {len(pairs)} references stand in their prompts"
    if foreign and task.is_public:
        detail += f"; {len(foreign)} are worth a look: {'; '.join(foreign[:SHOWN])}"
    yield verdict("spans", [] if task.is_public else foreign, len(pairs), detail)


def _words(text: str) -> str:
    """Return the words of a text, each between blanks."""
    return " " + " ".join(_WORD.findall(text.casefold())) + " "
