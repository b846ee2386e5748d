"""Our own algorithms behind the interface through which trainers are probed, so that both are measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import Experience, OnlineAlgorithm, Prediction, Rollouts
from rlbench.conformance.fixed import GROUP_SIZE, MAX_NEW_TOKENS, Plan
from rlbench.conformance.policy_gradient import Step
from rlbench.errors import InputError
from rlbench.functional.kl import ESTIMATORS, KLEstimator
from rlbench.functional.masking import Aggregation, aggregation_weights
from rlbench.functional.ratios import sequence_log_ratio
from rlbench.policies.causal_lm import Policy
from rlbench.registry import load


@dataclass(frozen=True)
class Scored:
    """What a trainer makes of a plan: the tokens that count in the loss, bool [B, T], and the advantages [B]."""

    mask: Tensor
    advantages: Tensor


class RolloutTrainer(Protocol):
    """A trainer that learns from rollouts, as the probes see it."""

    @property
    def policy(self) -> Policy:
        """The policy in training."""
        ...

    @property
    def temperature(self) -> float:
        """Of sampling."""
        ...

    def token_loss(self, logprobs: Tensor, step: Step, parts: int = 1) -> Tensor:
        """See `policy_gradient.TokenLoss`."""
        ...

    def score(self, plan: Plan) -> Scored:
        """Mask and advantages that it derives from the rewards of a plan."""
        ...

    def step_loss(self, plan: Plan) -> Tensor:
        """The loss of one optimizer step on the plan, from rewards to the policy's own log-probabilities."""
        ...

    def with_beta(self, beta: float) -> RolloutTrainer:
        """The same with a KL penalty of this weight, on a copy of the policy."""
        ...


@dataclass(frozen=True)
class SequencePenalty:
    """β·s·k(x) with the ratio s of the whole sequence, the geometric mean of its tokens' ratios."""

    beta: float
    estimator: KLEstimator

    def loss(self, logprobs: Tensor, step: Step, weights: Tensor) -> Tensor:
        """Its share of the loss, a scalar."""
        log_ratio = sequence_log_ratio(torch.where(step.mask, logprobs - step.old, 0.0), step.mask)
        distance = ESTIMATORS[self.estimator](torch.where(step.mask, logprobs - step.reference, 0.0))
        return self.beta * (log_ratio.exp() * distance * weights * step.mask).sum()


@dataclass(frozen=True)
class OurRollouts:
    """One of our algorithms on a policy.

    `aggregation` replaces the algorithm's own weights where its options refuse them, `advantages` its own advantages
    [B] where it has no such definition, and `penalty` adds one whose ratio is of a level that it does not have.
    """

    name: str
    options: Mapping[str, Any]
    policy: Policy
    temperature: float = 1.0
    aggregation: Aggregation | None = None
    advantages: Tensor | None = None
    penalty: SequencePenalty | None = None

    @property
    def algorithm(self) -> OnlineAlgorithm:
        """The algorithm with these options.

        Raises:
            InputError: it refuses them.
        """
        found = load("algorithms", self.name)(**self.options)
        if not isinstance(found, OnlineAlgorithm):
            raise InputError(f"algorithm {self.name!r} does not learn from rollouts; expected one that does")
        return found

    def token_loss(self, logprobs: Tensor, step: Step, parts: int = 1) -> Tensor:
        """The sum of the losses of `parts` slices, as our loop accumulates them."""
        algorithm = self.algorithm
        if self.aggregation is None:
            weights = algorithm.weights(step.mask, MAX_NEW_TOKENS)
        else:
            weights = aggregation_weights(step.mask, MAX_NEW_TOKENS, self.aggregation)
        total = torch.zeros((), dtype=logprobs.dtype)
        for rows in torch.arange(len(step.mask)).chunk(parts):
            experience = Experience(
                step.mask[rows],
                weights[rows].to(logprobs.dtype),
                step.old[rows],
                step.reference[rows],
                step.advantages[rows].unsqueeze(-1) * step.mask[rows],
                total_weight=float(weights.sum()),
            )
            total = total + algorithm.loss(Prediction(logprobs[rows]), experience)[0]
        if self.penalty is not None:
            total = total + self.penalty.loss(logprobs, step, weights.to(logprobs.dtype))
        return total

    def score(self, plan: Plan) -> Scored:
        """Targets of our algorithm; advantages are the same for all tokens of a completion."""
        rollouts = Rollouts(
            plan.mask, plan.old, plan.reference, plan.rewards, plan.truncated, GROUP_SIZE, MAX_NEW_TOKENS
        )
        targets = self.algorithm.targets(rollouts)
        advantages = targets.advantages[:, 0] if self.advantages is None else self.advantages
        return Scored(targets.mask, advantages)

    def step_loss(self, plan: Plan) -> Tensor:
        """The loss on the log-probabilities of the policy."""
        scored = self.score(plan)
        batch = plan.batch()
        logprobs = self.policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, self.temperature)
        return self.token_loss(logprobs, Step(scored.mask, plan.old, plan.reference, scored.advantages))

    def with_beta(self, beta: float) -> OurRollouts:
        """The same with another β."""
        return OurRollouts(self.name, {**self.options, "beta": beta}, self.policy, self.temperature)
