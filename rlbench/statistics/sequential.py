"""Declared looks at a growing number of seeds: stop early without paying for it in false alarms.

Looking again after every seed and stopping at the first p ≤ .05 is wrong far more often than 1 time in 20. Here the
looks are declared before the first run, at most three, and each may use a part of alpha only: of alpha in all,

    spent by look k = 2 (1 − Φ(z_{1−alpha/2} / √(S_k / S_last)))

(O'Brien-Fleming-type spending, Lan and DeMets, Biometrika 70, 1983): little at first, most at the end. The bounds
are exact for the t statistics themselves. Their joint law under "no difference" is worked out numerically from the
cosine u_k = t_k / √(t_k² + S_k − 1) between the seed differences and a constant vector, which is independent of how
large the differences are (Basu), so that u_1, u_2, … is a Markov chain. Bounds of the normal law, turned into t
quantiles of the same nominal p, would give 5.431, 2.808 and 2.402 at 5, 8 and 10 seeds and false alarms in 5.4 % of
runs instead of 5.0 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaincinv, ndtr, ndtri, stdtr, stdtrit

from rlbench.errors import InputError
from rlbench.statistics.estimate import Estimate, at_confidence

FloatArray = NDArray[np.float64]

MOST_LOOKS = 3
# Cells of |u| and quantiles of the share of squares: bounds are then right to about .001.
_CELLS = 100
_QUANTILES = 100
_EDGE = 1.0 - 1e-15


@dataclass(frozen=True)
class Look:
    """One declared look, at `seeds` seeds: stop with a claim when |t| ≥ `bound`, that is two-sided p ≤ `nominal_p`."""

    seeds: int
    bound: float
    nominal_p: float


@dataclass(frozen=True)
class Decision:
    """What a look allows. `[low, high]` is the interval at the look's own confidence, 1 − nominal p.

    These intervals hold at all looks together with the declared confidence (repeated confidence intervals, Jennison
    and Turnbull 1989), so they may be reported whether the run stops or not.
    """

    look: Look
    significant: bool
    last: bool
    low: float
    high: float

    @property
    def may_stop(self) -> bool:
        """Whether no further seeds are to be trained: there is a claim, or this was the last look."""
        return self.significant or self.last


def looks(seeds: Sequence[int] = (5, 8, 10), alpha: float = 0.05) -> tuple[Look, ...]:
    """Return the looks at these numbers of paired seeds that together claim a difference wrongly with chance `alpha`.

    At 5, 8 and 10 seeds the bounds are 5.431, 2.850 and 2.463.

    Raises:
        InputError: no look, more than three, seeds that do not grow or start below 2, or an alpha outside (0, .5).
    """
    if not 1 <= len(seeds) <= MOST_LOOKS:
        raise InputError(
            f"looks: expected 1 to {MOST_LOOKS} numbers of seeds, got {len(seeds)}; declare looks such as 5, 8, 10"
        )
    if seeds[0] < 2 or any(later <= earlier for earlier, later in itertools.pairwise(seeds)):
        raise InputError(
            f"looks: expected numbers of seeds that grow, from 2 on, got {', '.join(map(str, seeds))}; "
            "declare them in the order of the looks, such as 5, 8, 10"
        )
    if not 0.0 < alpha < 0.5:
        raise InputError(f"looks: expected an alpha between 0 and 0.5, got {alpha}; use for example 0.05")
    return _looks(tuple(int(count) for count in seeds), float(alpha))


def judge_look(estimate: Estimate, declared: Sequence[Look]) -> Decision:
    """Judge an estimate at the declared look that has its number of seeds.

    The estimate's p is held against the look's nominal p; for the recipe estimand with paired seeds that is |t|
    against the bound, and there the chance of a false claim is exactly that declared.

    Raises:
        InputError: no look was declared at this number of seeds, or the estimate tests nothing over seeds.
    """
    if estimate.estimand == "checkpoints" or estimate.p_value is None:
        raise InputError(
            "look: expected a difference with estimand 'recipe' or 'population', got "
            f"{'one arm' if estimate.p_value is None else repr(estimate.estimand)}; looks are spaced by seeds, so "
            "seeds must be what is random"
        )
    at = [look for look in declared if look.seeds == estimate.seeds]
    if not at:
        raise InputError(
            f"look: expected {' or '.join(str(look.seeds) for look in declared)} seeds, as declared, got "
            f"{estimate.seeds}; train the seeds that are missing, and do not decide at a number that nobody declared"
        )
    low, high = at_confidence(estimate, 1.0 - at[0].nominal_p)
    return Decision(
        look=at[0],
        significant=estimate.p_value <= at[0].nominal_p,
        last=estimate.seeds == max(look.seeds for look in declared),
        low=low,
        high=high,
    )


@lru_cache(maxsize=64)
def _looks(seeds: tuple[int, ...], alpha: float) -> tuple[Look, ...]:
    quantile = float(ndtri(1.0 - alpha / 2.0))
    spent = [2.0 * float(ndtr(-quantile / math.sqrt(count / seeds[-1]))) for count in seeds]
    first = -float(stdtrit(seeds[0] - 1, spent[0] / 2.0))
    found = [_look(seeds[0], first)]
    # The runs that have not stopped: their mass in cells of |u|, each taken to sit at the middle of its cell.
    edges = np.linspace(0.0, min(first / math.hypot(first, math.sqrt(seeds[0] - 1)), _EDGE), _CELLS + 1)
    mass = 2.0 * np.diff(stdtr(seeds[0] - 1, _to_t(edges, seeds[0])))
    for index in range(1, len(seeds)):
        transition = _Transition(seeds[index - 1], seeds[index], (edges[1:] + edges[:-1]) / 2.0, mass)
        alive = 1.0 - spent[index]
        bound = float(brentq(lambda u, step=transition, goal=alive: step.below(u) - goal, 1e-9, _EDGE, xtol=1e-12))
        found.append(_look(seeds[index], float(_to_t(bound, seeds[index]))))
        edges = np.linspace(0.0, bound, _CELLS + 1)
        mass = np.diff([transition.below(edge) for edge in edges])
    return tuple(found)


def _look(seeds: int, bound: float) -> Look:
    return Look(seeds, bound, 2.0 * float(stdtr(seeds - 1, -bound)))


def _to_t(u: FloatArray | float, seeds: int) -> FloatArray:
    """Return the t statistic of `seeds` differences whose cosine with a constant vector is u."""
    return np.asarray(u * np.sqrt((seeds - 1) / (1.0 - np.square(u))))


class _Transition:
    """From the cosines at one look to those at the next, of the runs that go on.

    With B the share of the old seeds in all squares, Beta(S/2, n/2), and v the cosine of the n new differences alone,
    u' √(S + n) = u √(S B) + v √(n (1 − B)); u, B and v are independent.
    """

    def __init__(self, seeds: int, later: int, cosines: FloatArray, mass: FloatArray) -> None:
        self._new, self._later, self._mass = later - seeds, later, mass
        share = betaincinv(seeds / 2.0, self._new / 2.0, (np.arange(_QUANTILES) + 0.5) / _QUANTILES)
        self._old_part = cosines[:, None] * np.sqrt(seeds * share)
        self._scale = np.sqrt(self._new * (1.0 - share))

    def below(self, cosine: float) -> float:
        """Return the mass of runs that have not stopped yet and whose next |u| is at most `cosine`."""
        reach = cosine * math.sqrt(self._later)
        between = self._cdf((reach - self._old_part) / self._scale) - self._cdf((-reach - self._old_part) / self._scale)
        return float(self._mass @ between.mean(axis=1))

    def _cdf(self, cosine: FloatArray) -> FloatArray:
        if self._new == 1:  # one difference points up or down
            return 0.5 * ((cosine >= -1.0).astype(np.float64) + (cosine >= 1.0))
        inside = np.clip(cosine, -_EDGE, _EDGE)
        return np.asarray(stdtr(self._new - 1, _to_t(inside, self._new)))
