"""Probes of a clipped policy gradient: what its loss does to hand-made log-probabilities, in float64.

A probe sees only losses and gradients, never a configuration. Tokens are [batch, time]; the gradient of a token is
that of the loss with respect to its log-probability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from rlbench.conformance.axis import Value, rounded
from rlbench.conformance.fixed import MAX_NEW_TOKENS
from rlbench.functional.kl import ESTIMATORS
from rlbench.functional.masking import Aggregation, aggregation_weights

LENGTHS = (2, 10)
OFF = "off"
OTHER = "none of ours"
FAR = 1e4
NOISE = 1e-13
"""Gradients of weights between 0.01 and 1 that are smaller come from rounding."""
AGGREGATIONS: tuple[Aggregation, ...] = ("sequence_mean", "token_mean", "constant")


@dataclass(frozen=True)
class Step:
    """The tensors of one optimizer step: mask bool [B, T], log-probabilities [B, T], advantages [B]."""

    mask: Tensor
    old: Tensor
    reference: Tensor
    advantages: Tensor


class TokenLoss(Protocol):
    """A loss of an optimizer step as a function of the log-probabilities [B, T] of its tokens.

    `parts` is the number of equal micro-batches into which the step is split; the loss is their sum, as accumulated.
    """

    def __call__(self, logprobs: Tensor, step: Step, parts: int = 1) -> Tensor:
        """The loss, a scalar."""
        ...


@dataclass(frozen=True)
class Surrogate:
    """What the probes found about the surrogate."""

    tokens: Value
    ratio: Value
    aggregation: Value
    shares: tuple[float, float]
    """Parts of the loss that sequences of 2 and 10 tokens carry."""
    split: Value
    split_change: float
    clip_low: Value
    clip_high: Value
    dual_clip: Value


@dataclass(frozen=True)
class Penalty:
    """What the probes found about the KL penalty in the loss."""

    beta: Value
    estimator: Value
    placement: Value
    misfit: float
    """Relative residual of values and gradients under that estimator and placement."""


def _step(lengths: tuple[int, ...], advantage: float | Tensor = 1.0) -> Step:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)
    logprobs = torch.full(mask.shape, -1.0, dtype=torch.float64)
    advantages = torch.zeros(len(lengths), dtype=torch.float64) + advantage
    return Step(mask, logprobs, logprobs.clone(), advantages)


def _gradient(loss: TokenLoss, step: Step, parts: int = 1) -> Tensor:
    leaf = torch.full(step.mask.shape, -1.0, dtype=torch.float64, requires_grad=True)
    value = loss(leaf, step, parts)
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    found = torch.autograd.grad(value, leaf, allow_unused=True)[0]
    return torch.zeros_like(leaf) if found is None else found


def _pull(loss: TokenLoss, step: Step, parts: int = 1) -> Tensor:
    """The part of the gradient that the advantages cause; a KL penalty may pull at all times."""
    idle = replace(step, advantages=torch.zeros_like(step.advantages))
    found = _gradient(loss, step, parts) - _gradient(loss, idle, parts)
    return torch.where(found.abs() > NOISE, found, 0.0)


def _value(loss: TokenLoss, step: Step) -> float:
    return float(loss(torch.full(step.mask.shape, -1.0, dtype=torch.float64), step))


def measure_surrogate(loss: TokenLoss, one_action: bool = False) -> Surrogate:
    """Find ratio level, weights, dependence on the micro-batch split, and clips.

    Without a ratio a gradient cannot tell whether the action is a token or, as with `one_action`, the completion.
    """
    step = _step(LENGTHS)
    start = _pull(loss, step)
    ratio = _ratio_level(loss, step, start)
    rows = -start.sum(-1)
    if ratio == "completion" or (one_action and ratio == "none"):  # every token carries the completion's whole weight
        rows = rows / torch.tensor(LENGTHS)
    split = -_pull(loss, step, parts=2).sum(-1)
    whole = -start.sum(-1)
    change = float((split - whole).abs().max() / whole.abs().max().clamp(min=1e-12))
    shares = (rows / rows.sum()).tolist()
    return Surrogate(
        tokens_in_loss(start, step.mask),
        ratio,
        _aggregation(rows, start, ratio, step.mask),
        (shares[0], shares[1]),
        "does not matter" if change < 1e-6 else "changes the result",
        change,
        _clip(loss, ratio, -1.0, 1 / FAR),
        _clip(loss, ratio, 1.0, FAR),
        _dual_clip(loss, ratio),
    )


def tokens_in_loss(gradient: Tensor, mask: Tensor) -> Value:
    """Whether exactly the tokens [B, T] that were marked have a gradient."""
    return "those of the mask" if torch.equal(gradient != 0, mask) else "other tokens"


def _ratio_level(loss: TokenLoss, step: Step, start: Tensor) -> Value:
    """Lower the ratio of one token and see whose gradients follow. Ratios below 1 are not clipped when A is 1."""
    fall = 0.5
    old = step.old.clone()
    old[1, 0] += fall
    moved = _pull(loss, replace(step, old=old))
    counted = step.mask & (start != 0)
    if not torch.equal(counted, step.mask):
        return None
    factors = torch.where(counted, moved / torch.where(counted, start, 1.0), 1.0)
    alone = torch.ones_like(factors)
    alone[1, 0] = math.exp(-fall)
    row = torch.ones_like(factors)
    row[1] = 1.0
    expected = {
        "token": alone,
        "sequence mean": torch.where(torch.tensor([[False], [True]]), math.exp(-fall / LENGTHS[1]), row),
        "completion": torch.where(torch.tensor([[False], [True]]), math.exp(-fall), row),
        "none": row,
    }
    for name, factor in expected.items():
        if torch.allclose(factors, torch.where(counted, factor, 1.0), rtol=1e-6, atol=0):
            return name
    return OTHER


def _aggregation(rows: Tensor, start: Tensor, ratio: Value, mask: Tensor) -> Value:
    """Compare the weights of the sequences with ours; tokens of a sequence must weigh the same."""
    spread = [float(start[row][mask[row]].std()) for row in range(len(LENGTHS))]
    if max(spread) > 1e-9:
        return OTHER
    for name in AGGREGATIONS:
        expected = aggregation_weights(mask, MAX_NEW_TOKENS, name).double().sum(-1)
        if torch.allclose(rows, expected, rtol=1e-5, atol=0):
            return name
    return OTHER


def _clip(loss: TokenLoss, ratio: Value, advantage: float, far: float) -> Value:
    """How far from 1 the ratio may move, in the direction in which the objective rises, before the gradient is gone."""
    edge = _edge(loss, ratio, advantage, far)
    return OFF if edge is None else rounded(abs(edge - 1))


def _dual_clip(loss: TokenLoss, ratio: Value) -> Value:
    """The ratio above which a negative advantage has no gradient."""
    edge = _edge(loss, ratio, -1.0, FAR)
    return OFF if edge is None else rounded(edge)


def _edge(loss: TokenLoss, ratio: Value, advantage: float, far: float) -> float | None:
    """The ratio between 1 and `far` from which on the longer sequence has no gradient, by bisection."""
    tokens = LENGTHS[1] if ratio == "completion" else 1

    def gone(log_ratio: float) -> bool:
        step = _step(LENGTHS, advantage)
        old = step.old.clone()
        old[1] -= log_ratio / tokens
        return not bool(_pull(loss, replace(step, old=old))[1].any())

    near, edge = 0.0, math.log(far)
    if not gone(edge):
        return None
    for _ in range(40):
        middle = (near + edge) / 2
        near, edge = (near, middle) if gone(middle) else (middle, edge)
    return math.exp(edge)


def measure_penalty(loss: TokenLoss) -> Penalty:
    """Find β, estimator and placement of a KL penalty in the loss, from its value and its gradient.

    Completions of one token, advantage 0 and ratio 1: then a sequence's share is β·k(x) with x = log π − log π_ref.
    With the ratio as a factor the value is the same and the gradient is that of ρ·k(x).
    """
    x = torch.tensor([-1.5, -0.5, 0.3, 1.2, 2.0], dtype=torch.float64)
    plain = _step((1,) * len(x))
    weight = -_pull(loss, plain)[:, 0]
    if not bool(weight.all()):
        return Penalty(None, None, None, math.inf)
    quiet = replace(plain, advantages=torch.zeros_like(plain.advantages))
    gradients = _gradient(loss, replace(quiet, reference=quiet.old - x.unsqueeze(-1)))[:, 0] / weight
    rest = _value(loss, quiet)
    values = []
    for place in range(len(x)):
        reference = quiet.old.clone()
        reference[place, 0] -= x[place]
        values.append((_value(loss, replace(quiet, reference=reference)) - rest) / float(weight[place]))
    seen = torch.cat([torch.tensor(values, dtype=torch.float64), gradients])
    if float(seen.abs().max()) < 1e-12:
        return Penalty(0.0, OFF, OFF, 0.0)
    return min((_fit(seen, x, *candidate) for candidate in _candidates()), key=lambda found: found.misfit).checked()


def measure_penalty_ratio(loss: TokenLoss) -> Value:
    """The level of the ratio that multiplies the penalty: the first token's ratio falls, and the next one is looked at.

    Its gradient, that of r·k(x) with advantage 0, follows the ratio r that stands before its own penalty.
    """
    fall, step = 0.5, _step(LENGTHS, 0.0)
    step = replace(step, reference=step.old - 1.0)
    old = step.old.clone()
    old[1, 0] += fall
    before, after = (float(_gradient(loss, each)[1, 1]) for each in (step, replace(step, old=old)))
    if before == 0:
        return None
    expected = {"token": 0.0, "sequence mean": -fall / LENGTHS[1], "completion": -fall}
    for name, change in expected.items():
        if math.isclose(after / before, math.exp(change), rel_tol=1e-6):
            return name
    return OTHER


def _candidates() -> list[tuple[str, str]]:
    return [(estimator, placement) for estimator in ESTIMATORS for placement in ("loss", "loss_times_ratio")]


@dataclass(frozen=True)
class _Fit(Penalty):
    def checked(self) -> Penalty:
        """The fit, if it is one."""
        if self.misfit < 1e-6:
            return Penalty(self.beta, self.estimator, self.placement, self.misfit)
        return Penalty(self.beta, OTHER, OTHER, self.misfit)


def _fit(seen: Tensor, x: Tensor, estimator: str, placement: str) -> _Fit:
    leaf = x.clone().requires_grad_()
    value = ESTIMATORS[estimator](leaf)  # type: ignore[index]
    slope = torch.autograd.grad(value.sum(), leaf)[0]
    value = value.detach()
    model = torch.cat([value, slope + value if placement == "loss_times_ratio" else slope])
    beta = float(seen @ model / (model @ model))
    misfit = float((seen - beta * model).norm() / seen.norm())
    return _Fit(rounded(beta), estimator, placement, misfit)
