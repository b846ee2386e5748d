"""What a check of a training run can see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["info", "warning", "serious"]


@dataclass(frozen=True)
class Sighting:
    """Something that a check saw in a run. Seeds with the same words share a finding.

    `words` has fields for `facts`; a number becomes the range over the seeds.
    """

    name: str
    severity: Severity
    words: str
    facts: Mapping[str, float | str] = field(default_factory=dict)
    step: int | None = None
