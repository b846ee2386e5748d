"""Tables of scores and of the differences between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.outcome import declared_seeds
from rlbench.rendering.pair import Pair, arms, metrics, pairs, ranking, scores
from rlbench.rendering.table import Cell, Column, Table, numeric, plain
from rlbench.rendering.text import label, visible
from rlbench.rendering.verdict import is_ranked

PLAIN = ("improved", "worse", "regressed", "higher", "lower")  # who is better says as much
ARROW = {True: " ↑", False: " ↓"}


def score_table(comparison: Mapping[str, Any], task: str) -> Table:
    """One row an arm, one column a metric; the class of the best is marked where the grid may be ranked."""
    chosen = [metric for (owner, _), metric in metrics(comparison).items() if owner == task]
    by_name = scores(comparison)
    best = {metric["name"]: _best(comparison, task, metric) for metric in chosen}
    rows, seeds = [], declared_seeds(comparison)
    for arm in arms(comparison):
        cells = [Cell(label(arm))]
        for metric in chosen:
            score = by_name.get((arm, task, metric["name"]), {})
            cells.append(_score_cell(score, metric, arm in best[metric["name"]], seeds[arm]))
        rows.append(cells)
    columns = [Column("arm"), *(_metric_column(metric) for metric in chosen)]
    note = "↑ higher is better, ↓ lower is better."
    if any("unscored" in cell.extra for cells in rows for cell in cells):
        note += " Unscored: completions that could not be judged; they are left out, not counted as zero."
    if any(best.values()):
        note += " Bold: the best value, and every value that was compared with it and is not decided against it."
    return Table(visible(task), columns, rows, note)


def _metric_column(metric: Mapping[str, Any]) -> Column:
    unit = visible(quantity.level_unit(str(metric.get("unit") or "")))
    better = metric.get("higher_is_better")
    title = visible(str(metric["name"])) + (f", {unit}" if unit else "") + ("" if better is None else ARROW[better])
    return Column(title, numeric=True, hint=visible(str(metric.get("description") or "")))


def _score_cell(score: Mapping[str, Any], metric: Mapping[str, Any], is_best: bool, seeds: Sequence[int]) -> Cell:
    unit, value = str(metric.get("unit") or ""), score.get("value")
    low, high = score.get("low"), score.get("high")
    if not quantity.known(value):
        reason = visible(str(score.get("reason") or "not measured"))
        return Cell(quantity.MISSING, reason, tone="muted")
    places = quantity.decimals([value, low, high], unit)
    detail = quantity.interval(low, high, unit, places)
    used = score.get("by_seed_seeds") or seeds
    extra = [f"{len(used)} of {len(seeds)} seeds"] if len(used) < len(seeds) else []
    extra += [f"{int(score['unscored']):,} unscored"] if score.get("unscored") else []
    return Cell(quantity.number(value, unit, places), detail, ", ".join(extra), float(value), "best" if is_best else "")


def _best(comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any]) -> set[str]:
    """The best arm and those that were compared with it and not beaten; empty where nothing is ranked."""
    found = ranking(comparison, task, metric) if is_ranked(comparison) else None
    return {found.leader, *found.tied} if found and (found.beaten or found.tied) else set()


def difference_table(comparison: Mapping[str, Any], primary: bool) -> Table | None:
    """All pairs on the primary metrics (Holm) or on the others (Benjamini-Hochberg, exploratory)."""
    chosen = list(pairs(comparison, primary=primary))
    if not chosen:
        return None
    columns = [
        *plain("difference", "task", "metric"),
        *numeric("value", "simultaneous" if primary else "standard error", "p", "adjusted p"),
        Column("verdict"),
        *numeric("seeds", "prompts", "detectable", "seeds needed"),
    ]
    title = "Primary metrics" if primary else "Other metrics, exploratory"
    note = (
        "Adjusted p: Holm over all pairs. Simultaneous interval: Bonferroni over all pairs."
        if primary
        else "Adjusted p: Benjamini-Hochberg. Use these rows to find questions, not to answer them."
    )
    note += " Detectable: the smallest difference that would be found with 80 % power."
    return Table(title, columns, [_difference_row(pair, primary) for pair in chosen], note)


def _difference_row(pair: Pair, primary: bool) -> list[Cell]:
    row, unit = pair.estimate, pair.unit
    value, low, high = row.get("value"), row.get("low"), row.get("high")
    wide = (row.get("simultaneous_low"), row.get("simultaneous_high"))
    places = quantity.decimals([value, low, high, *wide], unit)
    spread = quantity.interval(*wide, unit, places) if primary else quantity.number(row.get("standard_error"), unit)
    shown_unit = visible(quantity.difference_unit(unit))
    reason = visible(str(row.get("reason") or ""))
    return [
        Cell(f"{label(pair.b)} − {label(pair.a)}"),
        Cell(visible(pair.task)),
        Cell(visible(str(pair.metric["name"])), shown_unit),
        Cell(
            quantity.number(value, unit, places, signed=True),
            quantity.interval(low, high, unit, places) or reason,
            sort=float(value) if quantity.known(value) else None,
            tone="best" if pair.standing == "decided" else "",
        ),
        Cell(spread or quantity.MISSING),
        _number_cell(quantity.probability(row.get("p_value")), row.get("p_value")),
        _number_cell(quantity.probability(row.get("p_adjusted")), row.get("p_adjusted")),
        _verdict_cell(pair),
        _number_cell(
            quantity.count(row.get("seeds")),
            row.get("seeds"),
            "" if row.get("paired_seeds", True) else "each, unpaired",
        ),
        _number_cell(quantity.count(row.get("prompts")), row.get("prompts")),
        _number_cell(quantity.number(row.get("minimum_detectable_effect"), unit), row.get("minimum_detectable_effect")),
        _number_cell(quantity.count(row.get("seeds_needed")), row.get("seeds_needed")),
    ]


def _number_cell(text: str, value: Any, detail: str = "") -> Cell:
    return Cell(text, detail, sort=float(value)) if quantity.known(value) else Cell(text, tone="muted")


def _verdict_cell(pair: Pair) -> Cell:
    recorded = visible(str(pair.estimate.get("verdict") or ""))
    if pair.standing == "decided":
        better = pair.metric.get("higher_is_better") is not None
        detail = "" if recorded in PLAIN else recorded
        return Cell(f"{label(pair.ahead)} is {'better' if better else 'higher'}", detail, tone="best")
    if pair.standing == "survivors only":
        return Cell("survivors only", "not ranked", tone="warning")
    words = "cannot be decided" if pair.standing == "unknown" else pair.standing
    return Cell(words, "" if recorded == words else recorded, tone="muted")
