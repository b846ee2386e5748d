"""`rlbench plan`: how many seeds, prompts and samples will show an effect, from what a pilot experiment varied."""

from __future__ import annotations

import json as json_format
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields, replace
from pathlib import Path
from typing import Any, Literal

from rlbench.comparison.baseline import find_source
from rlbench.comparison.pilot import Pilot, read_pilot
from rlbench.errors import InputError
from rlbench.rendering.plan import render_plan
from rlbench.statistics.components import Components, Variances
from rlbench.statistics.planning import (
    Costs,
    Design,
    Goal,
    Limits,
    cheapest_designs,
    designs_within,
    detectable_effect,
    plausible_variances,
    predicted_power,
    prompts_floor,
    seeds_floor,
    seeds_for,
)

ESTIMANDS: tuple[Literal["recipe", "population"], ...] = ("recipe", "population")
CURVE = (3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 60, 80, 100)
ROWS = 5


def plan(
    pilot: str,
    effect: float | None,
    margin: float | None,
    power: float,
    estimand: Literal["recipe", "population"],
    task: str | None,
    metric: str | None,
    arms: Sequence[str],
    comparisons: int,
    prompts: int | None,
    seconds_per_seed: float | None,
    seconds_per_completion: float | None,
    budget: float | None,
    json: Path | None,
    store: Path,
) -> None:
    """Print the plan and write the JSON file if asked for.

    Args:
        pilot: what `read_source` reads, or the name of a saved baseline.
        effect: above zero: difference to find, two-sided at .05; or None, where `margin` is given.
        margin: above zero: of a gate that should pass when nothing changed, at a 90 % interval.
        power: how often it should be found, or pass.
        estimand: of the designs; the seeds needed are shown for both.
        task: where the pilot has several.
        metric: the task's primary one by default.
        arms: one or two names; see `read_pilot`.
        comparisons: differences that share the error rate; each is planned at .05 divided by it. 1 for a gate.
        prompts: prompts that there are; the pilot's by default.
        seconds_per_seed: training, all arms together; measured in the pilot by default.
        seconds_per_completion: sampling and scoring one completion of every arm; the same.
        budget: seconds in which to reach the most power, instead of a power at the least cost.
        json: file for everything that is printed.
        store: folder of the saved baselines.

    Raises:
        InputError: an option is wrong, or the pilot cannot be planned from.
    """
    if (effect is None) == (margin is None):
        raise InputError(
            "plan: expected either --effect or --margin; say which difference matters, as in --effect 0.03"
        )
    if margin is not None and comparisons > 1:
        raise InputError(
            f"plan: expected --margin without --comparisons, got --comparisons {comparisons}: a gate judges each check "
            f"by its own 90 % interval, however many there are; leave --comparisons out"
        )
    for name, value in (
        ("--effect", effect), ("--margin", margin), ("--budget", budget),
        ("--seconds-per-completion", seconds_per_completion),
    ):  # fmt: skip
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"plan: expected {name} to be a number above zero, got {value}; give one, or leave it out")
    found = read_pilot(find_source(pilot, store), task, metric, arms)
    goal = Goal(effect or margin or math.nan, power, 0.05 / comparisons, estimand, one_sided=margin is not None)
    limits = Limits(
        prompts or found.components.prompts, found.components.samples if found.components.confounded else None
    )
    costs = _costs(found, seconds_per_seed, seconds_per_completion)
    if budget is not None and costs is None:
        raise InputError(
            "plan: --budget needs costs that this pilot does not know; give --seconds-per-seed and "
            "--seconds-per-completion"
        )
    document = _document(found, goal, limits, costs, budget)
    print(render_plan(document))
    if json is not None:
        try:
            json.write_text(json_format.dumps(document, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"--json {json} cannot be written: {error.strerror}; name a file in a folder") from error


def _costs(pilot: Pilot, per_seed: float | None, per_completion: float | None) -> Costs | None:
    per_seed = pilot.seconds_per_seed if per_seed is None else per_seed
    per_completion = pilot.seconds_per_completion if per_completion is None else per_completion
    return None if per_seed is None or per_completion is None else Costs(per_seed, per_completion)


def _document(pilot: Pilot, goal: Goal, limits: Limits, costs: Costs | None, budget: float | None) -> dict[str, Any]:
    components = pilot.components
    own = Design(components.seeds, limits.prompts, components.samples)
    curve = []
    for seeds in CURVE:
        curve.append(_design(components, replace(own, seeds=seeds), goal, costs))
        if curve[-1]["power"] >= 0.99:
            break
    return {
        "task": pilot.task,
        "metric": {
            "name": pilot.metric.name, "unit": pilot.metric.unit, "higher_is_better": pilot.metric.higher_is_better,
        },
        "arms": list(pilot.arms),
        "pilot": asdict(replace(own, prompts=components.prompts)),
        "evaluation": {"prompts": own.prompts, "samples": own.samples},
        "notes": list(pilot.notes),
        "goal": asdict(goal),
        "limits": asdict(limits),
        "costs": None if costs is None else asdict(costs),
        "budget": budget,
        "components": _components(components),
        "shares": {estimand: _shares(components.variances, own, estimand) for estimand in ESTIMANDS},
        "needed": [_needed(components, own, replace(goal, estimand=estimand)) for estimand in ESTIMANDS],
        "floors": {
            "seeds": seeds_floor(components.variances, goal), "prompts": prompts_floor(components.variances, goal),
        },
        "designs": _designs(components, goal, limits, costs, budget),
        "curve": curve,
    }  # fmt: skip


def _components(components: Components) -> list[dict[str, Any]]:
    """Each component as variances: estimate, what it is before clipping, 95 % interval."""
    rows = []
    for field in fields(Variances):
        low, high = components.interval(field.name)
        raw = getattr(components.raw, field.name)
        rows.append({"name": field.name, "variance": max(0.0, raw), "raw": raw, "low": low, "high": high,
                     "known": not (components.confounded and field.name == "sample")})  # fmt: skip
    return rows


def _shares(variances: Variances, design: Design, estimand: str) -> dict[str, float]:
    """What each component adds to the variance of the difference, as a share."""
    cells = design.seeds * design.prompts
    counts = (design.seeds, design.prompts, cells, cells * design.samples)
    parts = [value / count for value, count in zip(astuple(variances), counts, strict=True)]
    if estimand == "recipe":
        parts[1] = 0.0
    return {field.name: part / sum(parts) for field, part in zip(fields(Variances), parts, strict=True)}


def _needed(components: Components, own: Design, goal: Goal) -> dict[str, Any]:
    """Seeds needed, and the effect that as many seeds as the pilot's find, for one estimand."""
    seeds = [
        seeds_for(each, own.prompts, own.samples, goal)
        for each in (components.variances, *plausible_variances(components, own, goal))
    ]
    return {"estimand": goal.estimand, "seeds": seeds[0], "seeds_low": seeds[1], "seeds_high": seeds[2],
            "detectable_effect": detectable_effect(components.variances, own, goal)}  # fmt: skip


def _design(components: Components, design: Design, goal: Goal, costs: Costs | None) -> dict[str, Any]:
    least, most = plausible_variances(components, design, goal)
    return asdict(design) | {
        "power": predicted_power(components.variances, design, goal),
        "power_low": predicted_power(most, design, goal),
        "power_high": predicted_power(least, design, goal),
        "detectable_effect": detectable_effect(components.variances, design, goal),
        "seconds": None if costs is None else costs.of(design),
    }


def _designs(
    components: Components, goal: Goal, limits: Limits, costs: Costs | None, budget: float | None
) -> list[dict[str, Any]]:
    """The best design first, then its neighbours in the number of seeds, best first."""
    variances = components.variances
    if budget is not None and costs is not None:
        found = designs_within(budget, variances, goal, limits, costs)
        ranks = [-predicted_power(variances, design, goal) for design in found]
    else:
        # Without costs the fewest seeds come first, and the trade-off against prompts is left to the reader.
        found = cheapest_designs(variances, goal, limits, costs or Costs(1.0, 1e-9))
        ranks = [costs.of(design) if costs else float(design.seeds) for design in found]
    if not found:
        return []
    best = min(range(len(found)), key=ranks.__getitem__)
    start = max(0, min(best - ROWS // 2, len(found) - ROWS))
    chosen = sorted(range(start, min(start + ROWS, len(found))), key=ranks.__getitem__)
    return [_design(components, found[place], goal, costs) for place in chosen]
