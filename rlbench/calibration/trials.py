"""One simulated experiment after the other, and how often what happens."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rlbench.calibration.methods import ALPHA, Method
from rlbench.calibration.worlds import Continuous, Experiments, World
from rlbench.statistics import Estimand, paired_difference, verdict
from rlbench.statistics.informative import FEW_PROMPTS, prompts_that_differ
from rlbench.statistics.multiplicity import family
from rlbench.statistics.sequential import judge_look, looks

BLOCK = 500
"""Experiments that share what an estimand keeps, so that 10,000 runs see 20 benchmarks (or sets of checkpoints)."""

PASSING = ("non-inferior", "equivalent", "improved", "worse within margin")


class Trial(Protocol):
    """Something that is tried `runs` times."""

    def count(self, generator: np.random.Generator, runs: int) -> Counter[str]:
        """Return how many of `runs` experiments each event happened in."""
        ...


@dataclass(frozen=True)
class Intervals:
    """Events: `missed`, the truth is outside of the interval; `rejected`, the test finds a difference.

    With `count_prompts` also `enough`, the arms differ on `FEW_PROMPTS` prompts or more, and `enough and missed`.
    """

    world: World
    estimand: Estimand
    method: Method
    count_prompts: bool = False

    def count(self, generator: np.random.Generator, runs: int) -> Counter[str]:
        """Judge `runs` experiments."""
        found: Counter[str] = Counter()
        for drawn in _blocks(self.world, generator, runs, self.estimand):
            for a, b in zip(drawn.a, drawn.b, strict=True):
                answer = self.method(a, b)
                missed = not answer.low <= drawn.truth <= answer.high
                found["missed"] += missed
                found["rejected"] += answer.rejects
                if self.count_prompts:
                    enough = prompts_that_differ(a[..., None], b[..., None]) >= FEW_PROMPTS
                    found["enough"] += enough
                    found["enough and missed"] += enough and missed
        return found


@dataclass(frozen=True)
class Verdicts:
    """Events: the verdicts on new − old (`paired_difference`, then `verdict`) under a margin.

    `passes` counts the verdicts that say that no more than the margin was lost.
    """

    world: Continuous
    estimand: Estimand
    margin: float

    def count(self, generator: np.random.Generator, runs: int) -> Counter[str]:
        """Judge `runs` experiments."""
        found = Counter[str](
            verdict(paired_difference(a, b, estimand=self.estimand), self.margin)
            for drawn in _blocks(self.world, generator, runs, self.estimand)
            for a, b in zip(drawn.a, drawn.b, strict=True)
        )
        found["passes"] = sum(found[each] for each in PASSING)
        return found


@dataclass(frozen=True)
class Families:
    """Several arms, all pairs, one claim at a time wrong: events of the whole family.

    `false claim`: Holm's test finds a difference between arms that are equal. `missed`: one of the simultaneous
    intervals misses its truth. All arms are equal, but the first is better by `ahead`.
    """

    arms: int
    seeds: int
    prompts: int
    estimand: Estimand
    ahead: float = 0.0
    seed_sd: float = 0.1

    def count(self, generator: np.random.Generator, runs: int) -> Counter[str]:
        """Judge `runs` families of estimates."""
        found: Counter[str] = Counter()
        truth = np.zeros(self.arms)
        truth[0] = self.ahead
        pairs = list(itertools.combinations(range(self.arms), 2))
        for _ in range(runs):
            effects = generator.normal(size=(self.arms, 1, self.prompts))
            if self.estimand == "recipe":
                effects -= effects.mean(axis=2, keepdims=True)
            seeds = self.seed_sd * generator.normal(size=(self.arms, self.seeds, 1))
            noise = generator.normal(size=(self.arms, self.seeds, self.prompts))
            scores = truth[:, None, None] + effects + seeds + noise
            judged = family([paired_difference(scores[a], scores[b], estimand=self.estimand) for a, b in pairs])
            true = [truth[a] - truth[b] for a, b in pairs]
            found["false claim"] += any(
                each.p_adjusted <= ALPHA and gap == 0 for each, gap in zip(judged, true, strict=True)
            )
            found["missed"] += any(not each.low <= gap <= each.high for each, gap in zip(judged, true, strict=True))
        return found


@dataclass(frozen=True)
class Looks:
    """Declared looks at a growing number of seeds: `claimed` at any of them, and where each run stopped."""

    world: Continuous
    estimand: Estimand
    seeds: tuple[int, ...]

    def count(self, generator: np.random.Generator, runs: int) -> Counter[str]:
        """Judge `runs` experiments, each until it may stop."""
        declared, found = looks(self.seeds), Counter[str]()
        for drawn in _blocks(self.world, generator, runs, self.estimand):
            for a, b in zip(drawn.a, drawn.b, strict=True):
                for look in declared:
                    estimate = paired_difference(a[: look.seeds], b[: look.seeds], estimand=self.estimand)
                    decision = judge_look(estimate, declared)
                    if decision.may_stop:
                        found["claimed"] += decision.significant
                        found[f"stopped at {look.seeds}"] += 1
                        break
        return found


def _blocks(world: World, generator: np.random.Generator, runs: int, estimand: Estimand) -> Iterator[Experiments]:
    for start in range(0, runs, BLOCK):
        yield world.draw(generator, min(BLOCK, runs - start), estimand)
