"""TRL's SFT trainer as functions, and its check."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from rlbench.conformance.axis import Axis, Check, Value, axis
from rlbench.conformance.difference import difference, largest, outcome
from rlbench.conformance.fixed import PAIRS
from rlbench.conformance.pairs import split_change
from rlbench.conformance.policy_gradient import OTHER, tokens_in_loss
from rlbench.conformance.trl_library import build_config, build_trainer, library, policy_folder, quiet, silenced
from rlbench.conformance.trl_texts import counted_axes, truncation_axis
from rlbench.functional.masking import sequence_mean_weights, token_mean_weights
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.padding import token_batch
from rlbench.registry import unknown

LENGTHS = (2, 10)


class TRLDemonstrations:
    """An SFT trainer of TRL on the tiny policy, with prompts and completions as it takes them."""

    def __init__(self, options: Mapping[str, Any], dropout: bool = False) -> None:
        from datasets import Dataset

        trl = library()
        config = build_config(trl.SFTConfig, options, per_device_train_batch_size=len(PAIRS))
        self.policy = load_policy(policy_folder(dropout), torch.device("cpu"))
        examples = [{"prompt": prompt, "completion": completion} for prompt, completion, _ in PAIRS]
        self.trainer = build_trainer(
            trl.SFTTrainer,
            options,
            model=self.policy.model,
            args=config,
            train_dataset=Dataset.from_list(examples),
            processing_class=self.policy.tokenizer,
        )

    def _batch(self) -> dict[str, Any]:
        prepared = self.trainer.train_dataset
        found: dict[str, Any] = self.trainer.data_collator([prepared[row] for row in range(len(prepared))])
        return found

    @silenced
    def step_loss(self) -> Tensor:
        """TRL's loss on the demonstrations, from texts on."""
        return self._accumulated(self.trainer.model, [self._batch()])

    def _accumulated(self, model: Any, batches: list[dict[str, Any]]) -> Tensor:
        """Add up micro-batches as transformers' loop does: it counts the labels of all of them first."""
        trainer = self.trainer
        items = trainer._get_num_items_in_batch(batches, torch.device("cpu"))
        losses = [trainer.compute_loss(model, batch, num_items_in_batch=items) for batch in batches]
        scale = 1.0 if items is not None or trainer.loss_is_scaled_for_ga else 1.0 / len(batches)
        return torch.stack(losses).sum() * scale

    @silenced
    def token_loss(self, logprobs: Tensor, mask: Tensor, parts: int = 1) -> Tensor:
        """TRL's loss where the model says `logprobs` [B, T] about the tokens that `mask` [B, T] marks as labels."""
        batches = []
        for rows in torch.arange(len(mask)).chunk(parts):
            counted = torch.cat([torch.zeros(len(rows), 1, dtype=torch.bool), mask[rows]], -1)
            stop = torch.full(counted.shape, self.policy.stop_token_id)
            labels = torch.where(counted, stop, -100)
            batches.append({"input_ids": stop, "attention_mask": torch.ones_like(stop), "labels": labels})
        places = iter(torch.arange(len(mask)).chunk(parts))

        def said(labels: Tensor, **_: Any) -> SimpleNamespace:
            given, counted = logprobs[next(places)], labels[:, 1:] != -100
            nothing = torch.zeros_like(given)
            return SimpleNamespace(
                log_probs=torch.where(counted, given, nothing), label_mask=counted, entropy=nothing, is_top1=counted
            )

        return self._accumulated(said, batches)

    @silenced
    def encode(self, prompt: str, completion: str) -> tuple[list[int], list[bool]] | None:
        """Tokens and labels after TRL's preparation and collator."""
        from datasets import Dataset

        trainer = self.trainer
        example = Dataset.from_list([{"prompt": prompt, "completion": completion}])
        prepared = trainer._prepare_dataset(
            example, trainer.processing_class, trainer.args, trainer.args.packing, None, "probe"
        )
        if not len(prepared):
            return None
        batch = trainer.data_collator([prepared[0]])
        return batch["input_ids"][0].tolist(), (batch["labels"][0] != -100).tolist()

    @silenced
    def logprobs(self) -> Tensor:
        """What the model says about the labels, in training."""
        found: Tensor = self.trainer.model(**self._batch(), fused_lm_head=True).log_probs
        return found


def our_step_loss(policy: Policy, prompts_count: bool = False) -> Tensor:
    """Our loss on the demonstrations, from texts on. With `prompts_count` all tokens but the first are labels."""
    prompts = [policy.encode_prompt(prompt) for prompt, _, _ in PAIRS]
    completions = [policy.encode_completion(prompt, completion) for prompt, completion, _ in PAIRS]
    if prompts_count:
        completions = [head[1:] + tail for head, tail in zip(prompts, completions, strict=True)]
        prompts = [head[:1] for head in prompts]
    batch = token_batch(prompts, completions, policy.pad_token_id, policy.device)
    logprobs = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
    return -(logprobs * token_mean_weights(batch.mask)).sum()


def _mask() -> Tensor:
    return torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(-1)


def _gradient(theirs: TRLDemonstrations, parts: int = 1) -> Tensor:
    mask = _mask()
    leaf = torch.full(mask.shape, -1.0, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(theirs.token_loss(leaf, mask, parts), leaf)[0]


def _token_loss(theirs: TRLDemonstrations) -> tuple[Value, float]:
    """Whether a token's loss is −log p: values and slopes of single tokens."""
    misfit = 0.0
    for place in (-0.2, -1.0, -4.0):
        leaf = torch.tensor([[place]], dtype=torch.float64, requires_grad=True)
        loss = theirs.token_loss(leaf, torch.ones(1, 1, dtype=torch.bool))
        slope = torch.autograd.grad(loss, leaf)[0]
        misfit = max(misfit, abs(float(loss) + place), abs(float(slope) + 1))
    return ("-log p" if misfit < 1e-6 else OTHER), misfit


def _aggregation(gradient: Tensor) -> Value:
    mask = _mask()
    for name, weights in (("token_mean", token_mean_weights(mask)), ("sequence_mean", sequence_mean_weights(mask))):
        if torch.allclose(-gradient, weights.double(), rtol=1e-5, atol=1e-9):
            return name
    return OTHER


def _axes(theirs: TRLDemonstrations, options: Mapping[str, Any]) -> list[Axis]:
    gradient = _gradient(theirs)
    change = split_change(lambda parts: _gradient(theirs, parts))
    loss, misfit = _token_loss(theirs)
    noisy = TRLDemonstrations(options, dropout=True)
    passes = []
    for seed in range(2):
        torch.manual_seed(seed)
        passes.append(noisy.logprobs())
    again = largest(passes[0] - passes[1])
    return [
        axis("loss", "-log p", loss, f"values and slopes of single tokens: misfit {misfit:.1g}"),
        axis(
            "tokens in the loss",
            "those of the mask",
            tokens_in_loss(gradient, _mask()),
            "where a token has a gradient",
        ),
        axis("aggregation", "token_mean", _aggregation(gradient), "gradients, completions of 2 and 10 tokens"),
        axis(
            "micro-batch split",
            "does not matter",
            "does not matter" if change < 1e-6 else "changes the result",
            f"two halves against the whole: {change:.2g}",
        ),
        *counted_axes(theirs.encode, theirs.policy),
        truncation_axis(theirs.encode),
        axis("dropout", "off", "on" if again > 1e-4 else "off", f"two passes of a GPT-2: {again:.2g} apart"),
    ]


def sft(options: Mapping[str, Any], ours: Mapping[str, Any]) -> Check:
    """TRL's SFT trainer against our SFT, which has nothing to be set."""
    for name in ours:
        raise unknown("sft option", name, [])
    with quiet():
        theirs = TRLDemonstrations(options)
        rows = _axes(theirs, options)
    result = outcome(theirs.step_loss(), theirs.policy.model)
    against = difference(result, outcome(our_step_loss(theirs.policy), theirs.policy.model))
    not_alike = tuple(row.name for row in rows if row.verdict == "differs")
    whole = any(row.theirs == "prompt and completion" for row in rows)
    explained = difference(result, outcome(our_step_loss(theirs.policy, whole), theirs.policy.model))
    return Check("sft", dict(options), {}, tuple(rows), against, explained, not_alike)
