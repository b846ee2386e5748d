"""What is known of one training run when arms are compared: how it ended, its curve, and what it recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrainedRun:
    """One seed of one arm on one task."""

    arm: str
    task: str
    seed: int
    curve: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """The algorithm's options."""
    status: str = "completed"
    detail: str = ""
    step: int | None = None
    """Where it diverged."""
    chat_template: str = "unknown"
    rollouts_digest: str = ""
    evaluated_kl: float | None = None
    """KL to the SFT policy of the trained policy's evaluation, nats per completion."""

    @property
    def step_size(self) -> str:
        """The option that says how far a step goes."""
        return "max_kl" if "max_kl" in self.options else "learning_rate"

    def series(self, name: str) -> list[float]:
        """The measured values of a diagnostic, in order."""
        return [float(row[name]) for row in self.curve if is_number(row.get(name))]

    def first_step(self, name: str, bound: float) -> int | None:
        """The first step at which a diagnostic reached `bound`."""
        steps = [row["step"] for row in self.curve if is_number(row.get(name)) and row[name] >= bound]
        return int(steps[0]) if steps else None


def is_number(value: Any) -> bool:
    """Whether a diagnostic was measured: a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def first_third(values: Sequence[float]) -> list[float]:
    """The first third, rounded up."""
    return list(values[: -(-len(values) // 3)])


def last_third(values: Sequence[float]) -> list[float]:
    """The last third, rounded up."""
    return list(values[len(values) - -(-len(values) // 3) :])
