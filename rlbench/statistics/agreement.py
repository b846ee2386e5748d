"""How often a judge agrees with labels, with an interval, and whether it is as sure as it is right.

Labels of one prompt resemble each other, so the number of pairs says less than it seems: Wilson's interval is taken at
the effective number of pairs, the number divided by the design effect (Kish 1965; Dean and Pagano 2015, "Evaluating
confidence interval methods for binomial proportions in clustered surveys").
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

BINS = 10
"""Bins of the predicted probability between 1/2 and 1."""


@dataclass(frozen=True)
class Share:
    """A share of cases with its confidence interval; `effective` is how many independent cases they are worth."""

    value: float
    low: float
    high: float
    count: int
    effective: float


@dataclass(frozen=True)
class Bin:
    """Pairs for which about the same probability was predicted, and how often the prediction came true."""

    predicted: float
    observed: Share


def wilson(share: float, count: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share among `count` independent cases."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, min(share, (middle - half) / scale)), min(1.0, max(share, (middle + half) / scale))


def clustered_share(hits: ArrayLike, clusters: Sequence[Hashable], confidence: float = 0.95) -> Share:
    """The mean of `hits` with Wilson's interval at the effective number of cases.

    Args:
        hits: [cases] between 0 and 1; 1/2 is a tie.
        clusters: what each case belongs to, such as its prompt; clusters are independent of each other.
        confidence: of the interval.

    Returns:
        The share. Where all hits are alike they say nothing about the design effect, and every cluster counts as one
        case.
    """
    values = np.asarray(hits, dtype=np.float64)
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    which = np.array([numbers[cluster] for cluster in clusters])
    count, groups = len(values), len(numbers)
    share = float(values.mean())
    residuals = np.zeros(groups)
    np.add.at(residuals, which, values - share)
    alone = share * (1 - share) / count
    effective = float(groups)
    if groups > 1 and alone > 0:
        variance = float((residuals**2).sum()) * groups / (groups - 1) / count**2
        if variance > 0:
            effective = min(float(count), count * alone / variance)
    low, high = wilson(share, effective, confidence)
    return Share(share, low, high, count, effective)


def calibration(
    differences: ArrayLike, clusters: Sequence[Hashable], bins: int = BINS, confidence: float = 0.95
) -> list[Bin]:
    """How often the completion that a reward model prefers is the preferred one, by how sure the model is.

    Args:
        differences: [pairs] reward of the preferred completion minus that of the other one. The model prefers the
            first where it is positive, with probability σ(|difference|) (Bradley and Terry 1952).
        clusters: the prompt of each pair.
        bins: of equal width between 1/2 and 1; those that hold no pair are left out.
        confidence: of the intervals.
    """
    given = np.asarray(differences, dtype=np.float64)
    predicted = 1 / (1 + np.exp(-np.abs(given)))
    hits = (np.sign(given) + 1) / 2
    places = np.minimum(((predicted - 0.5) * 2 * bins).astype(int), bins - 1)
    found = []
    for place in range(bins):
        rows = np.flatnonzero(places == place).tolist()
        if rows:
            observed = clustered_share(hits[rows], [clusters[row] for row in rows], confidence)
            found.append(Bin(float(predicted[rows].mean()), observed))
    return found
