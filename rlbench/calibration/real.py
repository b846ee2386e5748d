"""Real A/A: the seeds of one arm are split into two arms at random, many times; every alarm is false.

Splits of the same seeds overlap, so they are not independent, and no binomial interval holds for the rate of alarms.
Of `n` seeds the rate over all splits is a U-statistic: an average over subsets of independent seeds. Its standard
error is the delete-one jackknife over seeds (Arvesen 1969), for which the rate without a seed is that of the splits
that do not use it. Because only some splits are drawn, chance adds to the jackknife; its expected part is taken out,
and the chance of the rate itself is added (as Wager, Hastie and Efron 2014 do for forests).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from tqdm import tqdm

from rlbench.comparison.arms import TaskScores
from rlbench.comparison.sources import read_source
from rlbench.errors import InputError
from rlbench.metrics.table import prompt_statistics
from rlbench.records import Metric
from rlbench.registry import load
from rlbench.seeding import stream
from rlbench.statistics import Estimand, bootstrap_difference, draw_resamples

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

SIZES = (3, 5, 10)
SPLITS = 10_000
SECONDARY_SPLITS = 4_000
POPULATION_SPLITS = 1_000
REPLICATES = 1_000
ALPHA = 0.05


@dataclass(frozen=True)
class FalseAlarms:
    """How often one metric raised an alarm between two arms of `size` seeds each of the same recipe.

    `rate` has the 95 % interval [`low`, `high`] over other seeds of the recipe. `reason` says why there is none.
    """

    task: str
    metric: str
    primary: bool
    estimand: Estimand
    paired: bool
    size: int
    splits: int
    alarms: int
    low: float | None
    high: float | None
    reason: str = ""

    @property
    def rate(self) -> float | None:
        """Alarms per split."""
        return self.alarms / self.splits if self.splits else None


@dataclass(frozen=True)
class RealAA:
    """An experiment's A/A: its name, the arm, how many seeds it has and the alarms."""

    experiment: str
    arm: str
    seeds: int
    prompts: Mapping[str, int]
    rows: tuple[FalseAlarms, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RealAA:
        """What `to_json` wrote."""
        rows = tuple(FalseAlarms(**each) for each in row["rows"])
        return cls(row["experiment"], row["arm"], row["seeds"], row["prompts"], rows)


def real_aa(experiment: Path, arm: str | None, splits: int = SPLITS) -> RealAA:
    """Split the seeds of an arm of a finished run into two arms of 3, 5 and 10 seeds, as far as there are seeds.

    Raises:
        InputError: there is no such arm, the arm must be named, or it has fewer than 6 finished seeds.
    """
    arms = [each for each in read_source(str(experiment)) if each.kind == "algorithm"]
    chosen = [each for each in arms if arm in (None, each.name)]
    if len(chosen) != 1:
        raise InputError(
            f"{experiment}: expected one arm to split, got {arm or 'none'}; name one of "
            f"{', '.join(each.name for each in arms) or 'the arms that were trained (there is none)'} with --arm"
        )
    rows: list[FalseAlarms] = []
    for scores in chosen[0].tasks.values():
        rows += _task(scores, splits, str(experiment))
    prompts = {name: len(scores.sample_ids) for name, scores in chosen[0].tasks.items()}
    seeds = max(len(scores.tables) for scores in chosen[0].tasks.values())
    return RealAA(experiment.resolve().name, chosen[0].name, seeds, prompts, tuple(rows))


def jackknife_interval(alarms: NDArray[np.bool_], used: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the 95 % interval of a rate of alarms [split] from which seeds each split used [split, seed]."""
    splits, seeds = used.shape
    rate = float(alarms.mean())
    unused = (~used).sum(axis=0)
    without = (alarms[:, None] & ~used).sum(axis=0) / unused
    by_chance = rate * (1 - rate) * (1 / unused - 1 / splits)
    over_seeds = (seeds - 1) / seeds * float((np.square(without - without.mean()) - by_chance).sum())
    error = math.sqrt(max(over_seeds, 0.0) + rate * (1 - rate) / splits)
    half = float(stdtrit(seeds - 1, 0.975)) * error
    return max(0.0, rate - half), min(1.0, rate + half)


def _task(scores: TaskScores, splits: int, where: str) -> list[FalseAlarms]:
    seeds = sorted(scores.tables)
    sizes = [size for size in SIZES if 2 * size <= len(seeds)]
    if not sizes:
        raise InputError(
            f"{where}: expected at least {2 * SIZES[0]} finished seeds of {scores.task} to split into two arms, got "
            f"{len(seeds)}; train more seeds"
        )
    found = []
    with tqdm(total=len(scores.metrics), unit="metric", disable=not sys.stderr.isatty(), leave=False) as bar:
        for name in scores.metrics:
            metric: Metric = load("metrics", name)
            stats = np.stack(
                [prompt_statistics(scores.tables[s][metric.grader], metric, scores.sample_ids).sums for s in seeds]
            )
            count = splits if name == scores.primary else min(splits, SECONDARY_SPLITS)
            found += [_alarms(scores, metric, stats, size, "recipe", paired, count)
                      for size in sizes for paired in (True, False)]  # fmt: skip
            if name == scores.primary:
                fewer = min(splits, POPULATION_SPLITS)
                found += [_alarms(scores, metric, stats, size, "population", True, fewer) for size in sizes]
            bar.update()
    return found


def _alarms(
    scores: TaskScores, metric: Metric, stats: FloatArray, size: int, estimand: Estimand, paired: bool, splits: int
) -> FalseAlarms:
    resamples = draw_resamples(stats.shape[1], REPLICATES) if estimand == "population" else None

    def alarm(a: IntArray, b: IntArray) -> bool:
        estimate = bootstrap_difference(
            stats[a], stats[b], metric.aggregate, estimand=estimand, paired_seeds=paired, resamples=resamples
        )
        return estimate.p_value is not None and estimate.p_value <= ALPHA

    common: dict[str, Any] = {"task": scores.task, "metric": metric.name, "primary": metric.name == scores.primary,
                              "estimand": estimand, "paired": paired, "size": size}  # fmt: skip
    try:
        alarms, used = split(len(stats), size, splits, alarm)
    except InputError as error:  # nothing was scored in some seed, for example
        return FalseAlarms(**common, splits=0, alarms=0, low=None, high=None, reason=str(error))
    low, high = jackknife_interval(alarms, used)
    return FalseAlarms(**common, splits=splits, alarms=int(alarms.sum()), low=low, high=high)


def split(
    seeds: int, size: int, splits: int, alarm: Callable[[IntArray, IntArray], bool]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Draw `splits` times two arms of `size` of the seeds; return the alarms [split] and who was used [split, seed]."""
    generator = stream("calibration", "real A/A", seeds, size)
    alarms, used = np.zeros(splits, dtype=bool), np.zeros((splits, seeds), dtype=bool)
    for index in range(splits):
        order = generator.permutation(seeds)
        alarms[index] = alarm(order[:size], order[size : 2 * size])
        used[index, order[: 2 * size]] = True
    return alarms, used
