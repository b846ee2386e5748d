"""Supervised fine-tuning: cross-entropy on the tokens of the demonstrated completion only, the stop token included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlbench.algorithms.options import Adam
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import Diverged
from rlbench.functional.masking import token_mean_weights
from rlbench.policies.causal_lm import Policy
from rlbench.policies.padding import token_batch
from rlbench.seeding import stream
from rlbench.trainers.trainer import Learner

WARMUP = 0.1


@dataclass(frozen=True)
class Demonstrations:
    """What to imitate and how often."""

    pairs: Sequence[tuple[str, str]]
    """(prompt, completion) texts."""
    epochs: int
    batch_size: int
    learning_rate: float
    task: str


def fine_tune(
    policy: Policy, data: Demonstrations, checkpoints: Checkpoints, on_step: Callable[[int, int, float], None]
) -> list[dict[str, Any]]:
    """Train `policy` in place, from the last checkpoint if there is one; return the loss curve.

    Every epoch visits the demonstrations in a new order. The learning rate rises over the
    first tenth of the steps and then decays linearly to 0. `on_step` is told
    the steps taken, the steps in all and the loss.

    Raises:
        Diverged: the loss is not finite.
        InputError: a demonstration does not fit into the model's context.
    """
    prompts = [policy.encode_prompt(prompt) for prompt, _ in data.pairs]
    completions = [policy.encode_completion(*pair) for pair in data.pairs]
    longest = max(len(prompt) + len(completion) for prompt, completion in zip(prompts, completions, strict=True))
    policy.check_fit(longest, "the longest demonstration")
    per_epoch = -(-len(prompts) // data.batch_size)
    total = data.epochs * per_epoch
    options = Adam(learning_rate=data.learning_rate, warmup=WARMUP)
    learner = Learner(policy.model, data.learning_rate, options, total)
    step, curve = 0, list[dict[str, Any]]()
    checkpoint = checkpoints.latest()
    if checkpoint is not None:
        learner.restore("policy", checkpoint.tensors)
        step, curve = checkpoint.state["step"], checkpoint.state["curve"]
    while step < total:
        epoch, place = divmod(step, per_epoch)
        order = stream("sft", data.task, epoch).permutation(len(prompts))
        rows = order[place * data.batch_size : (place + 1) * data.batch_size].tolist()
        batch = token_batch(
            [prompts[row] for row in rows], [completions[row] for row in rows], policy.pad_token_id, policy.device
        )
        logprobs = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns)
        loss = -(logprobs * token_mean_weights(batch.mask)).sum()
        if not bool(torch.isfinite(loss)):
            raise Diverged(f"the SFT loss became {float(loss)} at step {step}", step)
        loss.backward()  # type: ignore[no-untyped-call]
        learner.step(step, step)
        step += 1
        value = float(loss.detach())
        on_step(step, total, value)
        if step % per_epoch == 0:
            curve.append({"epoch": step // per_epoch, "step": step, "loss": value})
            if step < total:
                checkpoints.save(step, learner.tensors("policy"), {"step": step, "curve": curve})
    return curve
