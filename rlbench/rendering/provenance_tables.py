"""Tables of what was compared: shared inputs, algorithms, metrics and the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.pair import metrics
from rlbench.rendering.table import Cell, Column, Table, plain
from rlbench.rendering.text import label, visible

DIRECTION = {True: "higher is better", False: "lower is better"}


def fingerprint_table(fingerprints: Sequence[Mapping[str, Any]]) -> Table | None:
    """Which inputs all arms of a task shared; None where nothing was recorded."""
    if not fingerprints:
        return None
    names = [name for name in fingerprints[0] if name not in ("task", "match")]
    rows = [
        [
            Cell(visible(str(row["task"]))),
            *(_fingerprint(row.get(name)) for name in names),
            Cell("✓ identical for all arms", tone="good") if row.get("match") else Cell("✗ not the same", tone="bad"),
        ]
        for row in fingerprints
    ]
    return Table("Shared inputs", plain("task", *(name.replace("_", " ") for name in names), "matched"), rows)


def _fingerprint(value: Any) -> Cell:
    return Cell(visible(str(value))[:16], code=True) if value else Cell(quantity.MISSING, tone="muted")


def definition_table(definitions: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Every axis of every algorithm; the rows in which they differ are marked."""
    if not definitions:
        return None
    axes = list(dict.fromkeys(axis for values in definitions.values() for axis in values))
    rows = []
    for axis in axes:
        texts = [_value(values[axis]) if axis in values else quantity.MISSING for values in definitions.values()]
        differs = len(set(texts)) > 1
        cells = [Cell(text, tone="best" if differs else "muted") for text in texts]
        rows.append([Cell(visible(str(axis)).replace("_", " ")), *cells])
    note = "Bold: an axis on which the algorithms differ." if len(definitions) > 1 else ""
    return Table("Every axis", plain("axis", *(label(name) for name in definitions)), rows, note)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(key))}: {_value(item)}" for key, item in value.items())
    return "none" if value is None else visible(str(value))


def metric_table(comparison: Mapping[str, Any]) -> Table | None:
    """What every metric means, and the signature of its numbers."""
    rows = [
        [
            Cell(visible(name), "primary" if metric.get("primary") else ""),
            Cell(visible(task)),
            Cell(visible(str(metric.get("description") or ""))),
            Cell(visible(quantity.level_unit(str(metric.get("unit") or ""))) or quantity.MISSING),
            Cell(_direction(metric)),
            Cell(visible(str(metric.get("signature") or "")), code=True),
        ]
        for (task, name), metric in metrics(comparison).items()
    ]
    return (
        Table("Metrics", plain("metric", "task", "meaning", "unit", "direction", "signature"), rows) if rows else None
    )


def _direction(metric: Mapping[str, Any]) -> str:
    better = metric.get("higher_is_better")
    return "no good direction" if better is None else DIRECTION[better]


def environment_table(environment: Mapping[str, str]) -> Table | None:
    """The machine and the versions."""
    rows = [[Cell(visible(str(name))), Cell(visible(str(value)), code=True)] for name, value in environment.items()]
    return Table("Environment", [Column("what"), Column("value")], rows) if rows else None
