"""What is shown of a comparison's slices: lines of prompts, first the whole, each with differences between arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """Prompts that are looked at together; `slice` and `group` are empty for the whole.

    `rows` are differences by their later arm, from `slices` or, for the whole, from `estimates` of comparison.json.
    """

    slice: str
    group: str
    prompts: int
    rows: Mapping[str, Row]


def slice_lines(comparison: Mapping[str, Any], task: str) -> list[Line]:
    """The whole and every slice of a task; none where the comparison has no slices.

    Of the pairs with the same later arm the first is shown: that with the baseline, where all pairs are compared.
    """
    rows = [row for row in comparison.get("slices") or () if row["task"] == task]
    shown: dict[str, str] = {}
    for row in rows:
        shown.setdefault(row["b"], row["a"])
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    whole: dict[str, Row] = {}
    for row in rows:
        if shown[row["b"]] == row["a"]:
            groups.setdefault((row["slice"], row["group"]), {})[row["b"]] = row
    for row in comparison.get("estimates") or ():
        if rows and (row["task"], row["metric"]) == (task, rows[0]["metric"]) and shown.get(row["b"]) == row["a"]:
            whole[row["b"]] = {**row, **{key: rows[0].get(key) for key in ("unit", "higher_is_better")}}
    lines = [Line("", "", _prompts(whole), whole)] if whole else []
    return [*lines, *(Line(name, group, _prompts(found), found) for (name, group), found in groups.items())]


def _prompts(rows: Mapping[str, Row]) -> int:
    return max(int(row.get("prompts") or 0) for row in rows.values())
