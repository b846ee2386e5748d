"""What a comparison says of a task whose training reward stands in for another one.

The proxy is what training maximised; gold is what it stands for, which was only measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.text import visible

Curve = Sequence[Mapping[str, Any]]
"""The rows of one arm, by n."""


@dataclass(frozen=True)
class Rewards:
    """The two rewards of a task as `grader.column`."""

    proxy: str
    gold: str

    def named(self) -> tuple[tuple[str, str], ...]:
        """(role, reward), the proxy first."""
        return ("proxy", self.proxy), ("gold", self.gold)


def rewards_of(comparison: Mapping[str, Any], task: str) -> Rewards | None:
    """None where training and measuring use the same reward, or nothing is recorded."""
    for row in comparison.get("rewards") or ():
        if row["task"] == task and row.get("proxy") and row.get("gold"):
            return Rewards(visible(str(row["proxy"])), visible(str(row["gold"])))
    return None


def best_of_n_curves(comparison: Mapping[str, Any], task: str) -> dict[str, Curve]:
    """Arm -> its rows from one completion to the best of all, in the recorded order of the arms."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in comparison.get("best_of_n") or ():
        if row["task"] == task and quantity.known(row.get("gold")):
            found.setdefault(str(row["arm"]), []).append(row)
    return {arm: sorted(rows, key=lambda row: int(row["n"])) for arm, rows in found.items() if len(rows) > 1}


def highest_gold(curve: Curve) -> Mapping[str, Any]:
    """The row with the highest gold reward; of equal ones the smallest n."""
    return max(curve, key=lambda row: float(row["gold"]))
