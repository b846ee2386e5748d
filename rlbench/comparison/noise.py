"""What one recipe's own runs say about noise: values by seed, and A/A splits that need no second experiment.

Between two halves of one arm's seeds there is no difference to find. How far the halves are apart, and how wide the
interval between them is, is the noise floor of a gate: a margin below it cannot be passed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from rlbench.comparison.arms import Arm, TaskScores
from rlbench.metrics.table import PromptStatistics, prompt_statistics
from rlbench.records import FloatArray, Metric
from rlbench.seeding import stream
from rlbench.statistics.verdict import VERDICT_CONFIDENCE

SPLITS = 400
"""All splits where there are no more of them, else so many random ones."""
_FEWEST_TO_SPLIT = 4


@dataclass(frozen=True)
class ProcessMetric:
    """A quantity of a whole training run, from its usage: one value per process."""

    name: str
    unit: str
    higher_is_better: bool
    amount: str
    per_second: bool


PROCESS_METRICS = {
    metric.name: metric
    for metric in (
        ProcessMetric("throughput", "tokens/s", True, "generated_tokens", True),
        ProcessMetric("completions_per_second", "completions/s", True, "completions", True),
        ProcessMetric("peak_memory", "bytes", False, "peak_memory_bytes", False),
    )
}


@dataclass(frozen=True)
class Noise:
    """The noise floor of one quantity, in its unit (of logarithms for process metrics).

    `half_width` is that of the 90 % interval which an identical recipe would get with as many other seeds. The splits
    are of the seeds into two halves, the smaller one of `split_seeds`: the median half-width of their 90 % interval,
    the difference that 95 % of them stay below, and the share whose interval leaves out zero (about .10 if all is
    well; splits share seeds, so that the share of few seeds varies widely). None with too few seeds.
    """

    seeds: int
    mean: float
    seed_sd: float
    half_width: float
    splits: int
    split_seeds: int | None
    split_half_width: float | None
    split_difference: float | None
    split_false_alarms: float | None

    def to_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)


def statistics_by_seed(
    scores: TaskScores, metric: Metric, sample_ids: Sequence[str] | None = None
) -> dict[int, PromptStatistics]:
    """The metric's sums per prompt of every seed whose grader's table is there; of some prompts if they are given."""
    prompts = scores.sample_ids if sample_ids is None else sample_ids
    return {
        seed: prompt_statistics(by_grader[metric.grader], metric, prompts)
        for seed, by_grader in sorted(scores.tables.items())
        if metric.grader in by_grader
    }


def is_measured(scores: TaskScores, metric: Metric) -> bool:
    """Whether any completion was scored with what the metric reads."""
    columns = list(metric.columns)
    return any(
        metric.grader in by_grader and bool(by_grader[metric.grader][columns].notna().any(axis=None))
        for by_grader in scores.tables.values()
    )


def seed_values(scores: TaskScores, metric: Metric) -> dict[int, float]:
    """The metric of every seed in which something could be scored."""
    return values_of(statistics_by_seed(scores, metric), metric)


def values_of(statistics: Mapping[int, PromptStatistics], metric: Metric) -> dict[int, float]:
    """The metric of every seed's sums; seeds in which nothing could be scored are left out."""
    found = {seed: float(metric.aggregate(each.sums.sum(axis=0))) for seed, each in statistics.items()}
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def process_values(arm: Arm, task: str, metric: ProcessMetric) -> dict[int, float]:
    """The quantity of every finished run of a task; runs whose usage does not tell it are left out."""
    found = {}
    for (name, seed), usage in sorted(arm.usage.items()):
        if name != task:
            continue
        amount, seconds = usage.get(metric.amount), usage.get("seconds") if metric.per_second else 1.0
        if amount and seconds:
            found[seed] = float(amount) / float(seconds)
    return found


def half_width(values: Mapping[int, float], seeds: int | None = None) -> float | None:
    """Half of the 90 % interval between two arms of `seeds` unpaired seeds that vary like these values.

    As many seeds as there are values by default. None with fewer than two values or seeds.
    """
    seeds = len(values) if seeds is None else seeds
    if len(values) < 2 or seeds < 2:
        return None
    sd = float(np.std(list(values.values()), ddof=1))
    return float(stdtrit(2 * seeds - 2, 0.5 + VERDICT_CONFIDENCE / 2)) * sd * math.sqrt(2 / seeds)


def noise_floor(values: Mapping[int, float]) -> Noise | None:
    """Measure the noise of values by seed; None with fewer than two."""
    width = half_width(values)
    if width is None:
        return None
    array = np.array(list(values.values()))
    mean, sd = float(array.mean()), float(array.std(ddof=1))
    if len(array) < _FEWEST_TO_SPLIT:
        return Noise(len(array), mean, sd, width, 0, None, None, None, None)
    differences, widths = split_intervals(array)
    return Noise(
        seeds=len(array),
        mean=mean,
        seed_sd=sd,
        half_width=width,
        splits=len(differences),
        split_seeds=len(array) // 2,
        split_half_width=float(np.median(widths)),
        split_difference=float(np.quantile(np.abs(differences), 0.95)),
        split_false_alarms=float((np.abs(differences) > widths).mean()),
    )


def split_verdicts(values: Mapping[int, float], margin: float) -> dict[str, Any] | None:
    """How a margin judges the halves of one arm against each other, in both directions: shares of the splits.

    `regressed` are false alarms, `undecided` could not be passed. The halves have fewer seeds than the arm. None with
    fewer than four values.
    """
    if len(values) < _FEWEST_TO_SPLIT:
        return None
    differences, widths = split_intervals(np.array(list(values.values())))
    both, widths = np.concatenate([differences, -differences]), np.concatenate([widths, widths])
    regressed = both + widths < -margin
    return {
        "splits": len(differences),
        "seeds": len(values) // 2,
        "regressed": float(regressed.mean()),
        "undecided": float((~regressed & (both - widths <= -margin)).mean()),
    }


def split_intervals(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Welch's 90 % interval between the halves of values [seed]: differences and half-widths, [split] each."""
    size = len(values)
    chosen = _halves(size)
    every = np.broadcast_to(values, chosen.shape)
    one, other = every[chosen], every[~chosen]
    n, m = size // 2, size - size // 2
    one, other = one.reshape(-1, n), other.reshape(-1, m)
    v, w = one.var(axis=1, ddof=1) / n, other.var(axis=1, ddof=1) / m
    total = v + w
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(total > 0, total**2 / (v**2 / (n - 1) + w**2 / (m - 1)), n - 1)
    widths = np.asarray(stdtrit(df, 0.5 + VERDICT_CONFIDENCE / 2)) * np.sqrt(total)
    return one.mean(axis=1) - other.mean(axis=1), widths


def _halves(size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which values [split, seed] form the first half: all choices, or a fixed random set of them."""
    half = size // 2
    # of two equal halves, the one with the first seed is called the first: a mirrored split is the same split
    if math.comb(size, half) <= (2 * SPLITS if size % 2 == 0 else SPLITS):
        every = itertools.combinations(range(size), half)
        places = np.array([each for each in every if size % 2 or each[0] == 0])
    else:
        generator = stream(0, "comparison", "A/A splits", size)
        places = generator.random((SPLITS, size)).argsort(axis=1)[:, :half]
    chosen = np.zeros((len(places), size), dtype=np.bool_)
    np.put_along_axis(chosen, places, True, axis=1)
    return chosen
