"""The statistical part of a comparison: every arm's scores and every pair's difference, as rows for comparison.json."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlbench.errors import InputError
from rlbench.metrics.table import PromptStatistics, prompt_statistics
from rlbench.records import FloatArray, Metric
from rlbench.stages.stamps import JUDGED, WEAK, Stamped, Tables, refuse_unconfined, stamped, tiers
from rlbench.statistics import (
    Estimand,
    Estimate,
    at_confidence,
    benjamini_hochberg,
    draw_resamples,
    holm,
    minimum_detectable_effect,
    seeds_needed,
    simultaneous_confidence,
    verdict,
)
from rlbench.statistics.arm_metric import ArmMetric
from rlbench.statistics.bootstrap import metric_difference, metric_value
from rlbench.statistics.informative import prompts_that_differ
from rlbench.statistics.verdict import VERDICT_CONFIDENCE


@dataclass(frozen=True)
class Pair:
    """Two arms to compare, the earlier one first; `paired_seeds` says that both were run with the same seeds.

    It is declared with the seeds of the experiments, before anything is seen: seeds that one of the two did not finish
    are left out of paired arms. `survivors_only` says that declared runs of either arm are missing.
    """

    a: str
    b: str
    paired_seeds: bool = True
    survivors_only: bool = False


@dataclass(frozen=True)
class Design:
    """How one task's arms are compared; declared before the run."""

    task: str
    estimand: Estimand
    confidence: float
    replicates: int
    metrics: Sequence[Metric]
    primary: str
    margin: Mapping[str, float]
    grader_options: Mapping[str, Mapping[str, Any]]
    """Options of each grader; part of the signature."""

    def signature(self, metric: Metric) -> str:
        """The metric's signature with the options of its grader."""
        options = self.grader_options.get(metric.grader, {})
        return "|".join([metric.signature, *(f"{name}:{options[name]}" for name in sorted(options))])


class TaskComparison:
    """All scores and differences of one task, of all pairs of arms unless `pairs` names some.

    Raises:
        InputError: completions were judged without a sandbox, do not cover the same prompts, or are too few for a
            metric.
    """

    def __init__(
        self, design: Design, tables: Tables, sample_ids: Sequence[str], pairs: Sequence[Pair] | None = None
    ) -> None:
        refuse_unconfined(tables)
        self.design = design
        self.tiers = tiers(tables)
        self.arms = list(tables)
        self.seeds = {arm: sorted(tables[arm]) for arm in tables}
        self.pairs = self._all_pairs() if pairs is None else list(pairs)
        self.sample_ids = list(sample_ids)
        self._statistics: dict[tuple[str, str, int], PromptStatistics] = {
            (metric.name, arm, seed): prompt_statistics(tables[arm][seed][metric.grader], metric, sample_ids)
            for metric in design.metrics
            for arm in tables
            for seed in tables[arm]
        }
        self.weak: list[Stamped] = stamped(tables, JUDGED, WEAK)
        self.resamples = draw_resamples(max(1, self.prompts), design.replicates)

    def _all_pairs(self) -> list[Pair]:
        """Every pair of arms of one experiment, which all have the same declared seeds."""
        most = max((len(seeds) for seeds in self.seeds.values()), default=0)
        return [
            Pair(a, b, survivors_only=min(len(self.seeds[a]), len(self.seeds[b])) < most)
            for a, b in itertools.combinations(self.arms, 2)
        ]

    @property
    def prompts(self) -> int:
        """How many prompts are compared."""
        return len(self.sample_ids)

    def restricted(self, sample_ids: Sequence[str]) -> TaskComparison:
        """The same comparison on some of its prompts."""
        place = {name: index for index, name in enumerate(self.sample_ids)}
        places = np.array([place[name] for name in sample_ids], dtype=np.intp)
        part = copy(self)
        part.sample_ids = list(sample_ids)
        part._statistics = {key: found.restricted(places) for key, found in self._statistics.items()}
        part.resamples = draw_resamples(max(1, part.prompts), part.design.replicates)
        return part

    def signature(self, metric: Metric) -> str:
        """The design's signature of a metric, with the tiers of the sandbox in which programs were judged for it."""
        words = self.design.signature(metric)
        return f"{words}|sandbox:{self.tiers[metric.grader]}" if metric.grader in self.tiers else words

    def prompt_sums(self) -> list[dict[str, Any]]:
        """The sums per prompt of metrics that are no function of total sums; metrics with the same sums share rows."""
        families: dict[tuple[str, ...], list[Metric]] = {}
        for metric in self.design.metrics:
            if metric.per_prompt is not None:
                families.setdefault((metric.grader, *metric.columns, *metric.component_names), []).append(metric)
        return [
            {
                "task": self.design.task,
                "arm": arm,
                "seed": seed,
                "metrics": [metric.name for metric in metrics],
                "components": "/".join(metrics[0].component_names),
                "sums": _written(self._statistics[metrics[0].name, arm, seed].components),
            }
            for metrics in families.values()
            for arm in self.arms
            for seed in self.seeds[arm]
        ]

    def scores(self) -> list[dict[str, Any]]:
        """One row per metric and arm: value, interval and the value of every seed."""
        rows = []
        for metric in self.design.metrics:
            arms = _Arms(self, metric)
            rows += [self._score(metric, arm, arms) for arm in self.arms]
        return rows

    def differences(self) -> list[dict[str, Any]]:
        """One row per metric and pair of arms, b − a, the earlier arm first; not yet adjusted for multiplicity."""
        rows = []
        for metric in self.design.metrics:
            arms = _Arms(self, metric)
            rows += [self._difference(metric, pair, arms) for pair in self.pairs]
        return rows

    def differing_prompts(self) -> list[tuple[Pair, int]]:
        """On how many prompts the arms of every pair differ in the primary metric."""
        (metric,) = [metric for metric in self.design.metrics if metric.name == self.design.primary]
        arms = {arm: self.sums(metric, arm, seeds) for arm, seeds in self.seeds.items() if seeds}
        return [(p, prompts_that_differ(arms[p.a], arms[p.b])) for p in self.pairs if p.a in arms and p.b in arms]

    def sums(self, metric: Metric, arm: str, seeds: Sequence[int]) -> FloatArray:
        """Sufficient statistics of an arm, [seed, prompt, component]."""
        return np.stack([self._statistics[metric.name, arm, seed].sums for seed in seeds])

    def _by_seed(self, metric: Metric, arm: str, seeds: Sequence[int]) -> list[float | None]:
        sums = [self._statistics[metric.name, arm, seed].sums.sum(axis=0) for seed in seeds]
        return [_finite(float(metric.aggregate(total))) for total in sums]

    def _score(self, metric: Metric, arm: str, arms: _Arms) -> dict[str, Any]:
        seeds = self.seeds[arm]
        counts = [self._statistics[metric.name, arm, seed] for seed in seeds]
        by_seed = self._by_seed(metric, arm, seeds)
        row: dict[str, Any] = {
            "task": self.design.task,
            "metric": metric.name,
            "arm": arm,
            "by_seed": by_seed,
            "by_seed_seeds": seeds,
            "scored": sum(count.scored for count in counts),
            "unscored": sum(count.unscored for count in counts),
        }
        reason = self._not_estimable(by_seed)
        if not reason:
            try:
                estimate = metric_value(
                    arms.of(arm, seeds), estimand=self.design.estimand, confidence=self.design.confidence
                )
            except InputError as error:  # too sparsely scored for an interval
                reason = str(error)
        if reason:
            known = [value for value in by_seed if value is not None]
            value = known[0] if len(known) == len(by_seed) == 1 else None
            return row | {"value": value, "low": None, "high": None, "standard_error": None, "df": None,
                          "reason": reason}  # fmt: skip
        return row | {
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "standard_error": estimate.standard_error,
            "df": estimate.df,
        }

    def _difference(self, metric: Metric, pair: Pair, arms: _Arms) -> dict[str, Any]:
        seeds_a, seeds_b = self.seeds[pair.a], self.seeds[pair.b]
        if pair.paired_seeds:
            seeds_a = seeds_b = [seed for seed in seeds_a if seed in seeds_b]
        of_a, of_b = self._by_seed(metric, pair.a, seeds_a), self._by_seed(metric, pair.b, seeds_b)
        row: dict[str, Any] = {
            "a": pair.a,
            "b": pair.b,
            "task": self.design.task,
            "metric": metric.name,
            "primary": metric.name == self.design.primary,
            "estimand": self.design.estimand,
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
            "paired_seeds": pair.paired_seeds,
            "by_seed": [None if x is None or y is None else y - x for x, y in zip(of_a, of_b, strict=True)]
            if pair.paired_seeds
            else [],
            "by_seed_seeds": seeds_a if pair.paired_seeds else [],
            "seeds": None if self.design.estimand == "checkpoints" else min(len(seeds_a), len(seeds_b)),
            "prompts": self.prompts,
            "survivors_only": pair.survivors_only,
        }
        reason = self._not_estimable(of_a) or self._not_estimable(of_b)
        if not reason:
            try:
                estimate = metric_difference(
                    arms.of(pair.b, seeds_b), arms.of(pair.a, seeds_a), estimand=self.design.estimand,
                    confidence=self.design.confidence, paired_seeds=pair.paired_seeds,
                )  # fmt: skip
            except InputError as error:  # too sparsely scored for an interval
                reason = str(error)
        if reason:
            nothing = ("value", "low", "high", "standard_error", "df", "p_value", "p_adjusted", "simultaneous_low",
                       "simultaneous_high", "minimum_detectable_effect", "seeds_needed")  # fmt: skip
            return row | dict.fromkeys(nothing) | {"verdict": "not computable", "reason": reason}
        return row | {"estimate": estimate}

    def _not_estimable(self, by_seed: Sequence[float | None]) -> str:
        if any(value is None for value in by_seed):
            return "nothing could be scored in at least one seed"
        if self.design.estimand != "checkpoints" and len(by_seed) < 2:
            return f"{len(by_seed)} finished seed(s) in common; an interval over seeds needs at least 2"
        if self.design.estimand == "checkpoints" and (self.prompts < 2 or not by_seed):
            return "an interval over prompts needs at least 2 prompts"
        return ""


class _Arms:
    """The arms' values of one metric, resampled once for all pairs that they are in."""

    def __init__(self, comparison: TaskComparison, metric: Metric) -> None:
        self._comparison, self._metric = comparison, metric
        self._made: dict[tuple[str, tuple[int, ...]], ArmMetric] = {}

    def of(self, arm: str, seeds: Sequence[int]) -> ArmMetric:
        """The arm over some of its seeds."""
        key = (arm, tuple(seeds))
        if key not in self._made:
            sums = self._comparison.sums(self._metric, arm, seeds)
            self._made[key] = ArmMetric(sums, self._metric.aggregate, self._comparison.resamples, arm)
        return self._made[key]


def adjust(rows: Sequence[dict[str, Any]], design: Design, primary: bool) -> list[dict[str, Any]]:
    """Turn the rows of one family into their final form, adjusted for the number of tests in it.

    The family of the primary metric gets Holm-adjusted p-values and Bonferroni-simultaneous intervals; the family of
    all others Benjamini-Hochberg-adjusted p-values, which are exploratory, and no simultaneous intervals.
    """
    # A pair that could not be tested stays in the family as an undecided test: failures do not make others significant.
    p_values = [row["estimate"].p_value if "estimate" in row else 1.0 for row in rows]
    adjusted = (holm if primary else benjamini_hochberg)(p_values) if rows else np.empty(0)
    confidence = simultaneous_confidence(design.confidence, max(1, len(rows))) if primary else None
    return [
        _final(row, float(p), design, confidence, len(rows)) if "estimate" in row else row
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _final(
    row: dict[str, Any], p_adjusted: float, design: Design, simultaneous: float | None, tests: int
) -> dict[str, Any]:
    estimate: Estimate = row["estimate"]
    low, high = at_confidence(estimate, simultaneous) if simultaneous else (None, None)
    alpha = 1 - design.confidence
    decided = p_adjusted < alpha
    # More seeds do not make more prompts: for other estimands than the recipe seeds alone say nothing of the power.
    over_seeds = design.estimand == "recipe" and estimate.seeds > 1 and bool(estimate.seed_sd)
    # A pair of the primary family has to pass Holm's test, at worst at the simultaneous level.
    power = {"power": 0.8, "alpha": alpha if simultaneous is None else 1 - simultaneous}
    detectable = needed = None
    if over_seeds and estimate.seed_sd is not None:
        detectable = minimum_detectable_effect(estimate.seeds, **power) * estimate.standard_error * estimate.seeds**0.5
        if not decided and estimate.value != 0:
            needed = max(estimate.seeds + 1, seeds_needed(abs(estimate.value), estimate.seed_sd, **power))
    kept = {key: value for key, value in row.items() if key != "estimate"}
    return kept | {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "simultaneous_low": low,
        "simultaneous_high": high,
        "standard_error": estimate.standard_error,
        "df": estimate.df if math.isfinite(estimate.df) else None,
        "p_value": estimate.p_value,
        "p_adjusted": p_adjusted,
        "adjustment": "Holm" if simultaneous else "Benjamini-Hochberg (exploratory)",
        "method": estimate.method,
        "minimum_detectable_effect": detectable,
        "seeds_needed": needed,
        "verdict": _verdict(estimate, row, decided, design.margin.get(row["metric"]), tests if simultaneous else 1),
    }


def _verdict(estimate: Estimate, row: Mapping[str, Any], decided: bool, margin: float | None, tests: int) -> str:
    better = row["higher_is_better"]
    if better is None:
        return ("higher" if estimate.value > 0 else "lower") if decided else "not decided"
    if margin is not None:
        return _with_margin(estimate if better else _negated(estimate), margin, decided, tests)
    if not decided:
        return "not decided"
    return "improved" if (estimate.value > 0) == better else "worse"


def _with_margin(estimate: Estimate, margin: float, decided: bool, tests: int) -> str:
    """The lattice's verdict, but a difference is claimed only where it holds among all `tests` of the family."""
    found = verdict(estimate, margin)
    if found == "regressed":
        _, high = at_confidence(estimate, simultaneous_confidence(VERDICT_CONFIDENCE, tests))
        return found if decided and high < -margin else "inconclusive"
    if found in ("improved", "worse within margin") and not decided:
        return "non-inferior"
    return found


def _negated(estimate: Estimate) -> Estimate:
    return replace(estimate, value=-estimate.value, low=-estimate.high, high=-estimate.low)


def _written(sums: FloatArray) -> str:
    """Sums [prompt, component] as a short text, for example `3/4 0/4`; every number can be read back exactly."""
    return " ".join("/".join(f"{value:.17g}" for value in row) for row in sums)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
