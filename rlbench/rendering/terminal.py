"""The comparison as plain text for the command line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.excluded import excluded_sentence
from rlbench.rendering.findings import finding_items
from rlbench.rendering.outcome import seed_words
from rlbench.rendering.pair import arms, primary_metrics, scores, tasks
from rlbench.rendering.text import label, plural, shortened, visible
from rlbench.rendering.verdict import verdict_sentences

WIDTH = 96
STRIP = 38


def render_terminal(comparison: Mapping[str, Any]) -> str:
    """Scores on the primary metrics with a drawn interval, then the verdict and the findings."""
    blocks = [_heading(comparison)]
    for task in tasks(comparison):
        blocks += [_score_block(comparison, task, metric) for metric in primary_metrics(comparison, task)]
    if comparison.get("kind") in ("arms", "completions"):
        blocks.append(_differences(comparison))
    lead, *sentences = verdict_sentences(comparison)
    blocks.append("\n".join([textwrap.fill(lead, WIDTH), *(_item(sentence) for sentence in sentences)]))
    if excluded := excluded_sentence(comparison):
        blocks.append(textwrap.fill(excluded, WIDTH))
    findings = [
        _item(": ".join(part for part in (item.mark, item.subject, item.text) if part), "! ")
        for item in finding_items(comparison)
    ]
    if findings:
        blocks.append("\n".join(["Findings", *findings]))
    return "\n\n".join(blocks) + "\n"


def _item(text: str, bullet: str = "- ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {bullet}", subsequent_indent="    ")


def _heading(comparison: Mapping[str, Any]) -> str:
    seeds = seed_words(comparison)
    words = [
        visible(str(comparison.get("name") or "comparison")),
        visible(str(comparison.get("estimand_text") or comparison.get("estimand") or "")),
        plural(int(seeds), "seed") if seeds.isdigit() else seeds.replace(" an arm", " seeds an arm"),
        f"{quantity.percent(float(comparison.get('confidence') or 0.95))} intervals",
    ]
    return " · ".join(word for word in words if word)


def _score_block(comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any]) -> str:
    unit, by_name = str(metric.get("unit") or ""), scores(comparison)
    rows = [(arm, by_name.get((arm, task, metric["name"]), {})) for arm in arms(comparison)]
    numbers = [row[key] for _, row in rows for key in ("value", "low", "high") if quantity.known(row.get(key))]
    places = quantity.decimals(numbers, unit)
    table = [
        (
            shortened(label(arm)),
            quantity.number(row.get("value"), unit, places),
            quantity.interval(row.get("low"), row.get("high"), unit, places),
            _strip(row, min(numbers), max(numbers)) if numbers else "",
        )
        for arm, row in rows
    ]
    widths = [max((len(line[column]) for line in table), default=0) for column in range(3)]
    lines = [
        f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {span:>{widths[2]}}  {strip}".rstrip()
        for name, value, span, strip in table
    ]
    return "\n".join([_title(task, metric, unit), *lines])


def _differences(comparison: Mapping[str, Any]) -> str:
    """One line per pair and metric. These checkpoints' difference is exact, so points get two decimals."""
    lines = ["All differences (later - earlier; p adjusted: Holm for the primary metric, else exploratory)"]
    for row in comparison.get("estimates") or ():
        if not quantity.known(row.get("value")):
            lines.append(f"  {visible(row['metric']):<20}  not computable: {visible(str(row.get('reason', '')))}")
            continue
        unit = str(row.get("unit") or "")
        places = 2 if unit == "fraction" else quantity.decimals([row["value"], row["low"], row["high"]], unit)
        value = quantity.number(row["value"], unit, places, signed=True)
        span = quantity.interval(row["low"], row["high"], unit, places)
        name = shortened(f"{visible(row['b'])} - {visible(row['a'])}", 28)
        points = visible(quantity.difference_unit(unit))
        chance = quantity.p_equals(row["p_adjusted"])
        lines.append(f"  {visible(row['metric']):<20}  {name:<28}  {value:>8} {points} {span}  {chance}".rstrip())
    return "\n".join(lines)


def _title(task: str, metric: Mapping[str, Any], unit: str) -> str:
    direction = {True: "higher is better", False: "lower is better"}.get(metric.get("higher_is_better"), "")  # type: ignore[arg-type]
    words = ", ".join(word for word in (visible(quantity.level_unit(unit)), direction) if word)
    return f"{visible(task)}: {visible(str(metric['name']))}" + (f" ({words})" if words else "")


def _strip(row: Mapping[str, Any], least: float, most: float) -> str:
    """The interval as text, e.g. `   ├──●──┤   `, on a line that spans all arms."""

    def place(value: float) -> int:
        return round((value - least) / (most - least) * (STRIP - 1)) if most > least else STRIP // 2

    if not quantity.known(row.get("value")):
        return ""
    cells = ["·"] * STRIP
    if quantity.known(row.get("low")) and quantity.known(row.get("high")):
        first, last = place(row["low"]), place(row["high"])
        cells[first : last + 1] = "─" * (last - first + 1)
        cells[first], cells[last] = "├", "┤"
    cells[place(row["value"])] = "●"
    return "".join(cells)
