"""TRL's reward model trainer as functions, and its check."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlbench.conformance.axis import Axis, Check, axis
from rlbench.conformance.difference import difference, largest, outcome
from rlbench.conformance.fixed import PAIRS
from rlbench.conformance.pairs import Ranking, measure_ranking, split_change
from rlbench.conformance.trl_library import (
    build_config,
    build_trainer,
    library,
    policy_folder,
    quiet,
    scale_of,
    scratch,
    silenced,
)
from rlbench.conformance.trl_texts import counted_axes, truncation_axis
from rlbench.functional.losses import bradley_terry
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.policies.reward_model import RewardModel, load_reward_model
from rlbench.registry import unknown


@cache
def reward_model_folder(dropout: bool) -> Path:
    """The tiny policy with a scalar head in place of its vocabulary."""
    source, folder = policy_folder(dropout), scratch("reward-model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1, dtype=torch.float32)
        torch.nn.init.normal_(model.score.weight, std=0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


class TRLReward:
    """A reward model trainer of TRL on the tiny policy with a scalar head."""

    def __init__(self, options: Mapping[str, Any], dropout: bool = False) -> None:
        from datasets import Dataset

        trl = library()
        config = build_config(trl.RewardConfig, options, per_device_train_batch_size=len(PAIRS))
        self.policy = load_policy(policy_folder(dropout), torch.device("cpu"))
        self.reward_model = load_reward_model(reward_model_folder(dropout), torch.device("cpu"))
        examples = [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in PAIRS]
        self.trainer = build_trainer(
            trl.RewardTrainer,
            options,
            model=self.reward_model.model,
            args=config,
            train_dataset=Dataset.from_list(examples),
            processing_class=self.reward_model.tokenizer,
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
    def rewards(self) -> Tensor:
        """What the model says about the sequences of the pairs, preferred ones first, through TRL's collator."""
        found: Tensor = self.trainer.model(**self._batch(), use_cache=False).logits.squeeze(-1)
        return found

    @silenced
    def pair_loss(self, chosen: Tensor, rejected: Tensor, margin: Tensor | None, parts: int = 1) -> Tensor:
        """TRL's loss where the model gives these rewards [pairs]."""
        total = torch.zeros((), dtype=chosen.dtype)
        for rows in torch.arange(len(chosen)).chunk(parts):
            said = torch.cat([chosen[rows], rejected[rows]]).unsqueeze(-1)
            inputs = {"attention_mask": torch.ones(len(said), 1)}
            if margin is not None:
                inputs["margin"] = margin[rows]
            loss = self.trainer.compute_loss(lambda said=said, **_: SimpleNamespace(logits=said), inputs)
            total = total + loss * scale_of(self.trainer, parts)
        return total

    @silenced
    def encode(self, prompt: str, completion: str) -> tuple[list[int], list[bool]] | None:
        """Tokens of the preferred side; a reward model reads all of them."""
        from datasets import Dataset

        trainer = self.trainer
        example = Dataset.from_list([{"prompt": prompt, "chosen": completion, "rejected": completion}])
        prepared = trainer._prepare_dataset(example, trainer.processing_class, trainer.args, "probe")
        if not len(prepared):
            return None
        ids = list(prepared[0]["chosen_ids"])
        return ids, [True] * len(ids)


def our_batch(policy: Policy) -> TokenBatch:
    """The sequences of the pairs as we lay them out, preferred ones first."""
    prompts = [policy.encode_prompt(prompt) for prompt, _, _ in PAIRS] * 2
    completions = [policy.encode_completion(pair[0], pair[side]) for side in (1, 2) for pair in PAIRS]
    return token_batch(prompts, completions, policy.pad_token_id, policy.device)


def our_step_loss(model: RewardModel, policy: Policy, centring: float) -> Tensor:
    """Our loss on the pairs, from texts on."""
    batch = our_batch(policy)
    chosen, rejected = model.scores(batch.input_ids, batch.attention_mask).chunk(2)
    return bradley_terry(chosen, rejected, centring=centring).mean()


def _split_change(theirs: TRLReward) -> float:
    def gradient(parts: int) -> Tensor:
        leaf = torch.tensor([0.3, -0.2, 0.9, 0.1], dtype=torch.float64, requires_grad=True)
        loss = theirs.pair_loss(leaf, torch.zeros(4, dtype=torch.float64), None, parts)
        return torch.autograd.grad(loss, leaf)[0]

    return split_change(gradient)


def _axes(theirs: TRLReward, found: Ranking, centring: float, options: Mapping[str, Any]) -> list[Axis]:
    batch = our_batch(theirs.policy)
    with torch.no_grad():
        apart = largest(theirs.rewards() - theirs.reward_model.scores(batch.input_ids, batch.attention_mask))
    change = _split_change(theirs)
    noisy = TRLReward(options, dropout=True)
    passes = []
    for seed in range(2):
        torch.manual_seed(seed)
        passes.append(noisy.rewards())
    again = largest(passes[0] - passes[1])
    return [
        axis("loss", "Bradley-Terry", found.loss, f"values and slopes at other margins: misfit {found.misfit:.1g}"),
        axis("scale of rewards", 1.0, found.scale, "slope at margin 0"),
        axis("margin", "subtracted", found.margin, "loss with a margin of 0.5 in the data"),
        axis("centring", centring, found.centring, "loss when both rewards rise by 1"),
        axis(
            "token read",
            "last that is no padding",
            "last that is no padding" if apart < 1e-4 else "another",
            f"rewards apart by {apart:.1g}",
        ),
        axis(
            "micro-batch split",
            "does not matter",
            "does not matter" if change < 1e-6 else "changes the result",
            f"two halves against the whole: {change:.2g}",
        ),
        counted_axes(theirs.encode, theirs.policy)[0],
        truncation_axis(theirs.encode),
        axis("dropout", "off", "on" if again > 1e-4 else "off", f"two passes of a GPT-2: {again:.2g} apart"),
    ]


def reward_model(options: Mapping[str, Any], ours: Mapping[str, Any]) -> Check:
    """TRL's reward model trainer against our Bradley-Terry loss; of ours, only `centring` can be set."""
    for name in ours:
        if name != "centring":
            raise unknown("reward_model option", name, ["centring"])
    centring = float(ours.get("centring", 0.0))
    with quiet():
        theirs = TRLReward(options)
        found = measure_ranking(theirs.pair_loss)
        rows = _axes(theirs, found, centring, options)
    model = theirs.reward_model
    result = outcome(theirs.step_loss(), model.model)
    against = difference(result, outcome(our_step_loss(model, theirs.policy, centring), model.model))
    explained = None
    if found.loss == "Bradley-Terry" and found.scale == 1.0 and isinstance(found.centring, float):
        explained = difference(result, outcome(our_step_loss(model, theirs.policy, found.centring), model.model))
    not_alike = tuple(row.name for row in rows if row.verdict == "differs" and row.name != "centring")
    return Check("reward_model", dict(options), dict(ours), tuple(rows), against, explained, not_alike)
