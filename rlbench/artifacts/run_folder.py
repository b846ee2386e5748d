"""A run folder: finds the sealed results of an experiment, quarantines damaged ones, holds unfinished work."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from rlbench.artifacts.files import read_json
from rlbench.artifacts.identity import STAGES, Identity, Place
from rlbench.artifacts.locking import is_locked
from rlbench.artifacts.sealing import MANIFEST, seal, verify
from rlbench.errors import CorruptArtifact, InputError

EXPERIMENT = "experiment.yaml"
PARTS = "parts.json"
"""Stage, name and fingerprint of everything the experiment consists of; for `status`."""
LOCK = ".lock"
RESULT = "result"
ERROR = "error.txt"
"""Why the last attempt at unfinished work failed."""
OUTCOME = "outcome.json"
"""How a training run ended."""
State = Literal["done", "diverged", "running", "failed", "unfinished", "missing"]
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
        return self.root / identity.place.folder

    def partial(self, identity: Identity) -> Path:
        """Where its unfinished work lies."""
        return self.root / identity.place.partial

    def is_sealed(self, identity: Identity) -> bool:
        """Whether the result is there. It is not verified here; see `check`."""
        return self.path(identity).is_dir()

    def check(self, place: Place) -> dict[str, Any]:
        """Verify the result's bytes and that it is the result of this place; return its manifest.

        Raises:
            CorruptArtifact: it is damaged or belongs to something else.
        """
        folder = self.root / place.folder
        manifest = verify(folder)
        if manifest.get("fingerprint") != place.fingerprint:
            raise CorruptArtifact(f"{folder}: its manifest carries another fingerprint than its name")
        return manifest

    def state(self, place: Place) -> State:
        """How far a part of the experiment is.

        Raises:
            CorruptArtifact: it is sealed but damaged.
        """
        partial = self.root / place.partial
        if (self.root / place.folder).is_dir():
            self.check(place)
            outcome = self.root / place.folder / OUTCOME
            return "diverged" if outcome.exists() and read_json(outcome)["status"] == "diverged" else "done"
        if is_locked(partial / LOCK):
            return "running"
        if (partial / ERROR).exists():
            return "failed"
        return "unfinished" if partial.exists() else "missing"

    def parts(self) -> list[Place]:
        """Everything the experiment consists of, as the last `rlbench run` wrote it down."""
        try:
            return [Place(*map(str, part)) for part in read_json(self.root / PARTS)]
        except TypeError as error:
            raise CorruptArtifact(f"{self.root / PARTS}: is damaged ({error}); `rlbench run` writes it anew") from error

    def finish(self, identity: Identity, extra: Mapping[str, Any]) -> Path:
        """Seal the finished files of `identity` under its final name and drop its unfinished work."""
        target = self.path(identity)
        manifest = {
            "stage": identity.stage,
            "name": identity.name,
            "fingerprint": identity.fingerprint,
            "inputs": {
                role: {"folder": made.place.folder.as_posix(), "fingerprint": made.fingerprint}
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
    if not (root / EXPERIMENT).is_file():
        raise InputError(
            f"{root}: expected the folder of a run (with {EXPERIMENT} and {MANIFEST} files in its sub-folders); "
            f"give the folder that `rlbench run` named"
        )
    return RunFolder(root)


def warn(message: str) -> None:
    """Tell the user on standard error about something that was repaired or needs attention."""
    print(f"rlbench: {message}", file=sys.stderr, flush=True)
