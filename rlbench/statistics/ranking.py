"""Ranks that say how little they know: rank intervals and tie classes from simultaneous pairwise tests.

The tests may be of differences of a metric or of Bradley-Terry strengths. Rank intervals: Mogstad, Romano, Shaikh and
Wilhelm (Review of Economic Studies 91, 2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rlbench.errors import InputError


@dataclass(frozen=True)
class PairTest:
    """One test between two arms: `difference` is a − b, higher is better; `p_adjusted` holds for all pairs at once."""

    a: str
    b: str
    difference: float
    p_adjusted: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.difference) or not 0.0 <= self.p_adjusted <= 1.0:
            raise InputError(
                f"ranks: expected a finite difference with a p-value in [0, 1], got {self.difference} with p "
                f"{self.p_adjusted} for {self.a} and {self.b}; leave out pairs that could not be tested"
            )


def rank_intervals(arms: Sequence[str], tests: Iterable[PairTest], alpha: float = 0.05) -> dict[str, tuple[int, int]]:
    """Return every arm's best and worst rank that the tests leave open: (1 + arms shown better, K − arms shown worse).

    All the intervals together hold every true rank with confidence 1 − alpha, because the tests' p-values are
    adjusted. A pair without a test separates nothing.

    Raises:
        InputError: a test names an unknown arm, or a pair is tested twice.
    """
    beats = _significant(arms, tests, alpha)
    return {
        arm: (
            1 + sum((other, arm) in beats for other in arms),
            len(arms) - sum((arm, other) in beats for other in arms),
        )
        for arm in arms
    }


def tie_classes(values: Mapping[str, float], tests: Iterable[PairTest], alpha: float = 0.05) -> list[list[str]]:
    """Return classes of arms, best first; `values` are higher-is-better and make the order.

    The leader of a class is the best arm that is left. Its class holds every arm left that is not shown to be worse
    than the leader itself: ties do not chain from neighbour to neighbour, so that everybody in a class can be told
    why. Members of one class may well differ from each other.

    Raises:
        InputError: a test names an unknown arm, a pair is tested twice, or a value is not finite.
    """
    lacking = [arm for arm, value in values.items() if not math.isfinite(value)]
    if lacking:
        raise InputError(f"tie classes: expected a finite value for every arm, got none for {', '.join(lacking)}; "
                         "leave such arms out and say so")  # fmt: skip
    beats = _significant(list(values), tests, alpha)
    left = sorted(values, key=lambda arm: -values[arm])
    classes = []
    while left:
        members = [arm for arm in left if (left[0], arm) not in beats]
        classes.append(members)
        left = [arm for arm in left if arm not in members]
    return classes


def _significant(arms: Sequence[str], tests: Iterable[PairTest], alpha: float) -> set[tuple[str, str]]:
    """Return the pairs (better, worse) that the tests show."""
    seen: set[frozenset[str]] = set()
    beats = set()
    for test in tests:
        if test.a not in arms or test.b not in arms or test.a == test.b:
            raise InputError(
                f"ranks: expected tests between {', '.join(arms)}, got {test.a} against {test.b}; rank the arms that "
                "were tested"
            )
        if frozenset((test.a, test.b)) in seen:
            raise InputError(
                f"ranks: expected one test per pair, got another for {test.a} and {test.b}; rank one metric of one "
                "task at a time"
            )
        seen.add(frozenset((test.a, test.b)))
        if test.p_adjusted <= alpha and test.difference != 0:
            beats.add((test.a, test.b) if test.difference > 0 else (test.b, test.a))
    return beats
