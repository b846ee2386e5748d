"""The method in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.text import joined, plural, visible
from rlbench.statistics.verdict import VERDICT_CONFIDENCE

ESTIMANDS = {
    "recipe": (
        "The seeds are a sample of the runs this recipe could have had; the prompts are the benchmark itself. So the "
        "intervals say what would happen if the recipe were trained again and measured on the same prompts."
    ),
    "population": (
        "Seeds and prompts are both samples. So the intervals say what would happen if the recipe were trained again "
        "and measured on other prompts of the same kind."
    ),
    "checkpoints": (
        "The checkpoints are fixed and the prompts are a sample. So the intervals say what would happen to these very "
        "checkpoints on other prompts of the same kind; they do not say what training again would give."
    ),
}


def pairing(comparison: Mapping[str, Any]) -> str:
    """`by prompt and seed`, as far as seeds exist and are the same ones in both arms of a pair."""
    if not comparison.get("seeds"):
        return "by prompt"
    paired = frozenset(bool(row.get("paired_seeds", True)) for row in comparison.get("estimates") or ())
    return {
        frozenset({False}): "by prompt, and not by seed: the arms were run with different seeds (Welch)",
        frozenset(
            {True, False}
        ): "by prompt, and by seed where the arms were run with the same seeds (Welch where not)",
    }.get(paired, "by prompt and seed")


def method_paragraphs(comparison: Mapping[str, Any]) -> list[str]:
    """How the intervals, p-values and verdicts were made, and what they are conditional on."""
    text = visible(str(comparison.get("estimand_text") or comparison.get("estimand") or ""))
    name = str(comparison.get("estimand") or "")
    paragraphs = [f"What is estimated: {text}. {ESTIMANDS.get(name, '')}".strip()]
    level = quantity.percent(float(comparison.get("confidence") or 0.95))
    replicates = comparison.get("replicates")
    resampled = f" ({quantity.count(replicates)} replicates)" if quantity.known(replicates) else ""
    paragraphs.append(
        f"Intervals are {level} t intervals on bootstrap standard errors{resampled}, with the degrees of freedom that "
        "the number of seeds or prompts allows. They are not percentile intervals, which are far too short for a "
        f"handful of seeds. Differences are paired {pairing(comparison)}."
    )
    paragraphs.append(
        "On the primary metric the p-values of all pairs are adjusted by Holm's method, and the thin intervals are "
        "Bonferroni-simultaneous: they hold for all pairs at once. On the other metrics p-values are adjusted by "
        "Benjamini-Hochberg and are exploratory."
    )
    if comparison.get("margin"):
        paragraphs.append(_margin_paragraph(comparison))
    needed = " Where a pair is not decided the report says how many seeds would be needed."
    paragraphs.append(
        "A large p never means that two arms are equal." + (needed if comparison.get("kind") != "completions" else "")
    )
    if comparison.get("kind") == "experiment":
        seeds = comparison.get("seeds") or ()
        trained = f" with {plural(len(seeds), 'seed')} each" if seeds else ""
        paragraphs.append(
            "All claims are conditional on the shared SFT policy (and on a shared reward model, if there is one): "
            f"every arm started from it{trained}, and it was not trained again. A shared policy is evaluated once a "
            "seed with independent samples. Unscored completions are counted as such, never as zero."
        )
    return paragraphs


def _margin_paragraph(comparison: Mapping[str, Any]) -> str:
    units = {metric["name"]: str(metric.get("unit") or "") for metric in comparison.get("metrics") or ()}
    shown = [
        f"{quantity.number(margin, units.get(name, ''))} {quantity.difference_unit(units.get(name, ''))}".strip()
        + f" of {name}"
        for name, margin in comparison["margin"].items()
    ]
    alpha = f"{1 - float(comparison.get('confidence') or 0.95):.2g}".removeprefix("0")
    return (
        f"The margin, the smallest difference that matters, was declared before the runs: {visible(joined(shown))}. "
        f"With it the {quantity.percent(VERDICT_CONFIDENCE)} interval is read: equivalent is wholly within the margin, "
        "non-inferior is not worse by more than it. An arm is called better or worse only where "
        f"its adjusted p is below {alpha}, too."
    )
