"""A plan as plain text for the command line."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.text import label, plural, visible

WIDTH = 96
BAR = 30
NAMES = {"seed": "seed", "prompt": "prompt", "interaction": "prompt within seed", "sample": "sample"}
MEANINGS = {"recipe": "this recipe on this benchmark", "population": "this recipe on prompts like these"}


def render_plan(document: Mapping[str, Any]) -> str:
    """What the pilot varied, the seeds needed, the best designs and the power over seeds.

    Args:
        document: what `rlbench plan --json` writes.
    """
    blocks = [
        _heading(document),
        _components(document),
        _needed(document),
        _designs(document),
        _curve(document),
        *(_filled(f"{note[0].upper()}{note[1:]}.") for note in map(visible, document["notes"])),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _heading(document: Mapping[str, Any]) -> str:
    arms = [label(arm) for arm in document["arms"]]
    between = f"{arms[1]} - {arms[0]}" if len(arms) == 2 else f"two arms like {arms[0]}"
    where = f"{visible(document['task'])}: {visible(document['metric']['name'])}"
    return f"{where} · {between} · pilot of {_size(document['pilot'], seeds=True)}"


def _components(document: Mapping[str, Any]) -> str:
    unit = document["metric"]["unit"]
    rows = document["components"]
    # A share of a fraction is too coarse in tenths of a point.
    places = 2 if unit == "fraction" else quantity.decimals([math.sqrt(row["high"]) for row in rows], unit)
    lines = [f"How differences vary: standard deviations in {_unit(document)}, with 95 % intervals"]
    for row in rows:
        name = NAMES[row["name"]]
        if not row["known"]:
            lines.append(f"  {name:<20} {quantity.MISSING:>8}  not to be told from prompt within seed")
            continue
        value, low, high = (quantity.number(math.sqrt(row[key]), unit, places) for key in ("variance", "low", "high"))
        assumed = row["name"] == "prompt" and len(document["arms"]) == 1
        said = "assumed" if assumed else f"[{low}, {high}]"
        lines.append(f"  {name:<20} {value:>8}  {said}" + ("  estimate below zero" if row["raw"] < 0 else ""))
    for estimand, shares in document["shares"].items():
        parts = sorted(shares.items(), key=lambda part: -part[1])
        shown = ", ".join(f"{NAMES[name]} {100 * share:.0f} %" for name, share in parts if share > 0)
        lines.append(f"  {estimand + ' is limited by':<24} {shown}")
    return "\n".join(lines)


def _needed(document: Mapping[str, Any]) -> str:
    pilot = document["pilot"]
    title = f"Seeds needed to {_goal(document)}, with {_size(document['evaluation'])}"
    found = "pass" if document["goal"]["one_sided"] else "find"
    lines = [_filled(title)]
    for row in document["needed"]:
        low, high = _seeds(row["seeds_low"]), _seeds(row["seeds_high"])
        span = f"{_seeds(row['seeds'])} [{low}, {high}]" if row["seeds_low"] else low
        effect = _amount(row["detectable_effect"], document)
        lines.append(
            f"  {row['estimand']:<11} {span:<18} the pilot's {plural(pilot['seeds'], 'seed')} {found} {effect} "
            f"({MEANINGS[row['estimand']]})"
        )
    return "\n".join(lines)


def _designs(document: Mapping[str, Any]) -> str:
    rows, goal, estimand = document["designs"], document["goal"], document["goal"]["estimand"]
    most = document["limits"]["prompts"]
    sentences = _floors(document)
    if not rows:
        title = f"No design with up to {plural(most, 'prompt')} reaches it ({estimand})."
        if document["budget"] is not None:
            title = f"{quantity.duration(document['budget'])} are too short for any design ({estimand})."
        return _filled(" ".join([title, *sentences]))
    if document["budget"] is not None:
        title = f"The most power within {quantity.duration(document['budget'])} ({estimand}), best first"
    elif document["costs"] is not None:
        title = f"Designs with power {_power(goal['power'])} at the least cost ({estimand}), cheapest first"
    else:
        title = f"Designs with power {_power(goal['power'])} ({estimand}); what they cost is not known"
    head = ("seeds", "prompts", "samples", "power [95 %]", "passes" if goal["one_sided"] else "finds", "time")
    table = [head] + [
        (
            str(row["seeds"]),
            str(row["prompts"]),
            str(row["samples"]),
            f"{_power(row['power'])} [{_power(row['power_low'])}, {_power(row['power_high'])}]",
            _amount(row["detectable_effect"], document),
            quantity.duration(row["seconds"]),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines = ["  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in table]
    if estimand == "recipe" and any(row["prompts"] < document["pilot"]["prompts"] for row in rows):
        sentences.append("Fewer prompts are a smaller benchmark, on which the difference itself may be another.")
    return "\n".join([title, *lines, *([_filled(" ".join(sentences))] if sentences else [])])


def _floors(document: Mapping[str, Any]) -> list[str]:
    """What no number of prompts, samples or seeds can make up for."""
    floors, most = document["floors"], document["limits"]["prompts"]
    found = []
    if floors["seeds"] is None:
        found.append("No number of prompts or samples reaches it with up to 1,000 seeds: seeds alone vary too much.")
    elif floors["seeds"] > 3:
        found.append(f"With fewer than {floors['seeds']} seeds no number of prompts or samples reaches it.")
    if floors["prompts"] > 1:
        more = "; there are not as many (--prompts)" if floors["prompts"] > most else ""
        found.append(f"With fewer than {floors['prompts']:,} prompts no number of seeds reaches it{more}.")
    return found


def _curve(document: Mapping[str, Any]) -> str:
    lines = [f"Power over seeds ({document['goal']['estimand']}), with {_size(document['evaluation'])}"]
    for row in document["curve"]:
        bar = "█" * round(row["power"] * BAR)
        span = f"[{_power(row['power_low'])}, {_power(row['power_high'])}]"
        lines.append(f"  {row['seeds']:>4}  {bar:·<{BAR}}  {_power(row['power'])} {span}")
    return "\n".join(lines)


def _goal(document: Mapping[str, Any]) -> str:
    goal = document["goal"]
    size, power = _amount(goal["effect"], document), _power(goal["power"])
    if goal["one_sided"]:
        confidence = quantity.percent(1 - 2 * goal["alpha"])
        return f"pass a gate of {size} with probability {power} when nothing changed ({confidence} interval)"
    return f"find {size} with power {power} (two-sided, level {_level(goal['alpha'])})"


def _size(design: Mapping[str, Any], *, seeds: bool = False) -> str:
    parts = [plural(design["prompts"], "prompt"), plural(design["samples"], "sample")]
    return " × ".join([plural(design["seeds"], "seed"), *parts] if seeds else parts)


def _amount(value: float, document: Mapping[str, Any]) -> str:
    unit = document["metric"]["unit"]
    return f"{quantity.number(value, unit, 2 if unit == 'fraction' else None)} {_unit(document)}"


def _unit(document: Mapping[str, Any]) -> str:
    return visible(quantity.difference_unit(document["metric"]["unit"]))


def _seeds(count: int | None) -> str:
    return ">1,000" if count is None else f"{count:,}"


def _power(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def _level(alpha: float) -> str:
    return f"{alpha:.2g}".removeprefix("0")


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH)
