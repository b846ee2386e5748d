"""TRL's GRPO and RLOO trainers as functions: their own loss, advantages and log-probabilities on fixed tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from rlbench.conformance.axis import Axis, Check, axis
from rlbench.conformance.difference import largest
from rlbench.conformance.fixed import GROUP_SIZE, MAX_NEW_TOKENS, PROMPTS, Plan, make_plan
from rlbench.conformance.online import check, logprob_axis
from rlbench.conformance.ours import Scored
from rlbench.conformance.policy_gradient import Step
from rlbench.conformance.trl_library import (
    build_config,
    build_trainer,
    library,
    policy_folder,
    quiet,
    scale_of,
    silenced,
    substituted,
)
from rlbench.policies.causal_lm import Policy, load_policy

GSPO_SETTING = {"importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}
"""What TRL documents as GSPO, with its default aggregation and no KL term."""
OTHER_TEMPERATURE = 0.7
ROWS = len(PROMPTS) * GROUP_SIZE


class TRLRollouts:
    """A GRPO or RLOO trainer of TRL on the tiny policy.

    Only what depends on chance is replaced while a probe runs: what `generate` returns, and, where a probe needs
    exact gradients or given old log-probabilities, what the model says about tokens. The rest is TRL's code.
    """

    def __init__(self, kind: str, options: Mapping[str, Any], dropout: bool = False) -> None:
        from datasets import Dataset

        trl = library()
        self.kind, self.options = kind, dict(options)
        config = build_config(
            getattr(trl, f"{kind}Config"),
            options,
            per_device_train_batch_size=ROWS,
            num_generations=GROUP_SIZE,
            max_completion_length=MAX_NEW_TOKENS,
            gradient_accumulation_steps=1,
        )
        self._policy = load_policy(policy_folder(dropout), torch.device("cpu"))
        self.rewards: list[float] = []
        self.trainer = build_trainer(
            getattr(trl, f"{kind}Trainer"),
            options,
            model=self._policy.model,
            reward_funcs=lambda completions, **_: self.rewards,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": [*PROMPTS]}),
            processing_class=self._policy.tokenizer,
        )

    @property
    def policy(self) -> Policy:
        """The policy in training."""
        return self._policy

    @property
    def temperature(self) -> float:
        """Of sampling, an input and no result of the check."""
        return float(self.trainer.temperature)

    def with_beta(self, beta: float) -> TRLRollouts:
        """The same with another weight of the KL penalty."""
        with quiet():
            return TRLRollouts(self.kind, self.options | {"beta": beta})

    @silenced
    def token_loss(self, logprobs: Tensor, step: Step, parts: int = 1) -> Tensor:
        """TRL's loss where the policy says `logprobs`; micro-batches are added up as its training loop does."""
        total = torch.zeros((), dtype=logprobs.dtype)
        for rows in torch.arange(len(step.mask)).chunk(parts):
            inputs = self._inputs(step, rows)

            def said(*_: Any, rows: Tensor = rows, **__: Any) -> tuple[Tensor, Tensor, None]:
                return logprobs[rows], torch.zeros_like(logprobs[rows]), None

            total = total + self._compute_loss(inputs, parts, said)
        return total

    def _inputs(self, step: Step, rows: Tensor) -> dict[str, Tensor]:
        mask = step.mask[rows].long()
        prompt = torch.full((len(rows), 1), self.policy.stop_token_id)
        return {
            "prompt_ids": prompt,
            "prompt_mask": torch.ones_like(prompt),
            "completion_ids": torch.full_like(mask, self.policy.stop_token_id),
            "completion_mask": mask,
            "advantages": step.advantages[rows],
            "old_per_token_logps": step.old[rows],
            "old_logps": (step.old * step.mask).sum(-1)[rows],
            "ref_per_token_logps": step.reference[rows],
            "num_items_in_batch": step.mask.sum(),
        }

    def _compute_loss(self, inputs: dict[str, Tensor], parts: int, said: Callable[..., Any] | None = None) -> Tensor:
        replaced: dict[str, Any] = {"current_gradient_accumulation_steps": parts}
        if said is not None:
            replaced["_get_per_token_logps_and_entropies"] = said
        with (
            substituted(self.trainer, **replaced),
            substituted(self.trainer.args, steps_per_generation=parts),  # one generation batch per optimizer step
        ):
            loss: Tensor = self.trainer.compute_loss(self.trainer.model, inputs)
        return loss * scale_of(self.trainer, parts)

    def score(self, plan: Plan) -> Scored:
        """Mask and advantages of `_generate_and_score_completions` on the plan's tokens and rewards."""
        scored = self._scored(plan)
        return Scored(scored["completion_mask"].bool(), scored["advantages"])

    @silenced
    def _scored(self, plan: Plan) -> dict[str, Any]:
        self.rewards = plan.rewards.tolist()

        def generate(input_ids: Tensor, **_: Any) -> Tensor:
            return torch.cat([input_ids, plan.tails], -1)

        def said(model: Any, ids: Tensor, attention: Tensor, columns: int, *_: Any, **__: Any) -> tuple[Any, ...]:
            return (plan.reference if model is self.trainer.ref_model else plan.old)[:, :columns], None, None

        rows = [{"prompt": prompt} for prompt in plan.prompts]
        with (
            substituted(self.trainer.model, generate=generate),
            substituted(self.trainer, _get_per_token_logps_and_entropies=said),
        ):
            found: dict[str, Any] = self.trainer._generate_and_score_completions(rows)
        return found

    @silenced
    def step_loss(self, plan: Plan) -> Tensor:
        """TRL's loss on the plan, from rewards to the model's own log-probabilities."""
        given = {"old_per_token_logps": plan.old, "ref_per_token_logps": plan.reference}
        return self._compute_loss(self._scored(plan) | given, 1)

    @silenced
    def logprobs(self, plan: Plan, rows: slice = slice(None)) -> Tensor:
        """What TRL's trainer says about the tokens of the plan [B, T], prompts padded for the rows together."""
        batch = plan.batch()
        ids, attention = batch.input_ids[rows], batch.attention_mask[rows]
        skip = int((attention.sum(0) == 0).long().cumprod(0).sum())
        found = self.trainer._get_per_token_logps_and_entropies(
            self.trainer.model, ids[:, skip:], attention[:, skip:], batch.columns
        )
        result: Tensor = found[0]
        return result


def _forward_axes(kind: str, options: Mapping[str, Any]) -> list[Axis]:
    """Axes on the way from tokens to log-probabilities: temperature, padding, dropout."""
    warm = TRLRollouts(kind, {**options, "temperature": OTHER_TEMPERATURE})
    plan = make_plan(warm.policy, OTHER_TEMPERATURE)
    together, moved = warm.logprobs(plan), _moved_by_padding(warm, plan)
    noisy = TRLRollouts(kind, options, dropout=True)
    passes = []
    for seed in range(2):
        torch.manual_seed(seed)
        passes.append(noisy.logprobs(plan))
    again = largest(passes[0] - passes[1])
    return [
        logprob_axis(together.detach(), warm.policy, plan, OTHER_TEMPERATURE),
        axis(
            "prompt padding",
            "does not matter",
            "does not matter" if moved < 1e-4 else "changes the result",
            f"log-probabilities with and without: {moved:.1g} apart",
        ),
        axis("dropout", "off", "on" if again > 1e-4 else "off", f"two passes of a GPT-2: {again:.2g} apart"),
    ]


def _moved_by_padding(trainer: TRLRollouts, plan: Plan) -> float:
    """How far log-probabilities move when prompts of different lengths are padded to one batch."""
    together = trainer.logprobs(plan)
    alone = torch.cat([trainer.logprobs(plan, slice(row, row + 1)) for row in range(ROWS)])
    return largest(torch.where(plan.mask, together - alone, 0.0))


def _notes(kind: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """What happens to a model with learned absolute positions, which the tiny Llama is not."""
    absolute = TRLRollouts(kind, options, dropout=True)
    absolute.trainer.model.eval()
    moved = _moved_by_padding(absolute, make_plan(absolute.policy))
    if moved < 1e-4:
        return ()
    return (
        f"with learned absolute positions (a GPT-2) the padding of prompts moves log-probabilities by up to "
        f"{moved:.2g} nats: train such models on prompts of one length",
    )


def _conform(
    algorithm: str, kind: str, setting: Mapping[str, Any], options: Mapping[str, Any], ours: Mapping[str, Any]
) -> Check:
    with quiet():
        together = {**setting, **options}
        theirs = TRLRollouts(kind, together)
        more, notes = _forward_axes(kind, together), _notes(kind, together)
    return replace(check(algorithm, theirs, together, ours, more), notes=notes)


def grpo(options: Mapping[str, Any], ours: Mapping[str, Any]) -> Check:
    """TRL's GRPO trainer against our GRPO."""
    return _conform("grpo", "GRPO", {}, options, ours)


def gspo(options: Mapping[str, Any], ours: Mapping[str, Any]) -> Check:
    """TRL's GRPO trainer, set to sequence ratios, against our GSPO."""
    return _conform("gspo", "GRPO", GSPO_SETTING, options, ours)


def rloo(options: Mapping[str, Any], ours: Mapping[str, Any]) -> Check:
    """TRL's RLOO trainer against our RLOO."""
    return _conform("rloo", "RLOO", {}, options, ours)
