"""`rlbench status`, `rlbench verify` and `rlbench list`: look without changing anything."""

from __future__ import annotations

from pathlib import Path

from rlbench.artifacts.files import read_json
from rlbench.artifacts.locking import is_locked
from rlbench.artifacts.run_folder import LOCK, open_run
from rlbench.artifacts.sealing import MANIFEST, verify
from rlbench.errors import CorruptArtifact
from rlbench.registry import names


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
    """Print the installed names of a kind with a line about each."""
    if kind == "tasks":
        from rlbench.tasks.task import load_task, task_names

        for name in task_names():
            task = load_task(name)
            print(f"{name:22} {task.description} ({task.licence})")
    elif kind == "metrics":
        from rlbench.registry import load

        for name in names("metrics"):
            metric = load("metrics", name)
            print(f"{name:22} {metric.description} [{metric.unit}]")
    elif kind == "trainers":
        print(f"{'native':22} the online and offline loops of rlbench")
    else:
        for name in names("algorithms" if kind == "algorithms" else "graders"):
            print(f"{name:22} {_summary(kind, name)}")


def _summary(kind: str, name: str) -> str:
    """First line of the docstring of the module that offers the name."""
    import importlib

    from rlbench.registry import load

    factory = load("algorithms" if kind == "algorithms" else "graders", name)
    module = importlib.import_module(factory.__module__)
    return ((module.__doc__ or "").strip() or "no description").splitlines()[0]
