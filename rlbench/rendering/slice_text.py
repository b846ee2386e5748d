"""Slices as plain text for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.text import label, shortened, visible


def render_slices(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per pair of arms and group of prompts, from `slices` of comparison.json."""
    lines = ["Slices (later - earlier; p adjusted by Benjamini-Hochberg over all slices, exploratory)"]
    if not rows:
        return "\n".join([*lines, "  none: the prompts cannot be told apart by length, difficulty or a declared slice"])
    shown = [_cells(row) for row in rows]
    widths = [max(len(cells[column]) for cells in shown) for column in range(len(shown[0]))]
    before = None
    for row, cells in zip(rows, shown, strict=True):
        if (row["task"], row["metric"]) != before:
            before = (row["task"], row["metric"])
            unit = visible(quantity.difference_unit(str(row.get("unit") or "")))
            lines.append(f"{visible(row['task'])}: {visible(row['metric'])}" + (f", {unit}" if unit else ""))
        name, group, prompts, pair, value, span, chance = cells
        lines.append(
            f"  {name:<{widths[0]}}  {group:<{widths[1]}}  {prompts:>{widths[2]}}  {pair:<{widths[3]}}"
            f"  {value:>{widths[4]}} {span:<{widths[5]}}  {chance}".rstrip()
        )
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    unit = str(row.get("unit") or "")
    value, low, high = (row.get(name) for name in ("value", "low", "high"))
    places = quantity.decimals([value, low, high], unit)
    missing = visible(str(row.get("reason") or ""))
    return [
        shortened(visible(row["slice"]), 16),
        shortened(visible(row["group"]), 24),
        f"n={row['prompts']}",
        shortened(f"{label(row['b'])} - {label(row['a'])}", 28),
        quantity.number(value, unit, places, signed=True),
        quantity.interval(low, high, unit, places) or shortened(missing, 40),
        "" if missing else quantity.p_equals(row.get("p_adjusted")),
    ]
