"""Loads public data sets through the package `datasets`: from the hub, or from a local folder in the hub's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlbench.errors import InputError
from rlbench.tasks.definition import HubSource, RowRange
from rlbench.tasks.revisions import check_recorded, content_hash, recorded_revision
from rlbench.tasks.rows import Row, Rows, cut
from rlbench.tasks.template import look_up

DATA_DIR_HINT = "give the folder that holds local copies with --data-dir or RLBENCH_DATA_DIR"


def hub_rows(task: str, hub: HubSource, split: str, wanted: RowRange | None = None) -> Rows:
    """Load the wanted rows of a split from the hub, at the revision that is given or was recorded at first.

    Raises:
        InputError: `datasets` is not installed, or the data cannot be loaded or is not what was recorded.
    """
    place = _place(hub.id, hub, split)
    revision = hub.revision or recorded_revision(place) or _newest(hub.id)
    try:
        records = _load(task, hub.id, hub, split, name=hub.config, data_dir=hub.data_dir, revision=revision)
    except _CannotLoad as error:
        raise InputError(
            f"task {task!r}: cannot load split {split!r} of {hub.id!r} from the hub ({error}); "
            f"check the network, or {DATA_DIR_HINT}"
        ) from error
    sha256 = content_hash(records)
    rows = _rows(records, place, hub, f"hub:{hub.id}@{revision or 'unknown'} sha256:{sha256}")
    rows = cut(rows, wanted, f"task {task!r}: hub_rows", hub.id)
    if hub.revision is None:
        check_recorded(place, sha256, revision)
    return rows


def folder_rows(task: str, folder: Path, hub: HubSource, split: str, wanted: RowRange | None = None) -> Rows:
    """Load the wanted rows of a split from a local folder in the hub's layout; what it holds is recorded at first.

    Raises:
        InputError: `datasets` is not installed, or the data cannot be loaded or is not what was recorded.
    """
    place = _place(str(folder.resolve()), hub, split)
    try:
        records = _load(task, str(folder), hub, split, **_local_choice(folder, hub))
    except _CannotLoad as error:
        raise InputError(
            f"task {task!r}: cannot load split {split!r} from {folder} ({error}); expected a copy of {hub.id!r} "
            "in the hub's layout"
        ) from error
    sha256 = content_hash(records)
    rows = cut(_rows(records, place, hub, f"sha256:{sha256}"), wanted, f"task {task!r}: hub_rows", str(folder))
    check_recorded(place, sha256)
    return rows


class _CannotLoad(Exception):
    """What one of the libraries below `datasets` said, in a line."""


def _load(task: str, path: str, hub: HubSource, split: str, **choice: str | None) -> list[dict[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            f"task {task!r}: loading {hub.id!r} needs the package `datasets`; "
            f"pip install 'rlbench[hub]', or {DATA_DIR_HINT}"
        ) from error
    try:
        given = {key: value for key, value in choice.items() if value is not None}
        records = list(datasets.load_dataset(path, split=split, **given))
    except Exception as error:  # datasets lets the errors of a dozen libraries through
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise _CannotLoad(f"{type(error).__name__}: {reason}") from error
    if not records:
        raise _CannotLoad("it is empty")
    return records


def _newest(dataset: str) -> str | None:
    """Return the commit that is the newest now, or None where the hub cannot be asked (then loading says why)."""
    if Path(dataset).is_dir():
        return None
    try:
        from huggingface_hub import HfApi

        return HfApi().dataset_info(dataset).sha
    except Exception:  # no package, no network, no such data set
        return None


def _local_choice(folder: Path, hub: HubSource) -> dict[str, str | None]:
    """Choose the configuration in a local folder, which need not have the card that names it.

    Without a card the configuration's files stand in the folder of its name, or are the only ones.
    """
    if hub.config is None or _has_configurations(folder):
        return {"name": hub.config, "data_dir": hub.data_dir}
    named = hub.config if (folder / hub.config).is_dir() else None
    return {"data_dir": hub.data_dir or named}


def _has_configurations(folder: Path) -> bool:
    card = folder / "README.md"
    return card.is_file() and "config_name:" in card.read_text(encoding="utf-8", errors="replace")


def _place(path: str, hub: HubSource, split: str) -> str:
    chosen = ", ".join(part for part in (hub.config or "default", hub.data_dir, split) if part)
    return f"{path} ({chosen})"


def _rows(records: list[dict[str, Any]], place: str, hub: HubSource, provenance: str) -> Rows:
    """Give the rows our names for fields beside their own."""
    rows = []
    for number, record in enumerate(records):
        where = f"{place}, row {number}"
        renamed = {ours: look_up(theirs, record, where) for ours, theirs in hub.fields.items()}
        rows.append(Row({**record, **renamed}, where))
    return Rows(tuple(rows), provenance)
