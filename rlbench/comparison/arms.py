"""What a comparison compares: arms, each with the score tables of its tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

Kind = Literal["shared", "algorithm", "completions"]


@dataclass(frozen=True)
class TaskScores:
    """One task as one arm answered it.

    `tables` are rows of completions, by seed and grader: `sample_id`, `completion_index`, the grader's columns,
    `reason`. `samples` says what is known of each prompt (`sample_id`, `prompt_characters`, `slice_NAME`), or is None
    where the scores are older than that. `graders` are [version, options] by name, `data` is the fingerprint of the
    task's split.
    """

    task: str
    split: str
    data: str
    graders: Mapping[str, Any]
    metrics: tuple[str, ...]
    primary: str
    sample_ids: tuple[str, ...]
    tables: Mapping[int, Mapping[str, pd.DataFrame]]
    samples: pd.DataFrame | None = None


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    `seeds` are those that were declared, whether their runs ended well or not, (0,) for completions of a file. `runs`
    say how each training run ended (as in comparison.json), `usage` what it spent, by (task, seed); `shared` names by
    task the fingerprints of what all arms of its experiment share. `fingerprint` is the identity of the arm's source.
    """

    name: str
    kind: Kind
    seeds: tuple[int, ...]
    tasks: Mapping[str, TaskScores]
    runs: tuple[Mapping[str, Any], ...] = ()
    usage: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    shared: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """The algorithm and its options, where they are known."""
    fingerprint: str = ""
