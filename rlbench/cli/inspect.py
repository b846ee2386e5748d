"""`rlbench status`, `rlbench verify` and `rlbench list`: look without changing anything."""

from __future__ import annotations

import importlib
import importlib.util
import re
import textwrap
from pathlib import Path
from typing import Any, Literal

from rlbench.artifacts.files import read_json
from rlbench.artifacts.locking import is_locked
from rlbench.artifacts.run_folder import LOCK, open_run
from rlbench.artifacts.sealing import MANIFEST, verify
from rlbench.errors import CorruptArtifact
from rlbench.registry import FAMILY, load, load_family, names

WIDTH = 120


def show_status(root: Path) -> None:
    """Print one line per part of the run, then what was spent.

    Raises:
        CorruptArtifact: a sealed folder is damaged.
    """
    folder = open_run(root)
    counts: dict[str, int] = {}
    spent: dict[str, float] = {}
    for place in folder.parts():
        state = folder.state(place)
        counts[state] = counts.get(state, 0) + 1
        print(f"{state:10} {place.stage:8} {place.name}")
        usage = root / place.folder / "usage.json"
        if usage.exists():
            for currency, value in read_json(usage).items():
                if isinstance(value, int | float) and currency != "peak_memory_bytes":
                    spent[currency] = spent.get(currency, 0) + value
    print("\n" + ", ".join(f"{count} {state}" for state, count in counts.items()))
    if is_locked(root / LOCK):
        print("A run is working on this folder now.")
    if spent:
        print("Spent on training so far: " + ", ".join(f"{value:,.0f} {name}" for name, value in spent.items()))


def verify_run(root: Path) -> None:
    """Check every sealed folder and print how many are sound.

    Raises:
        CorruptArtifact: at least one is damaged; all damage is listed.
    """
    folders = [root] if (root / MANIFEST).exists() else open_run(root).sealed_folders()
    problems = []
    files = 0
    for folder in folders:
        try:
            manifest = verify(folder)
            files += len(manifest["files"])
            fingerprint = manifest.get("fingerprint", "")
            if folder != root and not folder.name.endswith(fingerprint[:12]):
                problems.append(f"{folder}: its manifest carries another fingerprint than its name")
        except CorruptArtifact as error:
            problems.append(str(error))
    if problems:
        raise CorruptArtifact("\n".join([*problems, f"{len(problems)} of {len(folders)} sealed folders are damaged"]))
    print(f"{len(folders)} sealed folders, {files} files: all as they were sealed.")


def list_kind(kind: str) -> None:
    """Print the installed names of a kind with a line about each; a plug-in that does not load gets its error there."""
    if kind == "tasks":
        from rlbench.tasks.task import load_task, task_names

        for name in task_names():
            task = load_task(name)
            print(f"{name:22} {task.description} ({task.licence})")
    elif kind == "metrics":
        for name in names("metrics"):
            print(f"{name:22} {_line('metrics', name)}")
    elif kind == "algorithms":
        _list_algorithms()
    elif kind == "trainers":
        installed = "installed" if importlib.util.find_spec("trl") else "not installed"
        print(f"{'native':22} the online and offline loops of rlbench")
        print(f"{'trl':22} checked by `rlbench conform trl` (extra trl: {installed})")
    else:
        for name in names("graders"):
            print(f"{name:22} {_line('graders', name)}")


def _list_algorithms() -> None:
    """What every algorithm learns from and needs, in columns."""
    rows: dict[str, tuple[str, ...] | str] = {name: _algorithm(name) for name in names("algorithms")}
    head = ("name", "paper", "data", "needs")
    table = [head, *((name, *row[:3]) for name, row in rows.items() if not isinstance(row, str))]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    widths[0] = max(widths[0], *map(len, rows), 0)

    def line(cells: tuple[str, ...], words: str) -> str:
        columns = "".join(f"{cell:{width}}  " for cell, width in zip(cells, widths, strict=True))
        return textwrap.fill(words, max(WIDTH, len(columns) + 24), initial_indent=columns,
                             subsequent_indent=" " * len(columns))  # fmt: skip

    print(line(head, "what it is"))
    for name, row in rows.items():
        print(f"{name:{widths[0]}}  {row}" if isinstance(row, str) else line((name, *row[:3]), row[3]))


def _algorithm(name: str) -> tuple[str, ...] | str:
    """Paper, data, needs and a line about the algorithm; or why it cannot be loaded."""
    try:
        factory = load("algorithms", name)
        algorithm = factory()
        return algorithm.paper, algorithm.data, ", ".join(algorithm.needs) or "nothing", _summary(factory, name)
    except Exception as error:  # whatever a plug-in does wrong, the others are still listed
        return _problem(error)


def _line(kind: Literal["graders", "metrics"], name: str) -> str:
    try:
        if name.endswith(FAMILY):
            return _summary(load_family(kind, name), name)
        found = load(kind, name)
        return f"{found.description} [{found.unit}]" if kind == "metrics" else _summary(found, name)
    except Exception as error:
        return _problem(error)


def _problem(error: Exception) -> str:
    return " ".join(f"cannot be loaded: {error or type(error).__name__}".split())


def _summary(factory: Any, name: str) -> str:
    """First line of the docstring of the module that offers the name, without the name that it opens with."""
    module = importlib.import_module(factory.__module__)
    words = ((module.__doc__ or "").strip() or "no description").splitlines()[0]
    title, colon, rest = words.partition(": ")
    return (rest if colon and _letters(title) == _letters(name) else words).removesuffix(".")


def _letters(text: str) -> str:
    """`REINFORCE++` and `reinforce_pp` are the same name."""
    return re.sub(r"[^a-z0-9]", "", text.lower().replace("+", "p"))
