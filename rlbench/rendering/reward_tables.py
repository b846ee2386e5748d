"""Tables of rewards: proxy against gold by choosing among n completions, and the reward models behind a proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.pair import tasks
from rlbench.rendering.rewards import Curve, best_of_n_curves, highest_gold
from rlbench.rendering.table import Cell, Column, Table, numeric, plain
from rlbench.rendering.text import label, visible

LABELS = {"gold": "the gold reward", "preferences": "people's preferences"}


def best_of_n_table(comparison: Mapping[str, Any]) -> Table | None:
    """One row an arm and task: proxy and gold of one completion and of the best of n; None where nobody measured it."""
    found = [(task, best_of_n_curves(comparison, task)) for task in tasks(comparison)]
    rows = [_best_of_n_row(arm, task, curve) for task, curves in found for arm, curve in curves.items()]
    if not rows:
        return None
    columns = [
        *plain("arm", "task"),
        *numeric("proxy of one", "gold of one", "n", "proxy of the best", "gold of the best"),
        Column("highest gold at n", numeric=True, hint="a smaller n than the last: choosing harder costs gold"),
        Column("KL at most, nats", numeric=True, hint="how far choosing the best of n moves an arm away from itself"),
        *numeric("prompts"),
    ]
    note = "Best: the one of n completions that the proxy puts first. Every prompt counts whose completions both judge."
    return Table("Best of n", columns, rows, note)


def _best_of_n_row(arm: str, task: str, curve: Curve) -> list[Cell]:
    one, most, top = curve[0], curve[-1], int(highest_gold(curve)["n"])
    return [
        Cell(label(arm)),
        Cell(visible(task)),
        _reward(one, "proxy"),
        _reward(one, "gold"),
        _count(most["n"]),
        _reward(most, "proxy"),
        _reward(most, "gold"),
        Cell(quantity.count(top), sort=top, tone="warning" if top < most["n"] else ""),
        Cell(quantity.number(most.get("kl_nats"), ""), sort=most.get("kl_nats")),
        _count(most.get("prompts")),
    ]


def _reward(row: Mapping[str, Any], role: str) -> Cell:
    value, low, high = row.get(role), row.get(f"{role}_low"), row.get(f"{role}_high")
    places = quantity.decimals([value, low, high], "")
    return Cell(quantity.number(value, "", places), quantity.interval(low, high, "", places), sort=value)


def _count(value: Any) -> Cell:
    return Cell(quantity.count(value), sort=value)


def reward_model_table(models: Sequence[Mapping[str, Any]]) -> Table | None:
    """One row a task: what its reward model was trained on, and how often it is right on held-out pairs."""
    if not models:
        return None
    columns = [
        *plain("task", "labels"),
        *numeric("training pairs", "labels turned round", "held-out pairs", "members", "accuracy, %"),
        Column("members' accuracies, %", numeric=True),
    ]
    return Table("Reward models", columns, [_reward_model_row(model) for model in models])


def _reward_model_row(model: Mapping[str, Any]) -> list[Cell]:
    members, effective, held_out = model.get("members") or (), model.get("effective"), model.get("held_out")
    fewer = quantity.known(effective) and quantity.known(held_out) and round(effective) < held_out
    accuracy, low, high = (model.get(name) for name in ("accuracy", "low", "high"))
    return [
        Cell(visible(str(model.get("task")))),
        Cell(LABELS.get(str(model.get("labels")), visible(str(model.get("labels"))))),
        _count(model.get("pairs")),
        Cell(quantity.percent(float(model.get("noise") or 0)), sort=model.get("noise")),
        Cell(quantity.count(held_out), f"worth {quantity.count(effective)}" if fewer else "", sort=held_out),
        _count(len(members)),
        Cell(
            quantity.number(accuracy, "fraction"), quantity.interval(low, high, "fraction"), sort=accuracy, tone="best"
        ),
        Cell(", ".join(quantity.number(member.get("value"), "fraction") for member in members)),
    ]
