"""Checkpoints of unfinished training: each a sealed folder with tensors (safetensors) and state (JSON)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from rlbench.artifacts.files import read_json, write_json
from rlbench.artifacts.run_folder import warn
from rlbench.artifacts.sealing import seal, verify
from rlbench.errors import CorruptArtifact

KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """What was saved: tensors by name, and a JSON state."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """The numbered checkpoints of one purpose in a folder of unfinished work. The newest two are kept."""

    folder: Path
    purpose: str = "checkpoint"
    keep: int | None = KEPT

    def save(self, number: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Save checkpoint `number`; tensors are copied to the CPU."""
        draft = self.folder / f".{self.purpose}.draft"
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(parents=True)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft / "tensors")
        write_json(draft / "state.json", dict(state))
        target = self._path(number)
        if target.exists():  # it was found damaged on resume, or the same step is saved again
            shutil.rmtree(target)
        seal(draft, target, {"checkpoint": number})
        if self.keep is not None:
            for old in self._numbers()[: -self.keep]:
                shutil.rmtree(self._path(old))

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that verifies; damaged ones are reported and removed. None if there is none."""
        for number in reversed(self._numbers()):
            checkpoint = self.load(number)
            if checkpoint is not None:
                return checkpoint
        return None

    def load(self, number: int) -> Checkpoint | None:
        """Checkpoint `number` if it is there and verifies, else None; a damaged one is reported and removed."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            verify(path)
        except CorruptArtifact as error:
            warn(f"damaged checkpoint removed, an earlier one or a fresh start takes its place: {error}")
            shutil.rmtree(path)
            return None
        return Checkpoint(load_file(path / "tensors"), read_json(path / "state.json"))

    def _path(self, number: int) -> Path:
        return self.folder / f"{self.purpose}-{number:06d}"

    def _numbers(self) -> list[int]:
        return sorted(int(path.name.rsplit("-", 1)[1]) for path in self.folder.glob(f"{self.purpose}-*"))
