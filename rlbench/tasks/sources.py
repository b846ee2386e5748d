"""Where the rows of a task come from: JSON Lines files of its folder, or a public data set, local or from the hub."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from rlbench.errors import InputError
from rlbench.tasks.definition import Definition, FileSource, HubSource, PinnedFile, PublicSource

DATA_DIR_HINT = "give the folder that holds local copies with --data-dir or RLBENCH_DATA_DIR"


class Row(NamedTuple):
    """The fields of one item, and "file:line" (or the place on the hub) for messages."""

    fields: Mapping[str, Any]
    where: str


class Rows(NamedTuple):
    """The rows of a split, and what identifies the bytes they were read from."""

    rows: tuple[Row, ...]
    provenance: str


def split_rows(definition: Definition, folder: Path, data_dir: Path | None, split: str) -> Rows:
    """Read the rows of one split of a task.

    Raises:
        InputError: the data is missing, is not what was pinned, or is malformed.
    """
    source = definition.source
    if isinstance(source, FileSource):
        return file_rows(folder, source.splits[split])
    if data_dir is not None:
        return _local_copy(definition.name, source, data_dir, source.splits[split])
    return hub_rows(definition.name, source.hub, source.splits[split].hub_split or split)


def file_rows(root: Path, relative: str, sha256: str | None = None) -> Rows:
    """Read a JSON Lines file below `root`; with `sha256`, its bytes must have that hash.

    Raises:
        InputError: the path leaves `root`, or the file is missing, differs, is empty or has a malformed line.
    """
    path = inside(root, relative)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise InputError(
            f"{path}: is not the file that the task pins: expected sha256 {sha256}, got {found}; "
            f"get the original again, or pin the new hash in task.yaml if the change is meant"
        )
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rows = tuple(_row(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip())
    if not rows:
        raise InputError(f"{path}: the file is empty; expected one JSON object per line")
    return Rows(rows, f"sha256:{found}")


def inside(root: Path, relative: str) -> Path:
    """Return `root / relative`, which may not leave `root`, not even through a link.

    Raises:
        InputError: the path is absolute, has `..` in it or leads outside.
    """
    for pure in (PurePosixPath(relative), PureWindowsPath(relative)):
        if pure.is_absolute() or pure.drive or pure.root or ".." in pure.parts or "\0" in relative:
            raise InputError(f"{relative!r}: expected a path inside {root}, without '..' and not absolute")
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{path}: leads outside {root} (to {path.resolve()}); put the file itself there")
    return path


def hub_rows(task: str, hub: HubSource, split: str) -> Rows:
    """Load a split from the hub (or from a local folder in its layout) through `datasets`.

    Raises:
        InputError: `datasets` is not installed, or the data cannot be loaded.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"task {task!r}: loading {hub.id!r} from the hub needs the package `datasets`; "
            f"pip install 'rlbench[hub]', or {DATA_DIR_HINT}"
        ) from error
    try:
        loaded = datasets.load_dataset(hub.id, name=hub.config, split=split, revision=hub.revision)
        records = list(loaded)
    except Exception as error:  # datasets lets the errors of a dozen libraries through
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise InputError(
            f"task {task!r}: cannot load split {split!r} of {hub.id!r} from the hub "
            f"({type(error).__name__}: {reason}); check the network, or {DATA_DIR_HINT}"
        ) from error
    if not records:
        raise InputError(f"task {task!r}: split {split!r} of {hub.id!r} on the hub is empty")
    place = f"{hub.id} ({hub.config or 'default'}, {split})"
    rows = tuple(Row(record, f"{place}, row {number}") for number, record in enumerate(records))
    return Rows(rows, f"hub:{hub.id}@{hub.revision or _resolved_revision(loaded)}")


def _resolved_revision(loaded: Any) -> str:
    """Return the commit that `datasets` resolved "newest" to, which it keeps in the addresses it downloaded."""
    for address in loaded.info.download_checksums or {}:
        commit = re.search(r"@([0-9a-f]{40})/", str(address))
        if commit:
            return commit[1]
    return "unknown"


def _local_copy(task: str, source: PublicSource, data_dir: Path, pinned: PinnedFile) -> Rows:
    folder = inside(data_dir, source.data_dir)
    if not folder.is_dir():
        raise InputError(
            f"task {task!r}: {folder} is not a folder; expected a copy of {source.hub.id!r} there "
            f"({', '.join(file.path for file in source.splits.values())}); leave out --data-dir and "
            f"RLBENCH_DATA_DIR to load it from the hub"
        )
    path = inside(folder, pinned.path)
    rows = file_rows(data_dir, f"{source.data_dir}/{pinned.path}", pinned.sha256)
    if pinned.rows is None:
        return rows
    first, end = pinned.rows
    if end > len(rows.rows):
        raise InputError(f"task {task!r}: rows [{first}, {end}] are asked for, but {path} has only {len(rows.rows)}")
    return Rows(rows.rows[first:end], f"{rows.provenance}[{first}:{end}]")


def _row(line: bytes, where: str) -> Row:
    try:
        value = json.loads(line.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return Row(value, where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key is given twice")
    return fields


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
