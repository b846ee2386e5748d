"""Reading, writing and hashing of the plain files inside artefacts."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlbench.errors import CorruptArtifact, DiskFull, InputError, RlbenchError


def hash_json(value: Any) -> str:
    """sha256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with sorted keys. Numbers that are not finite are an error: write None for missing."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file of a sealed folder.

    Raises:
        CorruptArtifact: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path}: cannot be read as JSON ({error})") from error


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object per line."""
    lines = (json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) for row in rows)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Read a file that `write_jsonl` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def make_folder(path: Path) -> None:
    """Make a folder that the user named, and its parents, unless it is there.

    Raises:
        InputError: a file stands in its place or in that of a parent.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: is not a folder ({error}); choose another folder with --out") from error


@contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Turn "no space left" of any writing library into `DiskFull`, and an unwritable place into `InputError`."""
    try:
        yield
    except RlbenchError:  # explained already
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else None
        full = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or "No space left" in str(error) or "File too large" in str(error):
            raise DiskFull(
                f"{folder}: no space left on the device ({error}). Everything finished so far is kept; "
                f"free some space and run the same command again to go on"
            ) from error
        if code in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise InputError(f"{folder}: cannot be written ({error}); choose another folder with --out") from error
        raise
