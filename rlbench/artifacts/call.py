"""A stage call: which result to make, from which sealed folders, and where."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlbench.artifacts.identity import Identity
from rlbench.artifacts.run_folder import ERROR, RESULT, RunFolder


@dataclass(frozen=True)
class Circumstances:
    """Where a call runs. None of it changes what the result is, so none of it is part of a fingerprint."""

    data_dir: Path | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    base_path: Path | None = None
    """The folder or hub snapshot of the base policy, unless rlbench builds it."""
    task_paths: dict[str, str] = field(default_factory=dict)
    """What the experiment calls each task: a built-in name or a path."""
    checkpoint_every: int = 20
    reproduce: str = ""
    """The command that makes the whole experiment again."""


@dataclass(frozen=True)
class Call:
    """One call of a stage function. It can be sent to another process."""

    identity: Identity
    folder: RunFolder
    circumstances: Circumstances

    @property
    def config(self) -> dict[str, Any]:
        """The call's part of the experiment."""
        return dict(self.identity.config)

    def input(self, role: str) -> Path:
        """The sealed folder that plays `role`."""
        return self.folder.path(self.identity.inputs[role])

    def inputs(self, prefix: str) -> dict[str, Path]:
        """The sealed folders whose role is `prefix/KEY`, by KEY."""
        start = prefix + "/"
        return {role.removeprefix(start): self.input(role) for role in self.identity.inputs if role.startswith(start)}

    @property
    def work(self) -> Path:
        """Hidden folder for checkpoints of this call; it outlives a crash and goes away when the call is done."""
        return self.folder.partial(self.identity)

    def note_failure(self, message: str) -> None:
        """Leave a word about why the call failed, unless it has left one itself."""
        note = self.work / ERROR
        with contextlib.suppress(OSError):
            if not note.exists():
                note.write_text(message + "\n", encoding="utf-8")

    @property
    def out(self) -> Path:
        """Folder to write the result's files into. It is new for every attempt."""
        return self.work / RESULT
