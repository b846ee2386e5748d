"""How often a planned experiment will find an effect, and how to spend seeds, prompts and samples on it.

The power is that of the tests that `paired_difference` makes of Gaussian components (see `components`):

* recipe (E2): differences per seed vary by σ²_γ + (σ²_ξ + σ²_ε/k)/N around the truth, so t is noncentral t, exactly.
* population (E3): the mean and the three mean squares are independent, the squares scaled chi-squares. The chance that
  |mean| > t_df √V is averaged over them on a low-discrepancy sequence, with V and df by `variance.crossed_variances`.

A gate that passes when L > −m is the one-sided test of the distance between the truth and −m.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from rlbench.errors import InputError
from rlbench.statistics.components import Components, Variances
from rlbench.statistics.estimate import check_confidence
from rlbench.statistics.power import t_power
from rlbench.statistics.variance import crossed_variances

FloatArray = NDArray[np.float64]

FEWEST_SEEDS = 3
"""With two seeds an interval has one df; no plan asks for less than three."""
FEWEST_PROMPTS = 20
"""With fewer prompts the calibration of the tests is not measured."""
MOST_SEEDS = 1_000
MOST_SAMPLES = 64
_POINTS = 8_192
# From here on Wilson and Hilferty's cube (1931) is as good as the exact quantile, and much faster.
_CUBE_FROM = 100


@dataclass(frozen=True)
class Design:
    """An experiment of `seeds` seeds per arm, evaluated on `prompts` prompts with `samples` samples each."""

    seeds: int
    prompts: int
    samples: int


@dataclass(frozen=True)
class Goal:
    """What an experiment should find: `effect` > 0 in the metric's unit, with probability `power`, at level `alpha`.

    `one_sided` is for gates: `effect` is then the distance between the true difference and −margin.
    """

    effect: float
    power: float = 0.8
    alpha: float = 0.05
    estimand: Literal["recipe", "population"] = "recipe"
    one_sided: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.effect) and self.effect > 0):
            raise InputError(f"plan: expected an effect above zero, got {self.effect}; say which difference matters")
        if not 0.0 < self.alpha < self.power < 1.0:
            raise InputError(
                f"plan: expected 0 < alpha < power < 1, got alpha {self.alpha} and power {self.power}; "
                "use alpha 0.05 and power 0.8"
            )


@dataclass(frozen=True)
class Costs:
    """What a seed costs, in seconds, all arms together: training, and each sample of each prompt."""

    seed: float
    completion: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seed) and self.seed >= 0 and math.isfinite(self.completion) and self.completion > 0):
            raise InputError(
                f"plan: expected seconds of zero or more per seed and above zero per completion, got {self.seed} and "
                f"{self.completion}; measure them in a pilot"
            )

    def of(self, design: Design) -> float:
        """The seconds that a design takes."""
        return design.seeds * (self.seed + design.prompts * design.samples * self.completion)


@dataclass(frozen=True)
class Limits:
    """How far a plan may go: prompts there are, and the only number of samples if their variance is not known."""

    prompts: int
    samples: int | None = None


def predicted_power(variances: Variances, design: Design, goal: Goal) -> float:
    """Return how often the test finds the goal's effect, to about .001.

    Raises InputError for fewer than 2 seeds, 2 prompts (population) or 1 sample, and if nothing varies at all.
    """
    needed = 2 if goal.estimand == "population" else 1
    if design.seeds < 2 or design.prompts < needed or design.samples < 1:
        raise InputError(
            f"plan: expected at least 2 seeds, {needed} prompts and 1 sample, got {design}; plan a larger one"
        )
    residual = variances.residual(design.samples)
    between = variances.seed + residual / design.prompts
    if between <= 0:
        raise InputError("plan: nothing varied between seeds, which no plan can build on; take a pilot that varies")
    if goal.estimand == "recipe":
        return t_power(goal.effect / math.sqrt(between), design.seeds, goal.alpha, one_sided=goal.one_sided)
    return _population_power(variances.prompt, residual, between, design, goal)


def plausible_variances(
    components: Components, design: Design, goal: Goal, confidence: float = 0.95
) -> tuple[Variances, Variances]:
    """Return the components of a lucky and of an unlucky pilot's truth: the ends of what the pilot leaves open.

    They are the draws at which the variance that decides the design is at its quantiles: what is planned with the
    first and with the second brackets what is planned with the estimate.
    """
    check_confidence(confidence)
    seed, prompt, interaction, sample = components.draws.T
    total = (seed + (interaction + sample / design.samples) / design.prompts) / design.seeds
    if goal.estimand == "population":
        total = total + prompt / design.prompts
    order = np.argsort(total, kind="stable")
    low, high = (round((0.5 + sign * confidence / 2) * (len(order) - 1)) for sign in (-1, 1))
    least, most = (Variances(*map(float, components.draws[order[place]])) for place in (low, high))
    return least, most


def detectable_effect(variances: Variances, design: Design, goal: Goal) -> float:
    """Return the effect that the design finds with the goal's power; the goal's own effect does not matter."""

    def missing(effect: float) -> float:
        return predicted_power(variances, design, replace(goal, effect=effect)) - goal.power

    residual = variances.residual(design.samples)
    upper = math.sqrt((variances.seed + residual / design.prompts) / design.seeds + variances.prompt / design.prompts)
    lower = upper * 1e-3
    while missing(upper) < 0:
        upper *= 2.0
    return float(brentq(missing, lower, upper, rtol=1e-6))


def seeds_for(variances: Variances, prompts: int, samples: int, goal: Goal) -> int | None:
    """Return the fewest seeds (3 to 1,000) that reach the goal, or None where no such number does."""
    return _fewest(lambda seeds: predicted_power(variances, Design(seeds, prompts, samples), goal) >= goal.power,
                   FEWEST_SEEDS, MOST_SEEDS)  # fmt: skip


def seeds_floor(variances: Variances, goal: Goal) -> int | None:
    """Return the fewest seeds that reach the goal with prompts and samples without end, or None beyond 1,000."""
    if variances.seed <= 0:
        return FEWEST_SEEDS
    return _fewest(lambda seeds: _seeds_only(variances, seeds, goal) >= goal.power, FEWEST_SEEDS, MOST_SEEDS)


def prompts_floor(variances: Variances, goal: Goal) -> int:
    """Return the fewest prompts that reach the goal with seeds without end: 1, but for the population's prompts."""
    if goal.estimand == "recipe" or variances.prompt <= 0:
        return 1
    effect = goal.effect / math.sqrt(variances.prompt)
    found = _fewest(lambda prompts: t_power(effect, prompts, goal.alpha, one_sided=goal.one_sided) >= goal.power,
                    2, 10**7)  # fmt: skip
    if found is None:
        raise InputError("plan: more than ten million prompts would be needed; plan for a larger effect")
    return found


def cheapest_designs(variances: Variances, goal: Goal, limits: Limits, costs: Costs) -> list[Design]:
    """Return for every useful number of seeds the design that reaches the goal with the fewest completions.

    In the order of seeds; empty if nothing within the limits does. More seeds than the last design's only cost more.
    Prompts come before samples, because a sample of a new prompt always tells more than one of the same prompt.
    """
    found: list[Design] = []
    first = seeds_for(variances, limits.prompts, limits.samples or MOST_SAMPLES, goal)
    seeds = FEWEST_SEEDS if first is None else first
    while first is not None and seeds <= MOST_SEEDS:
        found.append(_cheapest(variances, seeds, goal, limits))
        cheapest = min(map(costs.of, found))
        least = found[-1].prompts <= min(FEWEST_PROMPTS, limits.prompts) and found[-1].samples == (limits.samples or 1)
        if least or seeds * costs.seed > 2 * cheapest:
            break
        seeds += max(1, seeds // 20)
    return found


def designs_within(budget: float, variances: Variances, goal: Goal, limits: Limits, costs: Costs) -> list[Design]:
    """Return for every number of seeds the most informative design that costs at most `budget` seconds.

    Raises InputError for a budget that is not a number above zero.
    """
    if not (math.isfinite(budget) and budget > 0):
        raise InputError(f"plan: expected a budget above zero, got {budget} seconds; say how long all runs may take")
    found = []
    most = limits.prompts * (limits.samples or MOST_SAMPLES)
    for seeds in range(FEWEST_SEEDS, MOST_SEEDS + 1):
        completions = min(most, (budget / seeds - costs.seed) / costs.completion)
        prompts = min(limits.prompts, int(completions // (limits.samples or 1)))
        if prompts < min(FEWEST_PROMPTS, limits.prompts):
            break
        samples = limits.samples or max(1, min(MOST_SAMPLES, int(completions // prompts)))
        found.append(Design(seeds, prompts, samples))
    return found


def _cheapest(variances: Variances, seeds: int, goal: Goal, limits: Limits) -> Design:
    """The design with the fewest completions for a number of seeds that is known to be enough at the limits."""

    def enough(prompts: int, samples: int) -> bool:
        return predicted_power(variances, Design(seeds, prompts, samples), goal) >= goal.power

    samples = limits.samples or _fewest(lambda count: enough(limits.prompts, count), 1, MOST_SAMPLES) or MOST_SAMPLES
    fewest = min(FEWEST_PROMPTS, limits.prompts)
    prompts = _fewest(lambda count: enough(count, samples), fewest, limits.prompts) or limits.prompts
    return Design(seeds, prompts, samples)


def _fewest(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number in [low, high] that is enough, by doubling and bisection; None if even `high` is not."""
    if enough(low):
        return low
    below, step = low, 1
    while below + step < high and not enough(below + step):
        below, step = below + step, 2 * step
    above = min(below + step, high)
    if above == high and not enough(high):
        return None
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def _seeds_only(variances: Variances, seeds: int, goal: Goal) -> float:
    return t_power(goal.effect / math.sqrt(variances.seed), seeds, goal.alpha, one_sided=goal.one_sided)


def _population_power(prompt: float, residual: float, between: float, design: Design, goal: Goal) -> float:
    """Average the chance to reject over the mean squares; `between` is the variance of a seed's difference."""
    seeds, prompts = design.seeds, design.prompts
    df = (seeds - 1, prompts - 1, (seeds - 1) * (prompts - 1))
    spread = [_chi_square_ratios(each, axis) for axis, each in enumerate(df)]
    # Each term is a contribution to the variance of the mean: MS / (S N).
    seed_term = between / seeds * spread[0]
    prompt_term = (prompt / prompts + residual / (seeds * prompts)) * spread[1]
    residual_term = residual / (seeds * prompts) * spread[2]
    variance, freedom = crossed_variances([seed_term], df[:1], prompt_term, df[1], [residual_term], df[2:])
    tail = goal.alpha if goal.one_sided else goal.alpha / 2
    bound = _t_quantiles(freedom, tail) * np.sqrt(variance)
    deviation = math.sqrt(between / seeds + prompt / prompts)
    found = ndtr((goal.effect - bound) / deviation)
    if not goal.one_sided:
        found = found + ndtr((-goal.effect - bound) / deviation)
    return float(found.mean())


def _t_quantiles(df: FloatArray, tail: float) -> FloatArray:
    """Upper quantiles of t for df [...], interpolated in 1 / df, in which they are almost straight."""
    grid = np.linspace(1.0 / df.max(), 1.0 / df.min(), 200)
    return np.asarray(np.interp(1.0 / df, grid, stdtrit(1.0 / grid, 1.0 - tail)), dtype=np.float64)


@cache
def _uniforms() -> FloatArray:
    """Weyl's sequence [axis, point] in three dimensions, multiples of √2, √3 and √5 modulo 1."""
    points = np.arange(1, _POINTS + 1)
    return np.asarray((0.5 + np.sqrt([2.0, 3.0, 5.0])[:, None] * points) % 1.0)


def _chi_square_ratios(df: int, axis: int) -> FloatArray:
    """χ²_df / df at the points of one axis."""
    if df < _CUBE_FROM:
        return _exact_ratios(df, axis)
    scale = 2.0 / (9.0 * df)
    return np.asarray((1.0 - scale + math.sqrt(scale) * _normals(axis)) ** 3)


@cache
def _exact_ratios(df: int, axis: int) -> FloatArray:
    return np.asarray(chdtri(df, _uniforms()[axis]) / df)


@cache
def _normals(axis: int) -> FloatArray:
    # chdtri takes the upper tail, so that both are the same monotone way round
    return np.asarray(-ndtri(_uniforms()[axis]))
