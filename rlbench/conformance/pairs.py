"""Probes of losses on pairs: DPO and its variants, and the loss of a reward model.

A pair's loss is looked at as a function of two numbers, what the preferred and what the other completion got.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlbench.conformance.axis import Value, rounded
from rlbench.conformance.policy_gradient import OTHER
from rlbench.functional.losses import bradley_terry, dpo, ipo

FAR = 1e3
"""A margin at which only the wrong side of a smoothed loss is left."""
POINTS = (-3.0, -0.7, 0.4, 2.5)
LENGTHS = (3, 5)

PairLoss = Callable[[Tensor, Tensor], Tensor]
"""The loss [] of pairs from numbers [pairs] of the preferred and of the other completion, in float64."""


@dataclass(frozen=True)
class Shape:
    """What kind of function of the margin the loss is."""

    loss: Value
    beta: Value
    label_smoothing: Value
    misfit: float


def _at(loss: PairLoss, chosen: float, rejected: float) -> tuple[float, float]:
    """Value and slope in `chosen` for one pair."""
    leaf = torch.tensor([chosen], dtype=torch.float64, requires_grad=True)
    value = loss(leaf, torch.tensor([rejected], dtype=torch.float64))
    slope = torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros(1)
    return float(value.detach()), float(slope)


def measure_shape(loss: PairLoss) -> Shape:
    """Tell −log σ from a squared error, and find β and label smoothing.

    The logistic loss is log 2 at margin 0 with the slope −β(1 − 2ε)/2, and far to the right it grows as εβ h. The
    squared one is 1/(4β²) at 0. Either must then hold at other margins, wherever the two completions lie.
    """
    start, slope = _at(loss, 0.0, 0.0)
    grown = _at(loss, FAR, 0.0)[0] / FAR
    if not all(map(math.isfinite, (start, slope, grown))):
        return Shape(OTHER, None, None, math.inf)
    if abs(start - math.log(2)) < 1e-6:
        beta = -2 * slope + 2 * grown
        smoothing = grown / beta if beta else 0.0
        smoothing = 0.0 if smoothing < 1e-9 else smoothing
        candidate = Shape("sigmoid", rounded(beta), rounded(smoothing), 0.0)
    elif start > 0:
        candidate = Shape("ipo", rounded(1 / (2 * math.sqrt(start))), 0.0, 0.0)
    else:
        return Shape(OTHER, None, None, math.inf)
    misfit = _misfit(loss, candidate)
    if misfit > 1e-5:
        return Shape(OTHER, None, None, misfit)
    return Shape(candidate.loss, candidate.beta, candidate.label_smoothing, misfit)


def _misfit(loss: PairLoss, shape: Shape) -> float:
    beta, smoothing = float(shape.beta or 0.0), float(shape.label_smoothing or 0.0)

    def ours(chosen: Tensor, rejected: Tensor) -> Tensor:
        kind = ipo(chosen, rejected, beta) if shape.loss == "ipo" else dpo(chosen, rejected, beta, smoothing)
        return kind.sum()

    worst = 0.0
    for margin in POINTS:
        for place in (0.0, 1.3):
            seen, expected = _at(loss, margin + place, place), _at(ours, margin + place, place)
            apart = [abs(a - b) / max(abs(b), 1e-3) for a, b in zip(seen, expected, strict=True)]
            if not all(map(math.isfinite, apart)):
                return math.inf
            worst = max(worst, *apart)
    return worst


def measure_length(gradient: Tensor, mask: Tensor) -> Value:
    """Whether completions of different lengths count by the sum or by the mean of their tokens.

    `gradient` [2, T] is that of the loss of one pair with margin 0, in the tokens' log-probabilities.
    """
    first, second = (gradient[row][mask[row]].abs() for row in range(2))
    if max(float(first.std()), float(second.std())) > 1e-9 or not float(second[0]):
        return OTHER
    ratio = float(first[0] / second[0])
    if abs(ratio - 1) < 1e-6:
        return "sum"
    return "mean" if abs(ratio - LENGTHS[1] / LENGTHS[0]) < 1e-6 else OTHER


@dataclass(frozen=True)
class Ranking:
    """What the probes found about the loss of a reward model."""

    loss: Value
    scale: Value
    centring: Value
    margin: Value
    misfit: float


def measure_ranking(loss: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> Ranking:
    """Find the loss of rewards [pairs] of both completions, given a margin [pairs] or none.

    Centring shows when both rewards rise together: the difference stays, (r_w + r_l)² does not.
    """

    def plain(chosen: Tensor, rejected: Tensor) -> Tensor:
        return loss(chosen, rejected, None)

    centring = (_at(plain, 1.0, 1.0)[0] - _at(plain, 0.0, 0.0)[0]) / 4
    centring = 0.0 if abs(centring) < 1e-9 else rounded(centring)

    def without(chosen: Tensor, rejected: Tensor) -> Tensor:
        return plain(chosen, rejected) - centring * ((chosen + rejected) ** 2).sum()

    shape = measure_shape(without)
    name = "Bradley-Terry" if shape.loss == "sigmoid" and not shape.label_smoothing else OTHER
    return Ranking(name, shape.beta, centring, _margin(loss, centring), shape.misfit)


def _margin(loss: Callable[[Tensor, Tensor, Tensor | None], Tensor], centring: float) -> Value:
    """What a margin given with the pair does."""
    chosen, rejected, margin = (torch.tensor([value], dtype=torch.float64) for value in (0.9, 0.2, 0.5))
    seen = float(loss(chosen, rejected, margin))
    if math.isclose(seen, float(bradley_terry(chosen, rejected, margin, centring)), rel_tol=1e-6):
        return "subtracted"
    return "ignored" if math.isclose(seen, float(loss(chosen, rejected, None)), rel_tol=1e-9) else OTHER


def split_change(gradient: Callable[[int], Tensor]) -> float:
    """How much the gradient of a step changes when it is computed in two halves, relative to the largest part."""
    whole, halves = gradient(1), gradient(2)
    return float((whole - halves).abs().max() / whole.abs().max().clamp(min=1e-12))
