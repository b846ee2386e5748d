"""The verdict of a regression gate as plain text, and the words that all its forms share."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.text import joined, plural, visible

WIDTH = 100
_ESTIMANDS = {
    "recipe": "this recipe on this benchmark",
    "checkpoints": "these checkpoints",
    "population": "this recipe on prompts like these",
}


@dataclass(frozen=True)
class Line:
    """One judged quantity in finished words."""

    verdict: str
    passed: bool
    task: str
    arm: str
    metric: str
    levels: str
    difference: str
    margin: str
    chance: str
    remarks: Sequence[str]
    """Why the verdict is what it is, what would decide it, and what to know beside it."""


def gate_lines(regression: Mapping[str, Any]) -> list[Line]:
    """The rows of regression.json in words, what matters most first: regressed, then undecided, then passed."""
    rows = sorted(regression["metrics"], key=lambda row: (row["verdict"] != "regressed", bool(row["passed"])))
    return [
        Line(
            verdict=visible(row["verdict"]),
            passed=bool(row["passed"]),
            task=visible(row["task"]),
            arm=visible(row["arm"]),
            metric=visible(row["metric"]),
            levels=_levels(row),
            difference=_difference(row),
            margin=_margin(row),
            chance=quantity.p_equals(row["p_adjusted"]) if quantity.known(row["p_adjusted"]) else "",
            remarks=[visible(text) for text in (*row["reasons"], *_advice(row), *row["notes"])],
        )
        for row in rows
    ]


def gate_sentence(regression: Mapping[str, Any]) -> str:
    """The verdict over everything, in one sentence."""
    rows, said = regression["metrics"], regression["verdict"]
    if said == "regressed":
        worse = [row for row in rows if row["verdict"] == "regressed"]
        return f"REGRESSED: worse by more than the margin in {_named(worse, rows)}."
    if said == "pass":
        return f"PASS: {'it passes' if len(rows) == 1 else f'all {len(rows)} pass'}, each at .05."
    undecided = [row for row in rows if not row["passed"]]
    return f"INCONCLUSIVE, which is no pass: nothing is shown either way for {_named(undecided, rows)}."


def gate_heading(regression: Mapping[str, Any]) -> str:
    """What was judged against what, and by which question."""
    sources = regression.get("sources") or {}
    words = [f"{role} {visible(sources[role])}" for role in ("candidate", "baseline") if sources.get(role)]
    question = _ESTIMANDS.get(str(regression.get("estimand")), "")
    confidence = quantity.percent(float(regression["confidence"]))
    return " · ".join(word for word in (" against ".join(words), question, f"{confidence} intervals") if word)


def gate_mismatches(regression: Mapping[str, Any]) -> list[str]:
    """What does not match between the two sides, each in a sentence."""
    found = []
    for row in regression["mismatches"]:
        on = f" ({row['task']})" if row.get("task") else ""
        found.append(visible(f"{row['kind']}{on}: {row['text']}"))
    return found


def render_gate(regression: Mapping[str, Any]) -> str:
    """The table of verdicts, why each one is what it is, what does not match, and the verdict over everything."""
    lines = gate_lines(regression)
    head = ("verdict", "task", "arm", "metric", "baseline → candidate", "difference", "margin")
    rows = [
        (_loud(line), line.task, line.arm, line.metric, line.levels, line.difference, line.margin) for line in lines
    ]
    # a column that says the same in every row is left to the heading
    kept = [place for place in range(len(head)) if place not in (1, 2) or len({row[place] for row in rows}) > 1]
    table = [[row[place] for place in kept] for row in (head, *rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(kept))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    blocks = [textwrap.fill(gate_heading(regression), WIDTH), "\n".join(drawn)]
    by_remark: dict[str, list[str]] = {}
    for line in lines:
        for remark in line.remarks:
            by_remark.setdefault(remark, []).append(_name(line, lines))
    remarks = [_item(f"{', '.join(names)}: {remark}") for remark, names in by_remark.items()]
    if remarks:
        blocks.append("\n".join(remarks))
    if mismatches := gate_mismatches(regression):
        blocks.append("\n".join(["What does not match", *(_item(text, "! ") for text in mismatches)]))
    blocks.append(textwrap.fill(gate_sentence(regression), WIDTH))
    return "\n\n".join(blocks) + "\n"


def _loud(line: Line) -> str:
    return line.verdict if line.passed else line.verdict.upper()


def _item(text: str, bullet: str = "- ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {bullet}", subsequent_indent="    ")


def _name(line: Line, lines: Sequence[Line]) -> str:
    """The metric, with task and arm where there are several."""
    words = [line.metric]
    if len({each.arm for each in lines}) > 1:
        words.append(f"of {line.arm}")
    if len({each.task for each in lines}) > 1:
        words.append(f"on {line.task}")
    return " ".join(words)


def _named(rows: Sequence[Mapping[str, Any]], judged: Sequence[Mapping[str, Any]]) -> str:
    """The metrics of some rows and their tasks, with the arms where several are judged."""
    several = len({row["arm"] for row in judged}) > 1
    names = [
        f"{visible(row['metric'])}{' of ' + visible(row['arm']) if several else ''} on {visible(row['task'])}"
        for row in rows
    ]
    shown = names if len(names) < 5 else [*names[:3], f"{len(names) - 3} more"]
    return joined(shown)


def _levels(row: Mapping[str, Any]) -> str:
    values = [row[side]["value"] for side in ("baseline", "candidate")]
    if row["unit"] == "bytes":
        return " → ".join(map(quantity.memory, values))
    places = quantity.decimals(values, row["unit"])
    if row["kind"] == "score" and quantity.known(row["value"]):  # so that the difference can be seen in them
        places = max(places, min(4, quantity.decimals([row["value"], row["low"], row["high"]], row["unit"])))
    shown = [quantity.number(value, row["unit"], places) for value in values]
    return f"{' → '.join(shown)} {visible(quantity.level_unit(row['unit']))}".rstrip()


def _difference(row: Mapping[str, Any]) -> str:
    if not quantity.known(row["value"]):
        return quantity.MISSING
    if row["kind"] == "process":  # a share of the baseline, in percent
        return f"{quantity.with_interval(row['value'], row['low'], row['high'], 'fraction', signed=True)} %"
    unit = row["unit"]
    places = quantity.decimals([row["value"], row["low"], row["high"]], unit)
    value = quantity.number(row["value"], unit, places, signed=True)
    return f"{value} {quantity.interval(row['low'], row['high'], unit, places)}"


def _margin(row: Mapping[str, Any]) -> str:
    if not quantity.known(row["margin"]):
        return visible(row["margin_declared"])
    sign = {"higher": "-", "lower": "+", "both": "±"}[row["direction"]]
    if row["kind"] == "process":
        return f"{sign}{quantity.number(row['margin'], 'fraction')} %"
    unit = row["unit"]
    shown = f"{row['margin'] * quantity.scale(unit):.4g}"
    relative = f" ({visible(row['margin_declared'])})" if "%" in row["margin_declared"] else ""
    return f"{sign}{shown} {visible(quantity.difference_unit(unit))}{relative}".rstrip()


def _advice(row: Mapping[str, Any]) -> list[str]:
    """How many seeds or prompts would decide."""
    unit = row["needed_unit"]
    if unit is None:
        return []
    passing, observed = row["needed_if_unchanged"], row["needed_as_observed"]
    where = " on each side" if unit == "seeds" else ""
    found = [f"no number of {unit} passes this margin without a true gain"]
    if passing is not None:
        found = [f"{plural(passing, unit[:-1])}{where} would pass if there is no true difference"]
    if observed is not None:
        end = "pass" if row["observed_would"] == "pass" else "show a regression"
        found.append(f"{plural(observed, unit[:-1])}{where} would {end} if the observed difference is the true one")
    now = row["prompts"] if unit == "prompts" else row["seeds"]
    return [f"{'; '.join(found)} (each four times out of five; now {now})"]
