"""Prompts that nobody trained on because a reward cannot judge their completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering.table import Cell, Table, numeric, plain
from rlbench.rendering.text import plural, visible


def excluded_table(comparison: Mapping[str, Any]) -> Table | None:
    """One row a reason and task, the most frequent first; None where no prompt was left out."""
    found = sorted(_rows(comparison), key=lambda row: -int(row["prompts"]))
    rows = [
        [
            Cell(visible(str(row["reason"]))),
            Cell(visible(str(row["task"]))),
            Cell(f"{row['prompts']:,}", sort=row["prompts"]),
        ]
        for row in found
    ]
    return Table("Reasons", [*plain("reason", "task"), *numeric("prompts")], rows) if rows else None


def excluded_sentence(comparison: Mapping[str, Any]) -> str:
    """How many prompts are left out in all; an empty text where none is."""
    count = sum(int(row["prompts"]) for row in _rows(comparison))
    if not count:
        return ""
    verb = "is" if count == 1 else "are"
    return f"{plural(count, 'training or dev prompt')} {verb} left out for every arm: a reward cannot judge them."


def _rows(comparison: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return comparison.get("excluded") or ()
