"""Tables of rewards: proxy against gold by choosing among n completions, and the reward models behind a proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.pair import tasks
from rlbench.rendering.rewards import Curve, best_of_n_curves, highest_gold
from rlbench.rendering.table import Cell, Column, Table, numeric, plain
from rlbench.rendering.text import label, plural, visible

LABELS = {"gold": "the gold reward", "preferences": "people's preferences"}


def best_of_n_table(comparison: Mapping[str, Any]) -> Table | None:
    """One row an arm and task: proxy and gold of one completion and of the best of n; None where nobody measured it."""
    found = [(task, best_of_n_curves(comparison, task)) for task in tasks(comparison)]
    rows = [_best_of_n_row(arm, task, curve) for task, curves in found for arm, curve in curves.items()]
    if not rows:
        return None
    columns = [
        *plain("arm", "task"),
        *numeric("proxy, n = 1", "gold, n = 1", "n", "proxy, best of n", "gold, best of n"),
        Column("gold highest at n", numeric=True, hint="a smaller n than the last: choosing harder costs gold"),
    ]
    last = max((curve[-1] for _, curves in found for curve in curves.values()), key=lambda row: int(row["n"]))
    note = (
        "Prompts count if both rewards judge all their completions in every seed. Choosing the best of "
        f"{last['n']} moves an arm by at most {quantity.number(last.get('kl_nats'), '')} nats of KL."
    )
    return Table("Best of n", columns, rows, note)


def _best_of_n_row(arm: str, task: str, curve: Curve) -> list[Cell]:
    one, most, top = curve[0], curve[-1], int(highest_gold(curve)["n"])
    return [
        Cell(label(arm)),
        Cell(visible(task)),
        _reward(one, "proxy"),
        _reward(one, "gold"),
        Cell(quantity.count(most["n"]), plural(int(most["prompts"]), "prompt"), sort=most["n"]),
        _reward(most, "proxy"),
        _reward(most, "gold"),
        Cell(quantity.count(top), sort=top, tone="warning" if top < most["n"] else ""),
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
        *numeric("training pairs", "labels turned round", "held-out pairs", "accuracy, %", "each member, %"),
    ]
    note = "Worth: as many independent pairs say as much, because pairs of one prompt resemble each other."
    return Table("Reward models", columns, [_reward_model_row(model) for model in models], note)


def _reward_model_row(model: Mapping[str, Any]) -> list[Cell]:
    members, effective, held_out = model.get("members") or (), model.get("effective"), model.get("held_out")
    fewer = quantity.known(effective) and quantity.known(held_out) and round(effective) < held_out
    shown = ", ".join(quantity.number(member.get("value"), "fraction") for member in members)
    accuracy, low, high = (model.get(name) for name in ("accuracy", "low", "high"))
    return [
        Cell(visible(str(model.get("task")))),
        Cell(LABELS.get(str(model.get("labels")), visible(str(model.get("labels"))))),
        _count(model.get("pairs")),
        Cell(quantity.percent(float(model.get("noise") or 0)), sort=model.get("noise")),
        Cell(quantity.count(held_out), f"worth {quantity.count(effective)}" if fewer else "", sort=held_out),
        Cell(
            quantity.number(accuracy, "fraction"), quantity.interval(low, high, "fraction"), sort=accuracy, tone="best"
        ),
        Cell(shown if len(members) > 1 else "one model", tone="" if len(members) > 1 else "muted"),
    ]
