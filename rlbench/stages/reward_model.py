"""Trains reward models on preference pairs, and measures how well they agree with held-out labels.

Writes a Hugging Face folder `model-I` per member of the ensemble; `metrics.jsonl` (loss and accuracy on the training
pairs, by member and epoch); `held_out.jsonl` (per held-out pair the prompt, and per member the reward of the preferred
completion minus that of the other one); and `agreement.json` (see `_agreement`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from tqdm import tqdm

from rlbench.artifacts.call import Call
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.artifacts.files import read_jsonl, write_json, write_jsonl
from rlbench.policies.causal_lm import load_policy
from rlbench.policies.device import resolve_device
from rlbench.policies.reward_model import RewardModel, build_reward_model
from rlbench.records import Preference
from rlbench.rollouts.preferences import LabelledPair
from rlbench.seeding import derive
from rlbench.statistics.agreement import calibration, clustered_share
from rlbench.trainers.reward_model import Comparisons, learn_reward

MODEL = "model"
PAIRS = "pairs.jsonl"


def make_reward_model(call: Call) -> Mapping[str, Any]:
    """Train the members one after the other, each from the last checkpoint if there is one, and measure them."""
    pairs = [LabelledPair.from_json(row) for row in read_jsonl(call.input("pairs") / PAIRS)]
    parts = {
        part: [Preference(pair.prompt, pair.chosen, pair.rejected) for pair in pairs if pair.part == part]
        for part in ("train", "held_out")
    }
    held_out, curve, differences = parts["held_out"], list[dict[str, Any]](), list[list[float]]()
    for member in range(call.config["members"]):
        model, rows = _train(call, member, parts["train"])
        if call.config["centre"]:
            model.centre(_texts(parts["train"]))
        model.save(call.out / f"{MODEL}-{member}")
        curve += [{"member": member, **row} for row in rows]
        found = np.array(model.rewards(_texts(held_out))).reshape(-1, 2)
        differences.append((found[:, 0] - found[:, 1]).tolist())
    write_jsonl(call.out / "metrics.jsonl", curve)
    by_pair = [list(row) for row in zip(*differences, strict=True)]
    write_jsonl(
        call.out / "held_out.jsonl",
        [{"prompt": pair.prompt, "differences": row} for pair, row in zip(held_out, by_pair, strict=True)],
    )
    agreement = _agreement(differences, [pair.prompt for pair in held_out])
    labels = "gold" if pairs[0].chosen_gold is not None else "preferences"
    flipped = sum(pair.flipped for pair in pairs) / len(parts["train"])
    known = {"pairs": len(parts["train"]), "held_out": len(held_out), "labels": labels, "noise": flipped}
    write_json(call.out / "agreement.json", agreement | known)
    return known | {"accuracy": agreement["accuracy"]}


def _train(call: Call, member: int, pairs: Sequence[Preference]) -> tuple[RewardModel, list[dict[str, Any]]]:
    config = call.config
    policy = load_policy(call.input("sft") / MODEL, resolve_device(call.circumstances.device), **config["policy"])
    names = ("reward model", member)
    model = build_reward_model(policy, derive(*names, "head"))
    data = Comparisons(pairs, config["epochs"], config["batch_size"], config["learning_rate"], config["margin"], names)
    title = f"{call.identity.name} {member}"
    with tqdm(desc=title, unit="step", disable=not sys.stderr.isatty(), leave=False) as bar:

        def show(step: int, total: int, loss: float) -> None:
            bar.total = total
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        curve = learn_reward(model, data, Checkpoints(call.work, f"member{member}"), show)
    return model, curve


def _texts(pairs: Sequence[Preference]) -> list[tuple[str, str]]:
    """Both completions of every pair with its prompt, the preferred one first."""
    return [(pair.prompt, completion) for pair in pairs for completion in (pair.chosen, pair.rejected)]


def _agreement(differences: Sequence[Sequence[float]], prompts: Sequence[str]) -> dict[str, Any]:
    """How often the ensemble's mean reward ranks held-out pairs as their labels do.

    `accuracy` (a tie counts half) with its 95 % interval `low` to `high`, which allows for several pairs of one
    prompt; `members`, the accuracy of each; `calibration`, by how sure the ensemble is: the mean `predicted`
    probability of its own choice and how often it was `observed` to be the preferred one.
    """
    mean = np.mean(differences, axis=0)
    whole = clustered_share((np.sign(mean) + 1) / 2, prompts)
    members = [clustered_share((np.sign(each) + 1) / 2, prompts) for each in differences]
    bins = [
        {
            "predicted": each.predicted,
            "observed": each.observed.value,
            "low": each.observed.low,
            "high": each.observed.high,
            "count": each.observed.count,
        }
        for each in calibration(mean, prompts)
    ]
    return {
        "accuracy": whole.value,
        "low": whole.low,
        "high": whole.high,
        "effective": whole.effective,
        "members": [asdict(member) for member in members],
        "calibration": bins,
    }
