"""Remembers what public data was when it was first loaded, and refuses it when it is another later.

What a task.yaml does not pin (a hub's revision, a local file's hash) is recorded in `data_revisions.json`, a JSON
object by place: {"sha256": ..., "revision": commit or null, "recorded": date}.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rlbench.errors import InputError

FILE = "data_revisions.json"


def cache_folder() -> Path:
    """Return where this machine's records are: $RLBENCH_CACHE, $XDG_CACHE_HOME/rlbench or ~/.cache/rlbench."""
    if chosen := os.environ.get("RLBENCH_CACHE"):
        return Path(chosen)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "rlbench"


def recorded_revision(place: str) -> str | None:
    """Return the revision at which `place` was first loaded, or None.

    Raises:
        InputError: the records cannot be read.
    """
    revision = _read(cache_folder() / FILE).get(place, {}).get("revision")
    return None if revision is None else str(revision)


def check_recorded(place: str, sha256: str, revision: str | None = None) -> None:
    """Record the content of `place` if it is new; otherwise it must be what was recorded.

    Raises:
        InputError: it is other content, or the records cannot be read or written.
    """
    path = cache_folder() / FILE
    before = _read(path).get(place)
    if before is None:
        with _locked(path):
            records = _read(path)
            before = records.setdefault(
                place,
                {"sha256": sha256, "revision": revision, "recorded": datetime.now(UTC).strftime("%Y-%m-%d")},
            )
            _replace(path, records)
    if before.get("sha256") != sha256:
        raise InputError(
            f"{place}: is not what it was when it was first loaded: recorded sha256 {before.get('sha256')} "
            f"(revision {before.get('revision')}, {before.get('recorded')}), found {sha256} (revision {revision}); "
            f"get that version again, or delete the key {place!r} from {path} if the change is meant"
        )


def content_hash(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the sha256 of rows as canonical JSON, one per line: it does not depend on the order of keys."""
    digest = hashlib.sha256()
    for record in records:
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), default=str)
        digest.update(text.encode() + b"\n")
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); mend it, or delete it to record all data anew") from error
    if not (isinstance(records, dict) and all(isinstance(record, dict) for record in records.values())):
        raise InputError(f"{path}: expected a JSON object of objects; mend it, or delete it to record all data anew")
    return records


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock beside the records; other processes wait. The system releases it however this one ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}), so the revision of the data cannot be recorded; "
            "name another folder in RLBENCH_CACHE"
        ) from error


def _replace(path: Path, records: Mapping[str, Any]) -> None:
    """Write the records in one step: a reader sees the old or the new ones."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        json.dump(records, file, indent=1, sort_keys=True, ensure_ascii=False)
        file.write("\n")
    Path(file.name).replace(path)
