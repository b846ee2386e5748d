"""A run folder: finds the sealed results of an experiment, quarantines damaged ones, holds unfinished work."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rlbench.artifacts.identity import STAGES, Identity
from rlbench.artifacts.locking import is_locked
from rlbench.artifacts.sealing import MANIFEST, seal, verify
from rlbench.errors import CorruptArtifact, InputError

LOCK = ".lock"
RESULT = "result"
_LIBRARIES = ("rlbench", "torch", "transformers", "numpy", "scipy", "pandas", "pyarrow", "sacrebleu", "rouge-score")


def environment() -> dict[str, str]:
    """What produced a result: versions and the kind of machine, nothing that identifies a person or a path."""
    found = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class RunFolder:
    """The folder that `rlbench run` writes: one sub-folder per stage, one sealed folder per result in it."""

    root: Path

    def path(self, identity: Identity) -> Path:
        """Where the sealed result lies or will lie."""
        return self.root / identity.folder

    def partial(self, identity: Identity) -> Path:
        """Where its unfinished work lies."""
        return self.root / identity.partial

    def lock_file(self, identity: Identity) -> Path:
        """The lock that a worker holds while it makes this result."""
        return self.partial(identity) / LOCK

    def is_sealed(self, identity: Identity) -> bool:
        """Whether the result is there. It is not verified here; see `check`."""
        return self.path(identity).is_dir()

    def is_running(self, identity: Identity) -> bool:
        """Whether a living process is making this result."""
        return is_locked(self.lock_file(identity))

    def check(self, identity: Identity) -> dict[str, Any]:
        """Verify the result's bytes and that it is the result of this identity; return its manifest.

        Raises:
            CorruptArtifact: it is damaged or belongs to something else.
        """
        manifest = verify(self.path(identity))
        if manifest.get("fingerprint") != identity.fingerprint:
            raise CorruptArtifact(f"{self.path(identity)}: its manifest carries another fingerprint than its name")
        return manifest

    def finish(self, identity: Identity, extra: Mapping[str, Any]) -> Path:
        """Seal the finished files of `identity` under its final name and drop its unfinished work."""
        target = self.path(identity)
        manifest = {
            "stage": identity.stage,
            "name": identity.name,
            "fingerprint": identity.fingerprint,
            "inputs": {
                role: {"folder": made.folder.as_posix(), "fingerprint": made.fingerprint}
                for role, made in identity.inputs.items()
            },
            "config": identity.config,
            "versions": identity.versions,
            "environment": environment(),
            **extra,
        }
        seal(self.partial(identity) / RESULT, target, manifest)
        shutil.rmtree(self.partial(identity))
        return target

    def quarantine(self, folder: Path) -> Path:
        """Move a damaged folder out of the way, keeping it for inspection; return its new place."""
        place = self.root / "quarantine"
        place.mkdir(exist_ok=True)
        number = 1
        while (target := place / f"{folder.parent.name}-{folder.name}-{number}").exists():
            number += 1
        folder.rename(target)
        return target

    def sealed_folders(self) -> list[Path]:
        """Every sealed folder of the run, in stage order."""
        return [
            folder
            for stage in STAGES
            for folder in sorted((self.root / stage).glob("*-*"))
            if folder.is_dir() and not folder.name.startswith(".")
        ]


def open_run(root: Path) -> RunFolder:
    """Open an existing run for reading.

    Raises:
        InputError: there is no run at `root`.
    """
    if not (root / "experiment.yaml").is_file():
        raise InputError(
            f"{root}: expected the folder of a run (with experiment.yaml and {MANIFEST} files in its sub-folders); "
            f"give the folder that `rlbench run` named"
        )
    return RunFolder(root)


def warn(message: str) -> None:
    """Tell the user on standard error about something that was repaired or needs attention."""
    print(f"rlbench: {message}", file=sys.stderr, flush=True)
