"""Evaluates one policy with one seed: completions of the evaluation prompts, and the likelihoods that need the model.

Writes `completions.parquet` (and a JSON Lines twin to read by eye): `sample_id`, `completion_index`, `prompt`,
`completion`, `tokens`, `truncated`, `logprob` and `sft_logprob` (nats, summed over the completion's tokens, at the
sampling temperature). Writes `references.parquet` if the task has references: `sample_id`, `reference_nll` (nats,
summed over tokens and references), `reference_tokens`, `reference_bytes`. The stop token counts as a token, not as a
byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rlbench.artifacts.call import Call
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.artifacts.files import write_jsonl
from rlbench.artifacts.tables import write_table
from rlbench.policies.causal_lm import Policy, load_policy
from rlbench.policies.device import resolve_device
from rlbench.policies.generation import generate
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.records import Sample
from rlbench.rollouts.collect import named_generator
from rlbench.tasks.task import load_task

VERSION = 1
MODEL = "model"
PROMPTS_AT_ONCE = 64
COMPLETION = ("sample_id", "completion_index", "prompt", "completion", "tokens", "truncated", "logprob", "sft_logprob")
REFERENCE = ("sample_id", "reference_nll", "reference_tokens", "reference_bytes")


def run(call: Call) -> Mapping[str, Any]:
    """Sample every prompt, some at a time; what was sampled before an interruption is kept."""
    config = call.config
    device = resolve_device(call.circumstances.device)
    policy, sft = (load_policy(call.input(role) / MODEL, device, **config["policy"]) for role in ("policy", "sft"))
    task = load_task(call.circumstances.task_paths[config["task"]], call.circumstances.data_dir)
    samples = task.samples(config["split"])[: config["prompts"]]
    done = Checkpoints(call.work, "chunk", keep=None)
    completions: list[dict[str, Any]] = []
    references: list[dict[str, Any]] = []
    for number, start in enumerate(range(0, len(samples), PROMPTS_AT_ONCE)):
        saved = done.load(number)
        if saved is None:
            part = samples[start : start + PROMPTS_AT_ONCE]
            rows = {"completions": _sample(policy, sft, part, config, number), "references": _references(policy, part)}
            done.save(number, {}, rows)
        else:
            rows = saved.state
        completions += rows["completions"]
        references += rows["references"]
    write_table(call.out / "completions.parquet", _columns(completions, COMPLETION))
    write_jsonl(call.out / "completions.jsonl", completions)
    if references:
        write_table(call.out / "references.parquet", _columns(references, REFERENCE))
    return {}


def _sample(
    policy: Policy, sft: Policy, samples: Sequence[Sample], config: Mapping[str, Any], number: int
) -> list[dict[str, Any]]:
    count, temperature = config["samples_per_prompt"], config["temperature"]
    prompts = [policy.encode_prompt(sample.prompt) for sample in samples]
    generator = named_generator(policy.device, config["seed"], config["task"], "evaluation", number)
    drawn = generate(policy, prompts, count, config["max_new_tokens"], temperature, generator)
    repeated = [prompt for prompt in prompts for _ in range(count)]
    tokens = [completion.tokens for completion in drawn]
    batch = token_batch(repeated, tokens, policy.pad_token_id, policy.device)
    own, reference = (_summed_logprobs(each, batch, temperature).tolist() for each in (policy, sft))
    return [
        {
            "sample_id": samples[row // count].sample_id,
            "completion_index": row % count,
            "prompt": samples[row // count].prompt,
            "completion": policy.decode(completion.tokens),
            "tokens": len(completion.tokens),
            "truncated": completion.truncated,
            "logprob": own[row],
            "sft_logprob": reference[row],
        }
        for row, completion in enumerate(drawn)
    ]


def _references(policy: Policy, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    pairs = [(sample, reference) for sample in samples for reference in sample.references]
    if not pairs:
        return []
    prompts = [policy.encode_prompt(sample.prompt) for sample, _ in pairs]
    tokens = [policy.encode_completion(sample.prompt, reference) for sample, reference in pairs]
    longest = max(len(prompt) + len(reference) for prompt, reference in zip(prompts, tokens, strict=True))
    policy.check_fit(longest, "the longest reference")
    batch = token_batch(prompts, tokens, policy.pad_token_id, policy.device)
    logprobs = _summed_logprobs(policy, batch, 1.0).tolist()
    rows: dict[str, dict[str, Any]] = {}
    for (sample, reference), ids, logprob in zip(pairs, tokens, logprobs, strict=True):
        row = rows.setdefault(
            sample.sample_id,
            {"sample_id": sample.sample_id, "reference_nll": 0.0, "reference_tokens": 0, "reference_bytes": 0},
        )
        row["reference_nll"] -= logprob
        row["reference_tokens"] += len(ids)
        row["reference_bytes"] += len(reference.encode())
    return list(rows.values())


@torch.no_grad()
def _summed_logprobs(policy: Policy, batch: TokenBatch, temperature: float) -> Tensor:
    parts = [
        (policy.logprobs(part.input_ids, part.attention_mask, part.columns, temperature) * part.mask).double().sum(-1)
        for part in batch.slices(PROMPTS_AT_ONCE)
    ]
    return torch.cat(parts)


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns in the order of `names`: rows that come back from a checkpoint have their keys in another order."""
    return {name: [row[name] for row in rows] for name in names}
