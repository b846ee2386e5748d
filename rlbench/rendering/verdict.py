"""The result in plain words: one sentence that sums it up, then one sentence a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.outcome import missing_runs, outcome_words, unfinished_runs
from rlbench.rendering.pair import WITHIN_MARGIN, Pair, pairs, primary_metrics, ranking, scores, tasks
from rlbench.rendering.text import joined, label, plural, visible

MOST_PAIRS = 15


def verdict_sentences(comparison: Mapping[str, Any]) -> list[str]:
    """The leading sentence, then one for every pair on every primary metric.

    With many arms the pairs with the baseline are spelled out and the others counted.
    """
    every = list(pairs(comparison, primary=True))
    shown = [pair for pair in every if len(every) <= MOST_PAIRS or comparison.get("baseline") in (pair.a, pair.b)]
    sentences = [lead_sentence(comparison), *(pair_sentence(pair, comparison) for pair in shown)]
    if rest := [pair for pair in every if pair not in shown]:
        decided = sum(pair.standing == "decided" for pair in rest)
        sentences.append(f"{len(rest)} more pairs of arms, {decided} of them decided; the report has them all.")
    return sentences


def is_ranked(comparison: Mapping[str, Any]) -> bool:
    """Whether the arms may be ordered: the budget audit passed and no seed is missing."""
    budget = comparison.get("budget")
    balanced = not (unfinished_runs(comparison) or missing_runs(comparison))
    return balanced and (not budget or bool(budget.get("passed", True)))


def lead_sentence(comparison: Mapping[str, Any]) -> str:
    """Who is best; or why nobody may be called best."""
    budget = comparison.get("budget") or {}
    parts = []
    if budget and not budget.get("passed", True):
        parts.append(_audit_sentence(budget))
    if unfinished_runs(comparison) or missing_runs(comparison):
        parts.append(_unbalanced_sentence(comparison))
    if parts:
        return " ".join(parts)
    found = [
        _leader_sentence(comparison, task, metric)
        for task in tasks(comparison)
        for metric in primary_metrics(comparison, task)
    ]
    return " ".join(found) or "There is nothing to compare: the comparison names no primary metric."


def _audit_sentence(budget: Mapping[str, Any]) -> str:
    failures = [visible(str(failure)) for failure in budget.get("failures") or ()]
    shown = "; ".join(failures[:3]) + (f"; and {len(failures) - 3} more" if len(failures) > 3 else "")
    return "The budget audit failed, so the arms did not have the same means and are not ranked" + (
        f": {shown}." if shown else "."
    )


def _unbalanced_sentence(comparison: Mapping[str, Any]) -> str:
    unfinished, missing = unfinished_runs(comparison), missing_runs(comparison)
    words = [outcome_words(run) for run in unfinished]
    words += [f"{label(arm)} seed {seed} on {visible(task)} is missing" for arm, task, seed in missing]
    total = len(comparison.get("runs") or ()) + len(missing)
    shown = "; ".join(words[:3]) + (f"; and {len(words) - 3} more" if len(words) > 3 else "")
    return (
        f"{len(words)} of {plural(total, 'run')} did not finish ({shown}), so the grid is not ranked; "
        "differences that rest on the surviving seeds are marked."
    )


def _leader_sentence(comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any]) -> str:
    found, direction = ranking(comparison, task, metric), metric.get("higher_is_better")
    if found is None:
        return f"On {visible(task)} no arm can be called best."
    leader, row = label(found.leader), scores(comparison)[found.leader, task, metric["name"]]
    others = f" It was not compared with {_all_of(found.uncompared)}." if found.uncompared else ""
    if not (found.beaten or found.tied or others):
        return f"{leader} is the only arm on {visible(task)}: {_score_words(row, metric)}."
    if not found.beaten:
        extreme = "highest" if direction else "lowest"
        head = f"On {visible(task)} nothing puts one arm first; the {extreme} is {leader}"
        return f"{head} with {_score_words(row, metric)}.{others}"
    if not (found.tied or others):
        return (
            f"{leader} is best on {visible(task)} with {_score_words(row, metric)}; it beats {_all_of(found.beaten)}."
        )
    best = f"the best {visible(str(metric['name']))}, {_score_words(row, metric, '')}"
    verb = "is" if len(found.tied) == 1 else "are"
    tail = f", but {_all_of(found.tied)} {verb} not decided against it" if found.tied else ""
    return f"On {visible(task)} {leader} has {best}; it beats {_all_of(found.beaten)}{tail}.{others}"


def _all_of(names: Sequence[str]) -> str:
    return joined([label(name) for name in names])


def _score_words(row: Mapping[str, Any], metric: Mapping[str, Any], name: str | None = None) -> str:
    unit = str(metric.get("unit") or "")
    places = quantity.decimals([row.get("value"), row.get("low"), row.get("high")], unit)
    value = f"{quantity.number(row.get('value'), unit, places)} {quantity.level_unit(unit)}".strip()
    words = [value, visible(str(metric["name"])) if name is None else name]
    return " ".join(word for word in [*words, quantity.interval(row.get("low"), row.get("high"), unit, places)] if word)


def pair_sentence(pair: Pair, comparison: Mapping[str, Any]) -> str:
    """What one estimate says, with the sign turned so that it reads subject minus object."""
    if pair.standing == "decided":
        return _decided_sentence(pair, comparison)
    b, a, task = label(pair.b), label(pair.a), visible(pair.task)
    difference, context = _difference(pair, 1), _context(pair, comparison)
    if pair.standing == "survivors only":
        return f"Survivors only, not ranked: {b} against {a} on {task}, difference {difference} {context}."
    if pair.standing == "unknown":
        reason = visible(str(pair.estimate.get("reason") or "there is no interval"))
        shown = f"; the observed difference is {difference}" if quantity.known(pair.estimate.get("value")) else ""
        return f"{b} against {a} cannot be decided on {task}: {reason}{shown}."
    if pair.standing == "equivalent":
        return f"{b} and {a} are equivalent on {task} within the declared margin: difference {difference} {context}."
    if pair.standing == "non-inferior":
        return f"{b} is not worse than {a} on {task} by more than the margin: difference {difference} {context}."
    return f"{b} against {a} is not decided on {task}: difference {difference} {context}{_needed(pair)}."


def _decided_sentence(pair: Pair, comparison: Mapping[str, Any]) -> str:
    ahead, behind, task = label(pair.ahead), label(pair.behind), visible(pair.task)
    direction, context = pair.metric.get("higher_is_better"), _context(pair, comparison)
    sign = 1 if pair.ahead == pair.b else -1
    if direction is None:
        return f"{ahead} is higher than {behind} on {task} by {_difference(pair, sign)} {context}."
    verb = "is ahead of" if _unequal(pair, comparison) else "beats"
    if direction:
        return f"{ahead} {verb} {behind} on {task} by {_difference(pair, sign)} {context}."
    lower = f"with a lower {visible(str(pair.metric['name']))}, difference {_difference(pair, sign)}"
    return f"{ahead} {verb} {behind} on {task} {lower} {context}."


def _difference(pair: Pair, sign: int) -> str:
    """`+27.1 points of correctness [25.0, 29.2]`; with sign -1 it reads a - b."""
    value, low, high = (pair.estimate.get(name) for name in ("value", "low", "high"))
    if not quantity.known(value):
        return quantity.MISSING
    if sign < 0:
        low, high = (-high if quantity.known(high) else None), (-low if quantity.known(low) else None)
    places = quantity.decimals([value, low, high], pair.unit)
    name, unit = visible(str(pair.metric["name"])), visible(quantity.difference_unit(pair.unit))
    words = f"{unit} of {name}" if unit and unit != name else name
    shown = f"{quantity.number(sign * value, pair.unit, places, signed=True)} {words}"
    return f"{shown} {quantity.interval(low, high, pair.unit, places)}".strip()


def _context(pair: Pair, comparison: Mapping[str, Any]) -> str:
    estimate = pair.estimate
    size = [_seeds(pair, comparison)] if estimate.get("seeds") else []
    if not size and estimate.get("prompts"):
        size = [plural(estimate["prompts"], "prompt")]
    remarks = ["unequal budgets"] if _unequal(pair, comparison) else []
    if str(estimate.get("verdict")) == WITHIN_MARGIN:
        remarks.append("within the declared margin")
    scope = visible(str(comparison.get("estimand_text") or estimate.get("estimand") or ""))
    head = ", ".join([*size, scope, *remarks])
    if not quantity.known(estimate.get("p_adjusted")):
        return f"({head.strip(', ')})"
    method = "Holm" if estimate.get("primary", True) else "exploratory, Benjamini-Hochberg"
    return f"({head.strip(', ')}; {method}-adjusted {quantity.p_equals(estimate['p_adjusted'])})"


def _seeds(pair: Pair, comparison: Mapping[str, Any]) -> str:
    """`5 seeds`; `8 unpaired seeds each`; `8 and 5 unpaired seeds` in the order of the sentence's arms."""
    least = int(pair.estimate["seeds"])
    if pair.estimate.get("paired_seeds", True):
        return plural(least, "seed")
    by_name = scores(comparison)
    named = (pair.ahead, pair.behind) if pair.standing == "decided" else (pair.b, pair.a)
    rows = [by_name.get((arm, pair.task, pair.metric["name"]), {}) for arm in named]
    first, second = (len(row.get("by_seed_seeds") or ()) or least for row in rows)
    return f"{first} and {second} unpaired seeds" if first != second else f"{plural(first, 'unpaired seed')} each"


def _unequal(pair: Pair, comparison: Mapping[str, Any]) -> bool:
    """Whether a run of one of the two arms missed its budget on this task."""
    runs = (comparison.get("budget") or {}).get("runs") or ()
    return any(
        run["arm"] in (pair.a, pair.b) and run["task"] == pair.task and not run.get("passed", True) for run in runs
    )


def _needed(pair: Pair) -> str:
    needed, effect = pair.estimate.get("seeds_needed"), pair.estimate.get("minimum_detectable_effect")
    if needed:
        return f"; about {plural(int(needed), 'seed')} would be needed"
    if quantity.known(effect):
        unit = visible(quantity.difference_unit(pair.unit))
        return f"; only differences of {quantity.number(effect, pair.unit)} {unit} or more would be seen reliably"
    return ""
