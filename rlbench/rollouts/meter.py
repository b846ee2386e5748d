"""Counts what a run spends, in every currency, as the loops spend it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from rlbench.policies.device import peak_memory_bytes, synchronize

UNPAID = ("dev", "gold")
"""Phases that measure and teach nothing: evaluation on the dev split, and the gold reward of what was sampled."""


@dataclass
class Phase:
    """Wall-clock seconds and tokens processed in one kind of work."""

    seconds: float = 0.0
    tokens: int = 0


@dataclass
class Meter:
    """The running totals of one training run. It is saved in checkpoints and goes on after a resume.

    `flops` counts 2 x parameters x tokens for a forward pass and three times that for one with its backward pass;
    attention scores are left out.
    """

    prompts: int = 0
    completions: int = 0
    generated_tokens: int = 0
    trained_tokens: int = 0
    reward_calls: int = 0
    optimizer_steps: int = 0
    flops: int = 0
    peak_memory_bytes: int = 0
    phases: dict[str, Phase] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, device: torch.device) -> Iterator[Phase]:
        """Add the time of the block to phase `name`; the block adds its tokens."""
        phase = self.phases.setdefault(name, Phase())
        started = time.perf_counter()
        yield phase
        synchronize(device)
        phase.seconds += time.perf_counter() - started
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory_bytes(device))

    def forward(self, parameters: int, tokens: int) -> None:
        """Charge a forward pass."""
        self.flops += 2 * parameters * tokens

    def forward_backward(self, parameters: int, tokens: int) -> None:
        """Charge a forward and backward pass."""
        self.flops += 6 * parameters * tokens

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training; what is only measured (`UNPAID`) is not counted."""
        return sum(phase.seconds for name, phase in self.phases.items() if name not in UNPAID)

    def to_json(self) -> dict[str, Any]:
        """All totals as a JSON object."""
        return {**asdict(self), "seconds": self.seconds}

    @staticmethod
    def from_json(saved: dict[str, Any]) -> Meter:
        """Restore what `to_json` returned."""
        totals = {key: value for key, value in saved.items() if key not in ("seconds", "phases")}
        return Meter(**totals, phases={name: Phase(**phase) for name, phase in saved["phases"].items()})
