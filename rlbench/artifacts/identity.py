"""What makes a result what it is, and the name of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rlbench.artifacts.files import hash_json

STAGES = ("prepare", "train", "sample", "score", "compare", "report")


@dataclass(frozen=True)
class Place:
    """Where a result lies inside a run."""

    stage: str
    name: str
    fingerprint: str

    @property
    def folder(self) -> Path:
        """Path of the sealed folder."""
        return Path(self.stage) / f"{self.name}-{self.fingerprint[:12]}"

    @property
    def partial(self) -> Path:
        """Path of the hidden folder for unfinished work."""
        return Path(self.stage) / f".{self.name}-{self.fingerprint[:12]}.partial"


@dataclass(frozen=True)
class Identity:
    """What makes a result what it is. Two results with the same fingerprint are interchangeable.

    `inputs` are the identities of the folders it is made from, `config` everything else that shapes it, `versions`
    the hand-raised versions of the code that makes it.
    """

    stage: str
    name: str
    inputs: Mapping[str, Identity] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over stage, inputs' fingerprints, config and versions; the name is only a label."""
        return hash_json(
            {
                "stage": self.stage,
                "inputs": {role: made.fingerprint for role, made in self.inputs.items()},
                "config": self.config,
                "versions": self.versions,
            }
        )

    @property
    def place(self) -> Place:
        """Where the result lies inside a run."""
        return Place(self.stage, self.name, self.fingerprint)
