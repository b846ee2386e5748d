"""TRL's DPO trainer as functions, and its check."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from rlbench.algorithms.algorithm import PairPrediction, PreferenceAlgorithm
from rlbench.conformance.axis import Axis, Check, Difference, axis
from rlbench.conformance.difference import difference, largest, outcome
from rlbench.conformance.fixed import PAIRS
from rlbench.conformance.pairs import LENGTHS, Shape, measure_length, measure_shape, split_change
from rlbench.conformance.policy_gradient import tokens_in_loss
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
from rlbench.conformance.trl_texts import counted_axes, truncation_axis
from rlbench.errors import InputError
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.padding import token_batch
from rlbench.registry import load

COLUMNS = ("prompt", "chosen", "rejected")


class TRLPreference:
    """A DPO trainer of TRL on the tiny policy, with a reference that differs from it."""

    def __init__(self, options: Mapping[str, Any], dropout: bool = False, own_reference: bool = False) -> None:
        from datasets import Dataset

        trl = library()
        config = build_config(trl.DPOConfig, options, per_device_train_batch_size=len(PAIRS))
        folder, cpu = policy_folder(dropout), torch.device("cpu")
        self.policy = load_policy(folder, cpu)
        self.reference = _moved(load_policy(folder, cpu))
        self.examples = [dict(zip(COLUMNS, pair, strict=True)) for pair in PAIRS]
        self.trainer = build_trainer(
            trl.DPOTrainer,
            options,
            model=self.policy.model,
            ref_model=None if own_reference else copy.deepcopy(self.reference.model),
            args=config,
            train_dataset=Dataset.from_list(self.examples),
            processing_class=self.policy.tokenizer,
        )

    @silenced
    def step_loss(self) -> Tensor:
        """TRL's loss on the pairs, from texts on."""
        loss: Tensor = self.trainer.compute_loss(self.trainer.model, self._batch())
        return loss

    def _batch(self) -> dict[str, Any]:
        prepared = self.trainer.train_dataset
        found: dict[str, Any] = self.trainer.data_collator([prepared[row] for row in range(len(prepared))])
        return found

    @silenced
    def encode(self, prompt: str, completion: str) -> tuple[list[int], list[bool]] | None:
        """Tokens of the preferred side after TRL's preparation and collator."""
        from datasets import Dataset

        trainer = self.trainer
        example = Dataset.from_list([{"prompt": prompt, "chosen": completion, "rejected": completion}])
        prepared = trainer._prepare_dataset(example, trainer.processing_class, trainer.args, "probe")
        if not len(prepared):
            return None
        batch = trainer.data_collator([prepared[0]])
        real = batch["attention_mask"][0].bool()
        return batch["input_ids"][0][real].tolist(), batch["completion_mask"][0][real].bool().tolist()

    @silenced
    def token_loss(self, logprobs: Tensor, reference: Tensor, mask: Tensor, parts: int = 1) -> Tensor:
        """TRL's loss where model and reference say these log-probabilities [2·pairs, T]: preferred ones first."""
        pairs = len(mask) // 2
        total = torch.zeros((), dtype=logprobs.dtype)
        for part in torch.arange(pairs).chunk(parts):
            rows = torch.cat([part, part + pairs])
            counted = torch.cat([torch.zeros(len(rows), 1), mask[rows]], -1).long()
            inputs = {
                "input_ids": torch.full_like(counted, self.policy.stop_token_id),
                "attention_mask": torch.ones_like(counted),
                "completion_mask": counted,
            }
            with substituted(self.trainer, ref_model=_Saying(reference[rows])):
                loss = self.trainer.compute_loss(_Saying(logprobs[rows]), inputs)
            total = total + loss * scale_of(self.trainer, parts)
        return total

    @silenced
    def logprobs(self) -> Tensor:
        """What the model says about all tokens of the pairs, in training."""
        batch = self._batch()
        found: Tensor = self.trainer.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            labels=batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100),
            fused_lm_head=True,
        ).log_probs
        return found


class _Saying:
    """Stands in for a model whose log-probabilities [B, T] are given; 0 where a label is to be ignored, as TRL's."""

    def __init__(self, logprobs: Tensor) -> None:
        self.given = logprobs

    def __call__(self, labels: Tensor, **_: Any) -> SimpleNamespace:
        counted = labels[:, 1:] != -100
        nothing = torch.zeros_like(self.given)
        return SimpleNamespace(
            log_probs=torch.where(counted, self.given, nothing),
            label_mask=counted,
            entropy=nothing,
            mean_logits=nothing,
            log_sum_sq_probs=nothing,
            is_top1=counted,
        )


def _moved(policy: Policy) -> Policy:
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return policy


def our_step_loss(algorithm: PreferenceAlgorithm, policy: Policy, reference: Policy) -> Tensor:
    """Our loss on the pairs, from texts on."""
    prompts = [policy.encode_prompt(prompt) for prompt, _, _ in PAIRS] * 2
    completions = [policy.encode_completion(pair[0], pair[side]) for side in (1, 2) for pair in PAIRS]
    batch = token_batch(prompts, completions, policy.pad_token_id, policy.device)
    new = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
    with torch.no_grad():
        old = reference.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
    return _our_pairs(algorithm, new, old, batch.mask)


def _our_pairs(algorithm: PreferenceAlgorithm, new: Tensor, old: Tensor, mask: Tensor) -> Tensor:
    chosen, rejected = (new * mask).sum(-1).chunk(2)
    reference_chosen, reference_rejected = (old * mask).sum(-1).chunk(2)
    lengths = mask.sum(-1).chunk(2)
    both = PairPrediction(chosen, rejected, reference_chosen, reference_rejected, *lengths)
    return algorithm.loss(both, len(mask) // 2)[0]


def _shape(theirs: TRLPreference) -> Shape:
    """Completions of one token, where sums are means; the reference is 0."""

    def loss(chosen: Tensor, rejected: Tensor) -> Tensor:
        logprobs = torch.cat([chosen, rejected]).unsqueeze(-1)
        return theirs.token_loss(logprobs, torch.zeros_like(logprobs), torch.ones(2, 1, dtype=torch.bool))

    return measure_shape(loss)


def _token_gradient(theirs: TRLPreference, lengths: tuple[int, ...], parts: int = 1) -> tuple[Tensor, Tensor]:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(-1)
    leaf = torch.full(mask.shape, -1.0, dtype=torch.float64, requires_grad=True)
    reference = torch.full(mask.shape, -1.0, dtype=torch.float64)
    loss = theirs.token_loss(leaf, reference, mask, parts)
    return torch.autograd.grad(loss, leaf)[0], mask


def _reference_axis(options: Mapping[str, Any]) -> Axis:
    """Without a reference of its own, the trainer must take the policy as it is: then the margin is 0."""
    theirs = TRLPreference(options, own_reference=True)
    model = theirs.trainer.ref_model
    if model is None:
        return axis("reference", "policy before training", None, "computed in advance")
    own = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    start = torch.cat([parameter.detach().flatten() for parameter in theirs.policy.model.parameters()])
    apart = largest(own - start)
    return axis(
        "reference",
        "policy before training",
        "policy before training" if apart == 0 else "another model",
        f"weights apart by {apart:.1g}",
    )


def _axes(algorithm: PreferenceAlgorithm, theirs: TRLPreference, options: Mapping[str, Any]) -> tuple[list[Axis], Any]:
    shape, axes = _shape(theirs), algorithm.options
    gradient, mask = _token_gradient(theirs, LENGTHS)
    logprobs = measure_length(gradient, mask)
    change = split_change(lambda parts: _token_gradient(theirs, (3, 5, 2, 4), parts)[0])
    noisy = TRLPreference(options, dropout=True)
    passes = []
    for seed in range(2):
        torch.manual_seed(seed)
        passes.append(noisy.logprobs())
    again = largest(passes[0] - passes[1])
    rows = [
        axis("loss", axes.loss, shape.loss, f"values and slopes at other margins: misfit {shape.misfit:.1g}"),
        axis("beta", axes.beta, shape.beta, "slope at margin 0"),
        axis("label_smoothing", axes.label_smoothing, shape.label_smoothing, "growth at a margin of 1000"),
        axis("tokens in the loss", "those of the mask", tokens_in_loss(gradient, mask), "where a token has a gradient"),
        axis("logprobs", axes.logprobs, logprobs, "gradients of tokens, completions of 3 and 5"),
        axis(
            "micro-batch split",
            "does not matter",
            "does not matter" if change < 1e-6 else "changes the result",
            f"two halves against the whole: {change:.2g}",
        ),
        *counted_axes(theirs.encode, theirs.policy),
        truncation_axis(theirs.encode),
        _reference_axis(options),
        axis("dropout", "off", "on" if again > 1e-4 else "off", f"two passes of a GPT-2: {again:.2g} apart"),
    ]
    measured = {"loss": shape.loss, "beta": shape.beta, "label_smoothing": shape.label_smoothing, "logprobs": logprobs}
    return rows, measured


def dpo(options: Mapping[str, Any], ours: Mapping[str, Any]) -> Check:
    """TRL's DPO trainer against our DPO."""
    make = load("algorithms", "dpo")
    algorithm = make(**ours)
    with quiet():
        theirs = TRLPreference(options)
        rows, measured = _axes(algorithm, theirs, options)
    result = outcome(theirs.step_loss(), theirs.policy.model)

    def against(one: PreferenceAlgorithm) -> Difference:
        return difference(result, outcome(our_step_loss(one, theirs.policy, theirs.reference), theirs.policy.model))

    not_alike = [row.name for row in rows if row.verdict == "differs" and row.name not in measured]
    explained = None
    try:
        explained = against(make(**measured))
    except InputError:
        not_alike = [*measured, *not_alike]
    return Check("dpo", dict(options), dict(ours), tuple(rows), against(algorithm), explained, tuple(not_alike))
