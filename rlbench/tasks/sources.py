"""Where the rows of a task come from: files of its folder, a public data set (local or from the hub) or a generator."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rlbench.errors import InputError
from rlbench.tasks.definition import Definition, FileSource, LocalFile, PublicSource, PublicSplit, ReasoningGymSource
from rlbench.tasks.hub import DATA_DIR_HINT, folder_rows, hub_rows
from rlbench.tasks.revisions import check_recorded
from rlbench.tasks.rows import DataFile, Rows, file_rows, inside, read_data_file, rows_of


def split_rows(definition: Definition, folder: Path, data_dir: Path | None, split: str) -> Rows:
    """Read the rows of one split of a task.

    Raises:
        InputError: the data is missing, is not what was pinned or recorded, or is malformed.
    """
    source = definition.source
    if isinstance(source, FileSource):
        return file_rows(folder, source.splits[split])
    if isinstance(source, ReasoningGymSource):
        from rlbench.tasks.reasoning_gym import generated_rows

        return generated_rows(definition.name, source, split)
    if data_dir is not None:
        return _local_copy(definition.name, source, data_dir, split)
    if source.hub is None:
        raise InputError(
            f"task {definition.name!r}: its data is on no hub; get it from {source.homepage} into a folder "
            f"{source.data_dir!r} and give the folder above that with --data-dir or RLBENCH_DATA_DIR"
        )
    spec = source.splits[split]
    rows = hub_rows(definition.name, source.hub, spec.hub_split or split)
    return _cut(rows, spec.hub_rows, f"task {definition.name!r}: hub_rows", source.hub.id)


def missing_data(definition: Definition, data_dir: Path | None) -> str:
    """Return why the data of a task is not on this machine, or ""; nothing is loaded to find out."""
    source = definition.source
    if isinstance(source, ReasoningGymSource) and find_spec("reasoning_gym") is None:
        return "its generator is not installed: pip install 'rlbench[reasoning-gym]'"
    if not isinstance(source, PublicSource):
        return ""
    if data_dir is None:
        return f"public data; {DATA_DIR_HINT}"
    if not inside(data_dir, source.data_dir).is_dir():
        return f"public data; there is no folder {source.data_dir!r} in {data_dir}"
    return ""


def describe_source(source: FileSource | PublicSource | ReasoningGymSource) -> str:
    """Say in words where data comes from."""
    if isinstance(source, FileSource):
        return "files of the task"
    if isinstance(source, ReasoningGymSource):
        options = ", ".join(f"{key}={value}" for key, value in source.options.items())
        return f"reasoning-gym {source.dataset}({options}), seed {source.seed}"
    if source.hub is None:
        return f"{source.homepage} (on no hub)"
    chosen = ", ".join(part for part in (source.hub.config, source.hub.data_dir) if part)
    revision = source.hub.revision or "recorded when it is first loaded"
    return f"hub {source.hub.id}{f' ({chosen})' if chosen else ''}, revision {revision}"


def _local_copy(task: str, source: PublicSource, data_dir: Path, split: str) -> Rows:
    """Read a split from the folder of the data set: from its own file, or in the hub's layout."""
    folder = inside(data_dir, source.data_dir)
    spec = source.splits[split]
    origin = repr(source.hub.id) if source.hub else str(source.homepage)
    if not folder.is_dir():
        files = ", ".join(each.path for each in source.splits.values() if each.path) or "in the hub's layout"
        instead = "; leave out --data-dir and RLBENCH_DATA_DIR to load it from the hub" if source.hub else ""
        raise InputError(
            f"task {task!r}: {folder} is not a folder; expected a copy of {origin} there ({files}){instead}"
        )
    if spec.path is not None:
        return _local_file(task, folder, spec, spec.path)
    if source.hub is None:
        raise InputError(f"task {task!r}: split {split!r} has no path and is on no hub; give it a path in task.yaml")
    rows = folder_rows(task, folder, source.hub, spec.hub_split or split)
    return _cut(rows, spec.hub_rows, f"task {task!r}: hub_rows", str(folder))


def _local_file(task: str, folder: Path, spec: PublicSplit, relative: str) -> Rows:
    file = _pinned(folder, LocalFile(path=relative, sha256=spec.sha256))
    beside = {name: _pinned(folder, other) for name, other in spec.beside.items()}
    provenance = " beside ".join(f"sha256:{each.sha256}" for each in (file, *beside.values()))
    rows = Rows(rows_of(file, spec.format, beside), provenance)
    return _cut(rows, spec.rows, f"task {task!r}: rows", str(file.path))


def _pinned(folder: Path, spec: LocalFile) -> DataFile:
    """Read a file, which must be the one that is pinned, or was there when it was first read."""
    file = read_data_file(folder, spec.path)
    if spec.sha256 is None:
        check_recorded(str(file.path.resolve()), file.sha256)
    elif file.sha256 != spec.sha256:
        raise InputError(
            f"{file.path}: is not the file that the task pins: expected sha256 {spec.sha256}, got {file.sha256}; "
            f"get the original again, or pin the new hash in task.yaml if the change is meant"
        )
    return file


def _cut(rows: Rows, wanted: tuple[int, int] | None, key: str, place: str) -> Rows:
    """Take only the rows from the first number to before the second, if numbers are given."""
    if wanted is None:
        return rows
    first, end = wanted
    if end > len(rows.rows):
        raise InputError(f"{key} [{first}, {end}] are asked for, but {place} has only {len(rows.rows)}")
    return Rows(rows.rows[first:end], f"{rows.provenance}[{first}:{end}]")
