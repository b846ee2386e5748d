"""Markdown tables of rates: a row per design, a column per number of seeds."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from rlbench.calibration.cells import Measured


def lines(text: str) -> list[str]:
    """A block of Markdown without its indentation, and an empty line after it."""
    return [*textwrap.dedent(text).strip("\n").rstrip().split("\n"), ""]


def rate(value: float) -> str:
    """A rate as `.050`."""
    return f"{value:.3f}".removeprefix("0")


def matrix(
    cells: Sequence[Measured],
    event: str,
    *,
    complement: bool = False,
    bold: Callable[[Measured], bool] = lambda cell: False,
) -> list[str]:
    """How often `event` happened (or did not: `complement`); rows are designs, the last columns numbers of seeds.

    Rates outside of their band, and those that `bold` chooses, are bold; rates that a stated reason excuses have a °.
    """
    seeds = sorted({cell.seeds for cell in cells})
    rows: dict[tuple[tuple[str, str], ...], dict[int, str]] = {}
    for cell in cells:
        shown = at(cell, event, complement)
        if bold(cell) and not shown.startswith("**"):
            shown = f"**{shown}**"
        rows.setdefault(tuple(cell.design.items()), {})[cell.seeds] = shown
    names = [name for name in dict.fromkeys(name for row in rows for name, _ in row)
             if any(dict(row).get(name) for row in rows)]  # fmt: skip
    head = [*names, *(f"{count} seed{'s' * (count > 1)}" for count in seeds)]
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(names) + "--:|" * len(seeds)]
    for row, found in rows.items():
        texts = [*(dict(row).get(name, "") for name in names), *(found.get(count, "") for count in seeds)]
        table.append("| " + " | ".join(texts) + " |")
    return table


def at(cell: Measured, event: str, complement: bool = False) -> str:
    """The rate of one event, bold outside of its band, with ° below the usual .040 of a test."""
    value = cell.rate(event)
    shown = rate(1 - value if complement else value)
    if event in cell.outside:
        return f"**{shown}**"
    return f"{shown}°" if event == "rejected" and event in cell.bands and cell.note and value < 0.04 else shown


def spread(cells: Sequence[Measured], family: str, event: str, complement: bool = False) -> str:
    """The smallest and the largest rate of a family."""
    found = [1 - cell.rate(event) if complement else cell.rate(event) for cell in cells if cell.family == family]
    return f"{rate(min(found))}-{rate(max(found))}" if found else ""
