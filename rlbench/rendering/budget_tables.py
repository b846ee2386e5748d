"""What was planned and what was spent, in every currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.table import Cell, Table, numeric, plain
from rlbench.rendering.text import label, visible

CURRENCIES = {
    "prompts": "prompts",
    "completions": "completions",
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "reward_calls": "reward calls",
    "optimizer_steps": "optimizer steps",
    "flops": "FLOPs",
}


def budget_table(budget: Mapping[str, Any]) -> Table:
    """One row an arm and task: the planned amount, the mean spent in every currency, and the word of the audit."""
    fixed, groups = str(budget.get("currency")), _groups(budget)
    shown = _currencies(budget)
    columns = [
        *plain("arm", "task", "audit"),
        *numeric("seeds", f"planned {CURRENCIES.get(fixed, visible(fixed))}"),
        *numeric(*(CURRENCIES[name] + (" (fixed)" if name == fixed else "") for name in shown)),
    ]
    rows = [
        [
            Cell(label(arm)),
            Cell(visible(task)),
            _audit(runs),
            Cell(quantity.count(len(runs)), sort=len(runs)),
            _spent(runs, "planned"),
            *(_spent(runs, name) for name in shown),
        ]
        for (arm, task), runs in groups.items()
    ]
    note = "Mean over seeds; the range is shown where seeds differ. Only one currency is fixed, the others are metered."
    return Table("Planned and spent", columns, rows, note)


def budget_runs_table(budget: Mapping[str, Any]) -> Table:
    """One row a run."""
    shown = _currencies(budget)
    columns = [
        *plain("arm", "task", "audit"),
        *numeric("seed", "planned", *(CURRENCIES[name] for name in shown)),
    ]
    rows = [
        [
            Cell(label(run["arm"])),
            Cell(visible(str(run["task"]))),
            _audit([run]),
            *(_spent([run], name) for name in ("seed", "planned", *shown)),
        ]
        for run in budget.get("runs") or ()
    ]
    return Table("Every run", columns, rows)


def _groups(budget: Mapping[str, Any]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for run in budget.get("runs") or ():
        groups.setdefault((str(run["arm"]), str(run["task"])), []).append(run)
    return groups


def _currencies(budget: Mapping[str, Any]) -> list[str]:
    runs = budget.get("runs") or ()
    names = [name for name in CURRENCIES if any(quantity.known(run.get(name)) for run in runs)]
    return sorted(names, key=lambda name: name != budget.get("currency"))


def _spent(runs: Sequence[Mapping[str, Any]], name: str) -> Cell:
    values = [run[name] for run in runs if quantity.known(run.get(name))]
    if not values:
        return Cell(quantity.MISSING, tone="muted")
    mean, least, most = sum(values) / len(values), min(values), max(values)
    detail = f"{quantity.count(least)} to {quantity.count(most)}" if least != most else ""
    return Cell(quantity.count(mean), detail, sort=float(mean))


def _audit(runs: Sequence[Mapping[str, Any]]) -> Cell:
    failed = sum(not run.get("passed") for run in runs)
    if not failed:
        return Cell("✓ as planned", tone="good")
    return Cell("✗ off budget", f"{failed} of {len(runs)} runs" if len(runs) > 1 else "", tone="bad")
