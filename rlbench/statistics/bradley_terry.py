"""Bradley-Terry strengths of arms from paired preferences, with standard errors clustered by prompt and seed.

Bradley and Terry (Biometrika 39, 1952): arm a is preferred to arm b with odds exp(θ_a − θ_b); a tie is half a win for
both. The standard errors are sandwich estimates: comparisons that share a prompt or a seed are not independent, and
nothing is assumed about how they depend on each other (Cameron, Gelbach and Miller, JBES 29, 2011).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, stdtr, stdtrit

from rlbench.errors import InputError
from rlbench.statistics.axes import prompt_means
from rlbench.statistics.estimate import check_confidence
from rlbench.statistics.multiplicity import holm
from rlbench.statistics.power import smallest_sign_flip_p
from rlbench.statistics.ranking import PairTest

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A sandwich standard error below this share of the model's own says that nothing varied between the clusters.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Preferences:
    """Paired comparisons of arms, one per row: [comparison].

    `a` and `b` are indices into `arms`; `outcome` is 1 where a was preferred, 0 where b was, ½ for a tie. `prompt`
    and `seed` say what a comparison shares with others, as integer labels; None where that is not known.
    """

    arms: tuple[str, ...]
    a: IntArray
    b: IntArray
    outcome: FloatArray
    prompt: IntArray | None = None
    seed: IntArray | None = None

    def __post_init__(self) -> None:
        columns = [self.a, self.b, self.outcome, *(each for each in (self.prompt, self.seed) if each is not None)]
        if any(column.ndim != 1 or column.shape != self.a.shape for column in columns) or not self.a.size:
            raise InputError(
                "preferences: expected columns of one length with at least one comparison, got shapes "
                f"{', '.join(str(list(column.shape)) for column in columns)}; give every comparison all its columns"
            )
        inside = ((each >= 0) & (each < len(self.arms)) for each in (self.a, self.b))
        if not all(each.all() for each in inside) or (self.a == self.b).any():
            raise InputError(
                f"preferences: expected two different arms from 0 to {len(self.arms) - 1} in every comparison; "
                "check the indices a and b"
            )
        if not np.isin(self.outcome, (0.0, 0.5, 1.0)).all():
            raise InputError(
                "preferences: expected outcomes 1 (a preferred), 0.5 (tie) or 0 (b preferred), got "
                f"{self.outcome[~np.isin(self.outcome, (0.0, 0.5, 1.0))][0]}; leave out comparisons without an outcome"
            )


@dataclass(frozen=True)
class BradleyTerry:
    """Fitted strengths. `log_strengths` [arm] are log-odds with mean 0, `covariance` is theirs, [arm, arm].

    Quantiles are those of t with `df` degrees of freedom, the scarcer clusters' number less one. `clusters` is that
    number and `method` says what the clusters are. `model_covariance` is what independent comparisons would have.
    """

    arms: tuple[str, ...]
    log_strengths: FloatArray
    covariance: FloatArray
    model_covariance: FloatArray
    df: int
    clusters: int
    method: str

    @property
    def strengths(self) -> FloatArray:
        """Strengths [arm] with geometric mean 1."""
        return np.exp(self.log_strengths)

    def intervals(self, confidence: float = 0.95) -> FloatArray:
        """Return [arm, (low, high)] of the log-strengths, each for itself; compare arms by `tests` instead."""
        check_confidence(confidence)
        half = stdtrit(self.df, 0.5 + confidence / 2.0) * np.sqrt(np.diag(self.covariance).clip(min=0.0))
        return np.stack([self.log_strengths - half, self.log_strengths + half], axis=1)

    def tests(self) -> list[PairTest]:
        """Test every pair of arms for equal strength; p-values are adjusted by Holm.

        Where the pair's balance is the same in every cluster nothing varied; p is then the smallest that flipping
        the signs of the clusters could give, as everywhere in this package.
        """
        pairs = list(itertools.combinations(range(len(self.arms)), 2))
        adjusted = holm([self._p_value(a, b) for a, b in pairs])
        return [
            PairTest(self.arms[a], self.arms[b], float(self.log_strengths[a] - self.log_strengths[b]), float(p))
            for (a, b), p in zip(pairs, adjusted, strict=True)
        ]

    def _p_value(self, a: int, b: int) -> float:
        difference = float(self.log_strengths[a] - self.log_strengths[b])
        error, by_model = (
            math.sqrt(max(0.0, each[a, a] + each[b, b] - 2.0 * each[a, b]))
            for each in (self.covariance, self.model_covariance)
        )
        if error <= _CONSTANT * by_model:
            return 1.0 if abs(difference) <= _CONSTANT * by_model else smallest_sign_flip_p(self.clusters)
        return float(2.0 * stdtr(self.df, -abs(difference) / error))


def preferences_from_scores(scores: Mapping[str, ArrayLike]) -> Preferences:
    """Turn every arm's scores [seed, prompt] or [seed, prompt, sample], higher is better, into comparisons.

    Each pair of arms is compared once for every seed and prompt, on the mean over samples; equal means are ties.

    Raises:
        InputError: fewer than two arms, other axes, scores that are not finite, or arms whose seeds or prompts differ.
    """
    means = {arm: prompt_means(each, arm) for arm, each in scores.items()}
    if len(means) < 2:
        raise InputError(f"preferences: expected scores of at least 2 arms, got {len(means)}; add an arm")
    shapes = {arm: each.shape for arm, each in means.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{arm} {seeds} × {prompts}" for arm, (seeds, prompts) in shapes.items())
        raise InputError(
            f"preferences: expected the same seeds and prompts in every arm, got seeds × prompts {told}; "
            "compare on those that all arms have, in the same order"
        )
    seeds, prompts = next(iter(shapes.values()))
    values = list(means.values())
    pairs = list(itertools.combinations(range(len(values)), 2))
    cells = seeds * prompts
    return Preferences(
        arms=tuple(means),
        a=np.repeat([a for a, _ in pairs], cells),
        b=np.repeat([b for _, b in pairs], cells),
        outcome=np.concatenate([0.5 + 0.5 * np.sign(values[a] - values[b]).ravel() for a, b in pairs]),
        prompt=np.tile(np.arange(prompts), seeds * len(pairs)),
        seed=np.tile(np.repeat(np.arange(seeds), prompts), len(pairs)),
    )


def bradley_terry(preferences: Preferences) -> BradleyTerry:
    """Fit Bradley-Terry strengths by maximum likelihood with clustered sandwich standard errors.

    Clusters are seeds, prompts, or both where both are known; without either, each comparison for itself. Each
    cluster variance carries G / (G − 1). With both, the variance is that of the scarcer clusters plus the positive
    semi-definite part of what the other adds, V_other − V_(prompt × seed): V_prompt + V_seed − V_(prompt × seed)
    wherever that is a covariance, and never less than the scarcer clusters alone. The t quantile is that of the
    scarcer clusters, so the tests keep their level where those vary and are cautious where mostly the others do.

    Raises:
        InputError: an arm is never compared, groups of arms are not compared with each other, some arms win or lose
            every comparison with the rest (their strength has no finite estimate), or there are fewer than 2 clusters.
    """
    arms, a, b = len(preferences.arms), preferences.a, preferences.b
    wins = np.zeros((arms, arms))
    np.add.at(wins, (a, b), preferences.outcome)
    np.add.at(wins, (b, a), 1.0 - preferences.outcome)
    _check_connected(preferences.arms, wins)
    theta = _maximum_likelihood(wins)
    bread = np.asarray(np.linalg.pinv(_information(theta, wins), hermitian=True), dtype=np.float64)

    residual = preferences.outcome - expit(theta[a] - theta[b])

    def meat(labels: IntArray) -> FloatArray:
        """Return Σ over clusters of score · scoreᵀ, times G / (G − 1)."""
        found, index = np.unique(labels, return_inverse=True)
        size = found.size * arms
        scores = np.bincount(index * arms + a, residual, size) - np.bincount(index * arms + b, residual, size)
        by_cluster = scores.reshape(found.size, arms)
        return np.asarray(by_cluster.T @ by_cluster) * found.size / (found.size - 1)

    named = {"prompts": preferences.prompt, "seeds": preferences.seed}
    given = {name: labels for name, labels in named.items() if labels is not None}
    codes = given or {"comparisons": np.arange(a.size)}
    known = {name: np.unique(labels, return_inverse=True)[1] for name, labels in codes.items()}
    counts = {name: int(labels.max()) + 1 for name, labels in known.items()}
    scarcer = min(counts, key=lambda name: counts[name])
    if counts[scarcer] < 2:
        raise InputError(
            f"Bradley-Terry: expected at least 2 {scarcer}, got {counts[scarcer]}; add {scarcer}, or leave their "
            "column out for a claim about these alone"
        )
    covariance = bread @ meat(known[scarcer]) @ bread
    for other in known.keys() - {scarcer}:
        cells = known[other] * counts[scarcer] + known[scarcer]
        covariance = covariance + _positive_part(bread @ (meat(known[other]) - meat(cells)) @ bread)
    return BradleyTerry(
        arms=preferences.arms,
        log_strengths=theta,
        covariance=covariance,
        model_covariance=bread,
        df=counts[scarcer] - 1,
        clusters=counts[scarcer],
        method="Bradley-Terry, clustered by " + " and ".join(f"{count} {name}" for name, count in counts.items()),
    )


def _information(theta: FloatArray, wins: FloatArray) -> FloatArray:
    """Return the Fisher information of the log-strengths, a graph Laplacian [arm, arm]."""
    chance = expit(theta[:, None] - theta[None, :])
    weights = (wins + wins.T) * chance * (1.0 - chance)
    return np.asarray(np.diag(weights.sum(axis=1)) - weights)


def _maximum_likelihood(wins: FloatArray) -> FloatArray:
    """Return the log-strengths with mean 0 for wins [winner, loser] that are strongly connected."""
    total, arms = float(wins.sum()), len(wins)

    def loss(theta: FloatArray) -> float:
        differences = theta[:, None] - theta[None, :]
        return float((wins * np.logaddexp(0.0, -differences)).sum() / total + 0.5 * theta.mean() ** 2)

    def gradient(theta: FloatArray) -> FloatArray:
        lost = wins * expit(theta[None, :] - theta[:, None])
        return np.asarray((lost.sum(axis=0) - lost.sum(axis=1)) / total + theta.mean() / arms)

    def hessian(theta: FloatArray) -> FloatArray:
        return _information(theta, wins) / total + 1.0 / arms**2

    found = minimize(loss, np.zeros(arms), jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-9})
    theta = np.asarray(found.x)
    # One Newton step from there is exact to rounding.
    theta = theta - np.linalg.solve(hessian(theta), gradient(theta))
    return np.asarray(theta - theta.mean())


def _positive_part(matrix: FloatArray) -> FloatArray:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vectors * values.clip(min=0.0)) @ vectors.T)


def _check_connected(arms: tuple[str, ...], wins: FloatArray) -> None:
    """Raise InputError unless every arm has beaten (or tied) every other through a chain (Ford 1957)."""
    graph = coo_array(wins)
    for strong in ("weak", "strong"):
        count, group = connected_components(graph, directed=True, connection=strong)
        if count == 1:
            continue
        groups = [[arm for arm, of in zip(arms, group, strict=True) if of == number] for number in range(count)]
        told = " | ".join(", ".join(members) for members in groups)
        if strong == "weak":
            raise InputError(
                f"Bradley-Terry: expected arms that are all compared, directly or through others, got separate groups "
                f"{told}; add comparisons between them, or rank each group alone"
            )
        raise InputError(
            f"Bradley-Terry: expected wins in both directions, got groups {told} of which one never wins or ties "
            "against another; strengths are then unbounded: compare on more prompts, or rank by the metric's "
            "differences, which have rank intervals too"
        )
