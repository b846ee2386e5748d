"""Makes what all runs of an experiment share: base and SFT policies, the order of prompts, pairs and reward models."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm import tqdm

from rlbench.artifacts.call import Call
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.artifacts.files import write_json, write_jsonl
from rlbench.errors import InputError
from rlbench.graders.roles import load_grader
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.device import resolve_device
from rlbench.policies.location import model_files
from rlbench.policies.tiny import build_tiny
from rlbench.records import Sample
from rlbench.seeding import stream
from rlbench.stages.preference_pairs import make_pairs
from rlbench.stages.reward_model import make_reward_model
from rlbench.tasks.task import Task, load_task
from rlbench.trainers.sft import Demonstrations, fine_tune

VERSION = 1
MODEL = "model"


def run(call: Call) -> Mapping[str, Any]:
    """Make the part that the call's config names: `base`, `sft`, `prompts`, `pairs` or `reward_model`."""
    makers: dict[str, Callable[[Call], Mapping[str, Any]]] = {
        "base": _base,
        "sft": _sft,
        "prompts": _prompts,
        "pairs": make_pairs,
        "reward_model": make_reward_model,
    }
    return makers[call.config["make"]](call)


def _task(call: Call) -> Task:
    name = call.config["task"]
    return load_task(call.circumstances.task_paths[name], call.circumstances.data_dir)


def _base(call: Call) -> Mapping[str, Any]:
    """Copy the base policy, or build a tiny one; either must load, and have room for every prompt and completion."""
    tasks = {name: load_task(call.circumstances.task_paths[name], call.circumstances.data_dir)
             for name in call.config["tasks"]}  # fmt: skip
    if call.circumstances.base_path is not None:
        (call.out / MODEL).mkdir()
        for path in model_files(call.circumstances.base_path):
            shutil.copyfile(path, call.out / MODEL / path.name)
        policy = load_policy(call.out / MODEL, torch.device("cpu"), **call.config["policy"])
    else:
        policy = _tiny(call, tasks)
        policy.save(call.out / MODEL)
    for name, task in tasks.items():
        lengths = {sample.sample_id: len(policy.encode_prompt(sample.prompt)) for sample in _prompted(task, call)}
        longest, limit = max(lengths, key=lengths.__getitem__), call.config["tasks"][name]["max_new_tokens"]
        what = f"{task.where(longest)}: the longest prompt of task {name!r} ({lengths[longest]} tokens)"
        policy.check_fit(lengths[longest] + limit, f"{what} with a completion of {limit}")
    return {"parameters": policy.parameters}


def _prompted(task: Task, call: Call) -> list[Sample]:
    """The samples whose prompts the policy will read."""
    splits = {"train", "dev", call.config["tasks"][task.name]["split"]} & set(task.splits)
    return [sample for split in sorted(splits) for sample in task.samples(split)]


def _tiny(call: Call, tasks: Mapping[str, Task]) -> Policy:
    """Build the tiny policy. Its characters are those of training prompts and demonstrations, not of other splits."""
    texts: list[str] = []
    width = 0
    for name, task in tasks.items():
        samples, pairs = _prompted(task, call), task.demonstrations()
        texts += [sample.prompt for sample in task.samples("train")]
        texts += [prompt + completion for prompt, completion in pairs]
        completions = [len(completion) for _, completion in pairs]
        completions += [len(reference) for sample in samples for reference in sample.references]
        longest = max(call.config["tasks"][name]["max_new_tokens"], *completions)
        prompts = [len(prompt) for prompt, _ in pairs] + [len(sample.prompt) for sample in samples]
        width = max(width, max(prompts) + longest)
    # Beside the characters there are the beginning and the stop token.
    return build_tiny(texts, **call.config["tiny"], max_positions=width + 2, seed=0)


def _sft(call: Call) -> Mapping[str, Any]:
    config = call.config
    device = resolve_device(call.circumstances.device)
    policy = load_policy(call.input("base") / MODEL, device, **config["policy"])
    data = Demonstrations(
        pairs=_task(call).demonstrations(),
        epochs=config["epochs"],
        batch_size=config["batch_size"],
        learning_rate=config["learning_rate"],
        task=config["task"],
    )
    with tqdm(desc=f"SFT on {config['task']}", unit="step", disable=not sys.stderr.isatty(), leave=False) as bar:

        def show(step: int, total: int, loss: float) -> None:
            bar.total = total
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        curve = fine_tune(policy, data, Checkpoints(call.work), show)
    policy.save(call.out / MODEL)
    write_jsonl(call.out / "metrics.jsonl", curve)
    return {"demonstrations": len(data.pairs)}


def _prompts(call: Call) -> Mapping[str, Any]:
    """Write the shared prompt order: whole passes over the training split, each shuffled anew.

    Where the graders of the reward and of the gold reward can tell, training and dev prompts that they do not admit are
    left out, and `excluded.json` lists them with the reason.
    """
    task = _task(call)
    excluded = _excluded(call, task)
    samples = [sample for sample in task.samples("train") if sample.sample_id not in excluded]
    if not samples:
        reason = next(iter(excluded.values()))
        raise InputError(
            f"task {task.name!r}: the reward admits none of the {len(task.samples('train'))} training prompts "
            f"(the first: {reason}); repair the tests or the references, or choose another reward"
        )
    order: list[str] = []
    while len(order) < call.config["prompts"]:
        turn = stream("prompt order", call.config["task"], len(order) // len(samples)).permutation(len(samples))
        order += [samples[index].sample_id for index in turn]
    write_json(call.out / "prompts.json", order[: call.config["prompts"]])
    return {"training_prompts": len(samples)}


def _excluded(call: Call, task: Task) -> dict[str, str]:
    """Write and return which training and dev prompts a reward's grader does not admit: {sample id: reason}."""
    if "rewards" not in call.config:
        return {}
    samples = [sample for split in ("train", "dev") if split in task.splits for sample in task.samples(split)]
    excluded: dict[str, str] = {}
    for entry in call.config["rewards"]:
        admits = load_grader(entry["grader"], entry["options"]).admits
        assert admits is not None, "only rewards that can tell are in the config"
        reasons = zip(samples, admits(samples), strict=True)
        excluded |= {sample.sample_id: reason for sample, reason in reasons if reason}
    write_json(call.out / "excluded.json", excluded)
    return excluded
