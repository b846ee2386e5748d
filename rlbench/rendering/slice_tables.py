"""Tables of slices: scores and difference of a pair of arms in every group of prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.pair import tasks
from rlbench.rendering.slice_lines import Row, slice_lines
from rlbench.rendering.table import Cell, Table, Tone, numeric, plain
from rlbench.rendering.text import label, visible

NOTE = (
    "Adjusted p: Benjamini-Hochberg over all slices of all tasks. Use these rows to find questions, not to answer them."
)


def slice_table(comparison: Mapping[str, Any]) -> Table | None:
    """The pairs that the figures show, in every slice; None where there are no slices."""
    lines = [line for task in tasks(comparison) for line in slice_lines(comparison, task) if line.slice]
    return _table("Slices", [row for line in lines for row in line.rows.values()], comparison)


def slice_pairs_table(comparison: Mapping[str, Any]) -> Table | None:
    """Every pair in every slice; None where `slice_table` says as much."""
    rows = list(comparison.get("slices") or ())
    shown = slice_table(comparison)
    return (
        None if shown is None or len(shown.rows) == len(rows) else _table("All pairs in all slices", rows, comparison)
    )


def _table(title: str, rows: Iterable[Row], comparison: Mapping[str, Any]) -> Table | None:
    alpha = round(1 - float(comparison.get("confidence") or 0.95), 12)
    cells = [_cells(row, alpha) for row in rows]
    columns = [
        *plain("slice", "prompts that are", "task", "difference"),
        *numeric("prompts", "earlier arm", "later arm", "value", "p", "adjusted p"),
    ]
    return Table(title, columns, cells, NOTE) if cells else None


def _cells(row: Row, alpha: float) -> list[Cell]:
    unit = str(row.get("unit") or "")
    value, low, high = row.get("value"), row.get("low"), row.get("high")
    places = quantity.decimals([value, low, high], unit)
    detail = quantity.interval(low, high, unit, places) or visible(str(row.get("reason") or ""))
    adjusted = row.get("p_adjusted")
    tone: Tone = "best" if quantity.known(adjusted) and adjusted < alpha else ""
    return [
        Cell(visible(str(row["slice"]))),
        Cell(visible(str(row["group"]))),
        Cell(visible(str(row["task"]))),
        Cell(f"{label(row['b'])} − {label(row['a'])}", visible(f"{row['metric']}, {quantity.difference_unit(unit)}")),
        Cell(quantity.count(row.get("prompts")), sort=row.get("prompts")),
        _number(quantity.number(row.get("score_a"), unit), row.get("score_a")),
        _number(quantity.number(row.get("score_b"), unit), row.get("score_b")),
        Cell(quantity.number(value, unit, places, signed=True), detail, sort=value, tone=tone),
        _number(quantity.probability(row.get("p_value")), row.get("p_value")),
        _number(quantity.probability(adjusted), adjusted),
    ]


def _number(text: str, value: Any) -> Cell:
    return Cell(text, sort=float(value)) if quantity.known(value) else Cell(text, tone="muted")
