"""The check of an algorithm that learns from rollouts: measure both sides, compare, explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from rlbench.conformance.advantage import Baseline, RewardPenalty, measure_baseline, measure_reward_penalty
from rlbench.conformance.axis import Axis, Check, Difference, Value, axis
from rlbench.conformance.difference import difference, largest, outcome
from rlbench.conformance.fixed import Plan, make_plan
from rlbench.conformance.ours import OurRollouts, RolloutTrainer, SequencePenalty
from rlbench.conformance.policy_gradient import (
    AGGREGATIONS,
    OFF,
    Surrogate,
    measure_penalty,
    measure_penalty_ratio,
    measure_surrogate,
)
from rlbench.errors import InputError
from rlbench.functional.kl import KLEstimator

TRY_BETA = 0.04
"""A weight at which the KL penalty is looked at where it is off."""
RATIO_OF = {"token": "grpo", "sequence mean": "gspo", "completion": "rloo"}
"""The algorithm of ours that has a ratio of that level."""


@dataclass(frozen=True)
class Measured:
    """Everything that the probes found out about one side."""

    surrogate: Surrogate
    baseline: Baseline
    beta: Value
    estimator: Value
    placement: Value
    kl_ratio: Value
    """Level of the ratio that multiplies the penalty, if one does."""
    if_on: str
    """Estimator and placement that a penalty would have where it is off."""
    stop_counted: Value
    truncated: Value

    def row(self) -> dict[str, Value]:
        """Values by axis."""
        surrogate, baseline = self.surrogate, self.baseline
        first, second = surrogate.shares
        return {
            "tokens in the loss": surrogate.tokens,
            "ratio": surrogate.ratio,
            "aggregation": surrogate.aggregation,
            "length weights 2 : 10": f"{first:.3f} : {second:.3f}",
            "micro-batch split": surrogate.split,
            "clip_low": surrogate.clip_low,
            "clip_high": surrogate.clip_high,
            "dual_clip": surrogate.dual_clip,
            "beta": self.beta,
            "kl_estimator": self.estimator,
            "kl_placement": self.placement,
            "ratio of the KL": self.kl_ratio,
            "advantage": baseline.kind,
            "advantage_epsilon": baseline.epsilon,
            "stop token": self.stop_counted,
            "truncated": self.truncated,
        }

    def evidence(self) -> dict[str, str]:
        """What was seen, by axis."""
        right, wrong = self.baseline.one_of_eight
        seen = "advantages against x" if self.placement == "reward" else "values and gradients of the loss with A = 0"
        return {
            "tokens in the loss": "where a token has a gradient",
            "ratio": "gradients of tokens after one ratio fell to 0.61",
            "aggregation": "gradients at ratio 1, completions of 2 and 10 tokens",
            "length weights 2 : 10": "shares of the loss",
            "micro-batch split": f"two halves against the whole: {self.surrogate.split_change:.2g}",
            "clip_low": "ratio at which the gradient vanishes, A = -1",
            "clip_high": "ratio at which the gradient vanishes, A = +1",
            "dual_clip": "ratio at which the gradient vanishes, A = -1",
            "beta": seen,
            "kl_estimator": self.if_on or seen,
            "kl_placement": self.if_on or seen,
            "ratio of the KL": "gradient of a token after the ratio of another fell to 0.61",
            "advantage": f"1 of 8 correct: {right:+.3f}, {wrong:+.3f}",
            "advantage_epsilon": "1 of 8 correct, at a thousandth of the size",
            "stop token": "mask of completions that end early",
            "truncated": "mask of completions without a stop token",
        }


def measure(trainer: RolloutTrainer, plan: Plan, one_action: bool = False) -> Measured:
    """Apply every probe to one side; see `measure_surrogate` for `one_action`."""

    def score(rewards: Tensor, x: Tensor | None) -> Tensor:
        reference = plan.old if x is None else plan.old - x
        return trainer.score(plan.with_rewards(rewards, reference)).advantages

    baseline = measure_baseline(score)
    penalty = measure_penalty(trainer.token_loss)
    in_reward = measure_reward_penalty(score, plan.mask, baseline.kind)
    beta, estimator, placement, if_on = penalty.beta, penalty.estimator, penalty.placement, ""
    if in_reward.beta != 0:
        beta, estimator, placement = _in_reward(in_reward, penalty.beta)
    elif beta == 0:
        if_on = _if_on(trainer)
    mask = trainer.score(plan).mask
    return Measured(
        measure_surrogate(trainer.token_loss, one_action),
        baseline,
        beta,
        estimator,
        placement,
        measure_penalty_ratio(trainer.token_loss) if placement == "loss_times_ratio" else "none",
        if_on,
        _stop_counted(mask, plan),
        _truncated(mask, plan),
    )


def _in_reward(found: RewardPenalty, in_loss: Value) -> tuple[Value, Value, Value]:
    if in_loss:
        return None, None, "reward and loss"
    return found.beta, found.estimator, "reward"


def _if_on(trainer: RolloutTrainer) -> str:
    """What the loss would hold with a penalty. A penalty in the reward is measured where it is on only."""
    found = measure_penalty(trainer.with_beta(TRY_BETA).token_loss)
    return f"with beta {TRY_BETA}: {found.estimator}, {found.placement}" if found.beta else ""


def _stop_counted(mask: Tensor, plan: Plan) -> Value:
    """Whether the mask ends with the stop token, as ours does, on completions that have one."""
    rows = ~plan.truncated
    if torch.equal(mask[rows], plan.mask[rows]):
        return "counted"
    shorter = plan.mask[rows].clone()
    shorter[torch.arange(len(shorter)), plan.mask[rows].sum(-1) - 1] = False
    return "not counted" if torch.equal(mask[rows], shorter) else "another mask"


def _truncated(mask: Tensor, plan: Plan) -> Value:
    rows = plan.truncated
    if torch.equal(mask[rows], plan.mask[rows]):
        return "keep"
    return "mask" if not bool(mask[rows].any()) else "another mask"


def check(
    name: str, theirs: RolloutTrainer, options: Mapping[str, Any], ours: Mapping[str, Any], more: list[Axis]
) -> Check:
    """Check `theirs`, built with `options`, against our algorithm `name` with the options `ours`.

    `more` are axes that were measured elsewhere, on the way from text to log-probabilities.
    """
    plan = make_plan(theirs.policy, theirs.temperature)
    native = OurRollouts(name, ours, theirs.policy, theirs.temperature)
    mine, found = (measure(side, plan, one_action=name == "rloo") for side in (native, theirs))
    evidence = found.evidence()
    expected = mine.row()
    axes = [axis(key, expected[key], value, evidence[key]) for key, value in found.row().items()]
    result = outcome(theirs.step_loss(plan), theirs.policy.model)
    against = difference(result, outcome(native.step_loss(plan), theirs.policy.model))
    alike, refused = set_alike(native, found, lambda: theirs.score(plan).advantages)
    explained: Difference | None = None
    if alike is not None:
        explained = difference(result, outcome(alike.step_loss(plan), theirs.policy.model))
    refused += [row.name for row in more if row.verdict == "differs"]
    return Check(name, dict(options), dict(ours), (*axes, *more), against, explained, tuple(refused))


def set_alike(native: OurRollouts, found: Measured, advantages: Any) -> tuple[OurRollouts | None, list[str]]:
    """Our algorithm with its axes set to what was measured, and the names of the axes that cannot be set so.

    Where the options refuse weights or have no such advantage, the loss of the algorithm is taken with the measured
    weights or advantages; where ours has no such ratio, another of our algorithms has it. None: nothing of ours
    computes it.
    """
    surrogate = found.surrogate
    alike, refused = _with_ratio(native, surrogate.ratio)
    if alike is None:
        return None, refused
    if found.kl_ratio == "sequence mean":
        alike = replace(alike, penalty=SequencePenalty(float(str(found.beta)), cast(KLEstimator, found.estimator)))
        found = replace(found, beta=0.0)
        refused.append("ratio of the KL")
    for name, change in _changes(found):
        try:
            candidate = replace(alike, options={**alike.options, **change})
            candidate.algorithm  # noqa: B018 - building it is the test
            alike = candidate
        except InputError:
            refused.append(name)
            if name == "aggregation" and surrogate.aggregation in AGGREGATIONS:
                alike = replace(alike, aggregation=surrogate.aggregation)
            elif name == "advantage":
                alike = replace(alike, advantages=advantages())
            else:
                return None, refused
    others = {
        "clip_low": surrogate.clip_low == OFF,
        "clip_high": surrogate.clip_high == OFF,
        "tokens in the loss": surrogate.tokens != "those of the mask",
        "micro-batch split": surrogate.split != "does not matter",
        "stop token": found.stop_counted != "counted",
    }
    return alike, refused + [name for name, differs in others.items() if differs]


def _with_ratio(native: OurRollouts, ratio: Value) -> tuple[OurRollouts | None, list[str]]:
    """The algorithm of ours whose ratio is of that level, and whether it is another one."""
    if ratio == measured_ratio(native):
        kept = {"ratio": native.algorithm.options.ratio} if native.name == "rloo" else {}
        return replace(native, options=kept), []
    name = RATIO_OF.get(str(ratio))
    if name is None:
        return None, ["ratio"]
    options = {"ratio": "sequence"} if name == "rloo" else {}
    return replace(native, name=name, options=options), [] if name == native.name else ["ratio"]


def _changes(found: Measured) -> list[tuple[str, dict[str, Any]]]:
    """Options by axis. Ours always clip; where nothing was clipped the clip lies out of reach."""
    surrogate, baseline = found.surrogate, found.baseline
    return [
        ("clip_low", {"clip_low": 0.9999 if surrogate.clip_low == OFF else surrogate.clip_low}),
        ("clip_high", {"clip_high": 1e6 if surrogate.clip_high == OFF else surrogate.clip_high}),
        ("dual_clip", {"dual_clip": None if surrogate.dual_clip == OFF else surrogate.dual_clip}),
        ("aggregation", {"aggregation": surrogate.aggregation}),
        ("kl_placement", _penalty_options(found)),
        ("advantage", {"advantage": baseline.kind} | _epsilon_options(baseline)),
        ("truncated", {"truncated": found.truncated}),
    ]


def measured_ratio(native: OurRollouts) -> Value:
    """The ratio level of one of ours."""
    return measure_surrogate(native.token_loss).ratio


def _penalty_options(found: Measured) -> dict[str, Any]:
    if found.beta == 0:
        return {"beta": 0.0}
    return {"beta": found.beta, "kl_estimator": found.estimator, "kl_placement": found.placement}


def _epsilon_options(baseline: Baseline) -> dict[str, Any]:
    return {} if baseline.epsilon == "none" else {"advantage_epsilon": baseline.epsilon}


def logprob_axis(theirs: Tensor, policy: Any, plan: Plan, temperature: float) -> Axis:
    """Judge which temperature divides the logits of `theirs` [B, T], computed at `temperature`."""
    batch = plan.batch()
    found: Value = None
    apart = {}
    with torch.no_grad():
        for name, value in (("sampling", temperature), ("one", 1.0)):
            expected = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, value)
            apart[name] = largest(torch.where(plan.mask, theirs - expected, 0.0))
    found = next((name for name, distance in apart.items() if distance < 1e-4), None)
    return axis(
        "logprob_temperature",
        "sampling",
        found,
        f"log-probabilities at temperature {temperature} apart by {apart['sampling']:.1g}",
    )
