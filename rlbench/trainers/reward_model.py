"""Reward-model training: the Bradley-Terry loss on preference pairs.

Stiennon et al. 2020 (arXiv:2009.01325), section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlbench.algorithms.options import Adam
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import Diverged
from rlbench.functional.losses import bradley_terry
from rlbench.policies.reward_model import Encoded, RewardModel
from rlbench.records import Preference
from rlbench.seeding import stream
from rlbench.trainers.trainer import Learner

WARMUP = 0.1
MODEL = "reward_model"


@dataclass(frozen=True)
class Comparisons:
    """What to learn from and how often."""

    pairs: Sequence[Preference]
    epochs: int
    batch_size: int
    """Pairs per optimizer step."""
    learning_rate: float
    margin: float
    """By how much the preferred completion should win."""
    names: tuple[int | str, ...]
    """Names of the random stream that orders the pairs."""
    micro_batch_size: int = 64
    """Pairs per forward pass. It limits memory and does not change the result."""


def learn_reward(
    model: RewardModel, data: Comparisons, checkpoints: Checkpoints, on_step: Callable[[int, int, float], None]
) -> list[dict[str, Any]]:
    """Train `model` in place, from the last checkpoint if there is one; return the curve, one row per epoch.

    A row holds the `loss` and the `accuracy` (share of pairs whose preferred completion has the higher reward) of the
    epoch's pairs, each measured just before it was learnt from. Every epoch visits the pairs in a new order; the
    learning rate rises over the first tenth of the steps and then decays linearly to 0. `on_step` is told the steps
    taken, the steps in all and the loss.

    Raises:
        Diverged: the loss is not finite.
    """
    chosen = [model.encode(pair.prompt, pair.chosen) for pair in data.pairs]
    rejected = [model.encode(pair.prompt, pair.rejected) for pair in data.pairs]
    per_epoch = -(-len(data.pairs) // data.batch_size)
    total = data.epochs * per_epoch
    options = Adam(learning_rate=data.learning_rate, warmup=WARMUP)
    learner = Learner(model.model, data.learning_rate, options, total)
    step, curve, losses, right = 0, list[dict[str, Any]](), 0.0, 0.0
    checkpoint = checkpoints.latest()
    if checkpoint is not None:
        learner.restore(MODEL, checkpoint.tensors)
        step, curve = checkpoint.state["step"], checkpoint.state["curve"]
    while step < total:
        epoch, place = divmod(step, per_epoch)
        order = stream(*data.names, "pair order", epoch).permutation(len(data.pairs))
        rows = order[place * data.batch_size : (place + 1) * data.batch_size].tolist()
        loss, wins = _backward(model, [chosen[row] for row in rows], [rejected[row] for row in rows], data)
        if not torch.isfinite(torch.tensor(loss)):
            raise Diverged(f"the loss of the reward model became {loss} at step {step}", step)
        learner.step(step, step)
        step += 1
        losses, right = losses + loss * len(rows), right + wins
        on_step(step, total, loss)
        if step % per_epoch == 0:
            pairs = len(data.pairs)
            curve.append({"epoch": epoch + 1, "step": step, "loss": losses / pairs, "accuracy": right / pairs})
            losses = right = 0.0
            if step < total:
                checkpoints.save(step, learner.tensors(MODEL), {"step": step, "curve": curve})
    return curve


def _backward(
    model: RewardModel, chosen: Sequence[Encoded], rejected: Sequence[Encoded], data: Comparisons
) -> tuple[float, float]:
    """Add up the gradient of the mean loss of some pairs; return that loss and the number of pairs ranked right."""
    loss, wins = 0.0, 0.0
    for start in range(0, len(chosen), data.micro_batch_size):
        part = slice(start, start + data.micro_batch_size)
        better, worse = model.read([*chosen[part], *rejected[part]]).chunk(2)
        share = bradley_terry(better, worse, data.margin).sum() / len(chosen)
        share.backward()  # type: ignore[no-untyped-call]
        loss, wins = loss + float(share.detach()), wins + float((better > worse).sum())
    return loss, wins
