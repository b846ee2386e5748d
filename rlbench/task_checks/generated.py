"""The check that the data files of a built-in task are what its generator writes."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from rlbench.task_checks.check import Check, verdict
from rlbench.tasks.rows import file_rows
from rlbench.tasks.task import Task, load_task, task_names

GENERATOR = "generate.py"


def check_generated(task: Task) -> Iterator[Check]:
    """Run the generator of a built-in task, or of a copy of one, and compare its rows with those of the files.

    This finds every change of the data, whatever the graders make of it. Only a generator that ships with rlbench is
    run: to check a task must not run code of its folder. Rows count, not how their JSON is written.
    """
    own = task.folder / GENERATOR
    if not own.is_file():
        return
    known = load_task(task.name).folder / GENERATOR if task.name in task_names() else None
    if known is None or known.read_bytes() != own.read_bytes():
        yield Check("generated", "not checked", f"{own} does not come with rlbench, so it is not run")
        return
    files: dict[str, str] = runpy.run_path(str(known))["files"]()
    present = {name: text for name, text in files.items() if (task.folder / name).is_file()}
    expected = {name: [json.loads(line) for line in text.rstrip("\n").split("\n")] for name, text in present.items()}
    problems = [problem for name, rows in expected.items() for problem in _differences(task.folder, name, rows)]
    total = sum(map(len, expected.values()))
    detail = f"{total} rows of {', '.join(sorted(expected))} are what {GENERATOR} writes"
    yield verdict("generated", problems, total, detail)


def _differences(folder: Path, name: str, expected: list[dict[str, object]]) -> Iterator[str]:
    for number, (row, right) in enumerate(zip_longest(file_rows(folder, name).rows, expected), 1):
        if row is None:
            yield f"{folder / name}: row {number}, which {GENERATOR} writes, is missing"
        elif row.fields != right:
            yield f"{row.where}: is not what {GENERATOR} writes"
