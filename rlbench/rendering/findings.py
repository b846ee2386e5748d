"""What the comparison found odd about the runs: whom it is about, in what tone, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering.pair import tasks
from rlbench.rendering.section import Item
from rlbench.rendering.table import Tone
from rlbench.rendering.text import joined, label, plural, visible

TONES: Mapping[str, Tone] = {"serious": "bad", "warning": "warning"}
NOUNS = {"serious": "serious", "warning": "warning", "info": "note"}


def finding_items(comparison: Mapping[str, Any]) -> list[Item]:
    """One item a finding, with its severity as the mark."""
    return [
        Item(visible(str(row["text"])), _severity(row), TONES.get(_severity(row), "muted"), subject(row, comparison))
        for row in _rows(comparison)
    ]


def subject(row: Mapping[str, Any], comparison: Mapping[str, Any]) -> str:
    """`GRPO on arithmetic, seeds 0 and 1`; the only task is not named, and all seeds are `every seed`."""
    seeds, planned = row.get("seeds") or (), comparison.get("seeds") or ()
    words = label(row["arm"]) if row.get("arm") else ""
    if row.get("task") and len(tasks(comparison)) > 1:
        words += f" on {visible(str(row['task']))}"
    if len(seeds) > 1 and set(seeds) == set(planned):
        words += ", every seed"
    elif seeds:
        words += f", {'seed' if len(seeds) == 1 else 'seeds'} {joined([str(seed) for seed in seeds])}"
    return words.removeprefix(", ").strip()


def pointer(comparison: Mapping[str, Any]) -> list[Item]:
    """One line for the place where nobody misses it: `3 findings about the runs: 1 serious, 2 warnings`; or none."""
    rows = _rows(comparison)
    if not rows:
        return []
    counts = {name: sum(_severity(row) == name for row in rows) for name in NOUNS}
    parts = [f"{count} {_noun(name, count)}" for name, count in counts.items() if count]
    worst = next(name for name, count in counts.items() if count)
    return [Item(f"{plural(len(rows), 'finding')} about the runs: {', '.join(parts)}", "", TONES.get(worst, "muted"))]


def _noun(severity: str, count: int) -> str:
    return NOUNS[severity] if count == 1 or severity == "serious" else f"{NOUNS[severity]}s"


def _severity(row: Mapping[str, Any]) -> str:
    severity = str(row.get("severity"))
    return severity if severity in NOUNS else "info"


def _rows(comparison: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return comparison.get("findings") or ()
