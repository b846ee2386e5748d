"""Where the rows of a task come from: files of its folder, a public data set (local or from the hub) or a generator."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from rlbench.errors import InputError
from rlbench.tasks.definition import Definition, FileSource, LocalFile, PublicSource, PublicSplit, ReasoningGymSource
from rlbench.tasks.hub import DATA_DIR_HINT, folder_rows, hub_rows
from rlbench.tasks.revisions import check_recorded
from rlbench.tasks.rows import DataFile, Rows, cut, file_rows, inside, read_data_file, rows_of


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
    return hub_rows(definition.name, source.hub, spec.hub_split or split, spec.hub_rows)


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
    return folder_rows(task, folder, source.hub, spec.hub_split or split, spec.hub_rows)


def _local_file(task: str, folder: Path, spec: PublicSplit, relative: str) -> Rows:
    """Read a split from its own file. What is not pinned is recorded once it was read: a broken copy can be mended."""
    specs = {"": LocalFile(path=relative, sha256=spec.sha256)} | spec.beside
    files = {name: read_data_file(folder, each.path) for name, each in specs.items()}
    for name, file in files.items():
        _check_pin(file, specs[name])
    file, beside = files[""], {name: files[name] for name in spec.beside}
    provenance = " beside ".join(f"sha256:{each.sha256}" for each in files.values())
    rows = cut(Rows(rows_of(file, spec.format, beside), provenance), spec.rows, f"task {task!r}: rows", str(file.path))
    for name, each in files.items():
        if specs[name].sha256 is None:
            check_recorded(str(each.path.resolve()), each.sha256)
    return rows


def _check_pin(file: DataFile, spec: LocalFile) -> None:
    if spec.sha256 is not None and file.sha256 != spec.sha256:
        raise InputError(
            f"{file.path}: is not the file that the task pins: expected sha256 {spec.sha256}, got {file.sha256}; "
            f"get the original again, or pin the new hash in task.yaml if the change is meant"
        )
