"""Trains one run: one seed of one algorithm on one task. Divergence is an outcome and is sealed like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlbench.algorithms.algorithm import Algorithm, PreferenceAlgorithm
from rlbench.artifacts.call import Call
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.artifacts.files import read_json, write_json, write_jsonl
from rlbench.artifacts.run_folder import OUTCOME
from rlbench.errors import Diverged
from rlbench.graders.roles import as_measure, as_reward
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.chat_template import TemplateUse, template_use
from rlbench.policies.device import resolve_device
from rlbench.records import Sample
from rlbench.registry import load
from rlbench.rollouts.collect import Sampling
from rlbench.stages.rewards import role_grader
from rlbench.tasks.task import load_task
from rlbench.trainers.offline import OfflineLoop
from rlbench.trainers.online import OnlineLoop
from rlbench.trainers.trainer import Job

VERSION = 3
MODEL = "model"


def run(call: Call) -> Mapping[str, Any]:
    """Train from the shared SFT policy, or from the last checkpoint; write model, curve, usage and outcome."""
    config = call.config
    algorithm: Algorithm = load("algorithms", config["algorithm"])(**config["options"])
    job = _job(call)
    loop: OnlineLoop | OfflineLoop
    if isinstance(algorithm, PreferenceAlgorithm) and algorithm.data == "preferences":
        loop = OfflineLoop(algorithm, job)
    else:
        loop = OnlineLoop(algorithm, job)
    outcome: dict[str, Any] = {"status": "completed", "detail": "", "step": None}
    try:
        loop.run()
        job.policy.save(call.out / MODEL)
    except Diverged as error:
        outcome = {"status": "diverged", "detail": str(error), "step": error.step}
    write_jsonl(call.out / "metrics.jsonl", loop.progress.curve)
    write_json(call.out / "usage.json", loop.progress.meter.to_json())
    facts = {"rollouts_digest": loop.progress.rollouts_digest, "chat_template": _template_use(job)}
    write_json(call.out / OUTCOME, outcome | facts)
    return {"device": str(job.policy.device)}


def _template_use(job: Job) -> TemplateUse:
    return template_use(job.policy.tokenizer, (job.policy.encode_prompt(each.prompt) for each in job.prompts))


def _job(call: Call) -> Job:
    config = call.config
    device = resolve_device(call.circumstances.device)
    task = load_task(call.circumstances.task_paths[config["task"]], call.circumstances.data_dir)
    samples = {sample.sample_id: sample for sample in _admitted(call, task.samples("train"))}
    order = read_json(call.input("prompts") / "prompts.json")
    dev = _admitted(call, task.samples("dev")) if config["dev_prompts"] else []
    reward, gold = config["reward"], config["gold"]

    def policy() -> Policy:
        return load_policy(call.input("sft") / MODEL, device, **config["policy"])

    return Job(
        policy=policy(),
        reference=policy(),
        prompts=[samples[sample_id] for sample_id in order[: config["prompts"]]],
        prompts_per_batch=config["prompts_per_batch"],
        sampling=Sampling(config["completions_per_prompt"], config["max_new_tokens"], config["temperature"]),
        reward=as_reward(role_grader(call, reward), reward["column"]),
        seed=config["seed"],
        task=config["task"],
        dev=dev[: config["dev_prompts"]],
        dev_every=config["dev_every"],
        checkpoint_every=call.circumstances.checkpoint_every,
        checkpoints=Checkpoints(call.work),
        preferences=Checkpoints(call.work, "preferences"),
        gold=as_measure(role_grader(call, gold), gold["column"]) if gold else None,
        pair_seed=0 if config["shared_pairs"] else None,
    )


def _admitted(call: Call, samples: Sequence[Sample]) -> list[Sample]:
    """Leave out what the order of prompts leaves out. The tests of the others were checked then and are not again."""
    excluded = call.input("prompts") / "excluded.json"
    if not excluded.exists():  # the reward's grader admits everything
        return list(samples)
    unfit = read_json(excluded)
    return [
        sample if sample.tests is None else replace(sample, tests=replace(sample.tests, admitted=True))
        for sample in samples
        if sample.sample_id not in unfit
    ]
