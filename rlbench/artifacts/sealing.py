"""Sealed folders: written under a hidden name, fsynced, renamed once to a new name, never overwritten.

A sealed folder holds `manifest.json` with the sha256 and size of every other file, and `manifest.sha256` with the
checksum of the manifest itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlbench.artifacts.files import hash_file, read_json, write_json
from rlbench.errors import CorruptArtifact

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    own = (folder / MANIFEST, folder / SEAL)
    return sorted(path for path in folder.rglob("*") if path.is_file() and path not in own)


def seal(folder: Path, target: Path, manifest: Mapping[str, Any]) -> None:
    """Turn a finished folder into the sealed folder `target`, in one rename.

    Args:
        folder: the hidden folder with the finished files, on the same file system as `target`.
        target: the final name; must not exist.
        manifest: what to record beside the files' checksums.
    """
    files = {
        path.relative_to(folder).as_posix(): {"sha256": hash_file(path), "bytes": path.stat().st_size}
        for path in _files(folder)
    }
    write_json(folder / MANIFEST, {"schema_version": SCHEMA_VERSION, **manifest, "files": files})
    (folder / SEAL).write_text(hash_file(folder / MANIFEST) + "\n")
    for path in [*folder.rglob("*"), folder]:
        _fsync(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise CorruptArtifact(f"{target}: exists already; sealed folders are never overwritten")
    folder.rename(target)
    _fsync(target.parent)


def verify(folder: Path) -> dict[str, Any]:
    """Check every byte of a sealed folder and return its manifest.

    Raises:
        CorruptArtifact: a file is missing, added or changed.
    """
    try:
        promised = (folder / SEAL).read_bytes()
        actual = hash_file(folder / MANIFEST)
    except OSError as error:
        raise CorruptArtifact(f"{folder}: is not a sealed folder ({error})") from error
    if promised != f"{actual}\n".encode():
        raise CorruptArtifact(f"{folder / MANIFEST}: its sha256 is {actual[:12]}…, which is not what {SEAL} holds")
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    if found.keys() != manifest["files"].keys():
        changed = sorted(found.keys() ^ manifest["files"].keys())
        raise CorruptArtifact(f"{folder}: files missing or added since it was sealed: {', '.join(changed)}")
    for name, record in manifest["files"].items():
        if found[name].stat().st_size != record["bytes"] or hash_file(found[name]) != record["sha256"]:
            raise CorruptArtifact(f"{found[name]}: its bytes are not those that were sealed")
    return manifest


def remove(folder: Path) -> None:
    """Delete a folder of unfinished work, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)
