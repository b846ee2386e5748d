"""What choosing among n completions by the proxy does to the gold reward, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.pair import tasks
from rlbench.rendering.rewards import best_of_n_curves, highest_gold
from rlbench.rendering.section import Item
from rlbench.rendering.text import joined, label, visible


def best_of_n_item(comparison: Mapping[str, Any], task: str) -> Item | None:
    """What choosing by the proxy does to gold, in two sentences; None where nobody measured it."""
    curves = best_of_n_curves(comparison, task)
    if not curves:
        return None
    most = max(int(curve[-1]["n"]) for curve in curves.values())
    changes = {arm: float(curve[-1]["gold"]) - float(curve[0]["gold"]) for arm, curve in curves.items()}
    past = {arm: curve for arm, curve in curves.items() if highest_gold(curve)["n"] < curve[-1]["n"]}
    falls = [arm for arm, curve in past.items() if _apart(curve[-1], highest_gold(curve))]
    unclear = [arm for arm in past if arm not in falls]
    words = f"Taking the best of {most} by the proxy instead of one completion changes gold by {_range(changes)}."
    if falls:
        words += f" Gold falls as n grows for {_names(falls)}: the proxy prefers what gold does not."
    if unclear:
        words += f" For {_names(unclear)} gold is highest at a smaller n, but the intervals overlap."
    if not past:
        words += " Gold does not fall as n grows."
    mark = "gold falls" if falls else "gold rises" if min(changes.values()) > 0 else "no clear gain"
    return Item(words, mark, "bad" if falls else "", visible(task) if len(tasks(comparison)) > 1 else "")


def _range(changes: Mapping[str, float]) -> str:
    """`+0.05 (DPO) to +0.14 (SFT)`."""
    places = quantity.decimals(list(changes.values()), "")
    ends = dict.fromkeys((min(changes, key=changes.__getitem__), max(changes, key=changes.__getitem__)))
    return " to ".join(f"{quantity.number(changes[arm], '', places, signed=True)} ({label(arm)})" for arm in ends)


def _names(arms: Sequence[str]) -> str:
    return joined([label(arm) for arm in arms])


def _apart(lower: Mapping[str, Any], higher: Mapping[str, Any]) -> bool:
    """Whether the intervals of gold do not meet: a stricter demand than that the difference is decided."""
    top, bottom = lower.get("gold_high"), higher.get("gold_low")
    return quantity.known(top) and quantity.known(bottom) and top < bottom
