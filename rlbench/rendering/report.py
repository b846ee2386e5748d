"""The record that everything in this package renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlbench.records import Outcome


@dataclass(frozen=True)
class RunRecord:
    """One seed of one arm on one task: how it ended, how it learned and what it spent.

    `curve` holds one row per training step (`step`, `completions`, `seconds`, `reward_mean`, `dev_reward`, ...); a
    value that was not measured is None or absent. `usage` is what was metered (`completions`, `seconds`, `phases`,
    ...); it may be empty for a run that failed.
    """

    arm: str
    task: str
    seed: int
    outcome: Outcome
    curve: Sequence[Mapping[str, float | None]] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Everything a report shows.

    `comparison` is the content of comparison.json. `definitions` maps an algorithm to every axis and its value.
    `reproduce` is a shell command; `downloads` maps a label to a file name relative to the page.
    """

    comparison: Mapping[str, Any]
    runs: Sequence[RunRecord] = ()
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    reproduce: str = ""
    downloads: Mapping[str, str] = field(default_factory=dict)
