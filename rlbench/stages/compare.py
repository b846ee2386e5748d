"""Compares arms and writes comparison.json, the product of rlbench. Its schema is docs/comparison.md.

It holds no seconds, memory, dates or paths, so that it is the same, byte for byte, however often a run was resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.artifacts.call import Call
from rlbench.artifacts.files import read_json, read_jsonl, write_json
from rlbench.artifacts.run_folder import OUTCOME
from rlbench.artifacts.sealing import MANIFEST, SCHEMA_VERSION
from rlbench.artifacts.tables import read_table
from rlbench.records import Metric
from rlbench.registry import load
from rlbench.stages.best_of_n import best_of_n_rows
from rlbench.stages.budget import audit
from rlbench.stages.estimates import Design, TaskComparison, adjust
from rlbench.stages.findings import by_severity, finding, findings, gamed
from rlbench.stages.preparation import excluded, reward_models
from rlbench.stages.rewards import GOLD, REWARD
from rlbench.stages.samples import read_samples
from rlbench.stages.slices import slice_rows, slices_of
from rlbench.stages.trained_run import TrainedRun
from rlbench.statistics import Estimand
from rlbench.statistics.informative import FEW_PROMPTS
from rlbench.tasks.task import load_task

VERSION = 4
Part = tuple[Design, TaskComparison]
ESTIMANDS = {
    "recipe": "this recipe on this benchmark",
    "checkpoints": "these checkpoints",
    "population": "this recipe on prompts like these",
}


def run(call: Call) -> Mapping[str, Any]:
    """Compare all arms of an experiment over the runs that completed."""
    config = call.config
    estimand: Estimand = "recipe" if len(config["seeds"]) > 1 else "checkpoints"
    parts, samples, best = list[Part](), list[pd.DataFrame | None](), list[dict[str, Any]]()
    for task, plan in config["tasks"].items():
        metrics: list[Metric] = [load("metrics", name) for name in plan["metrics"]]
        design = Design(
            task,
            estimand,
            config["confidence"],
            config["replicates"],
            metrics,
            plan["primary"],
            config["margin"],
            plan["graders"],
        )
        loaded = load_task(call.circumstances.task_paths[task], call.circumstances.data_dir)
        sample_ids = [sample.sample_id for sample in loaded.samples(plan["split"])[: plan["prompts"]]]
        tables = {
            arm: _tables(metrics, {int(seed): folder for seed, folder in call.inputs(f"score/{task}/{arm}").items()})
            for arm in config["arms"]
        }
        parts.append((design, TaskComparison(design, tables, sample_ids)))
        scored = next(iter(call.inputs(f"score/{task}/{next(iter(config['arms']))}").values()), None)
        samples.append(read_samples(scored) if scored else None)
        best += best_of_n_rows(task, tables, sample_ids, estimand, config["confidence"], config["replicates"])
    usages = [
        ({"arm": run["arm"], "task": run["task"], "seed": run["seed"]}, read_json(_train(call, run) / "usage.json"))
        for run in config["runs"]
        if run["status"] == "completed"
    ]
    common = document(config["name"], parts, config["signature"], samples)
    comparison = common | {
        "kind": "experiment",
        "seeds": config["seeds"],
        "margin": config["margin"],
        "baseline": config["arms"][0],
        "arms": [{"name": arm, "kind": "shared" if arm == "sft" else "algorithm"} for arm in config["arms"]],
        "fingerprints": [_fingerprints(call, task) for task in config["tasks"]],
        "budget": audit(config["currency"], config["budget"], usages),
        "rewards": [{"task": task, **_named_roles(plan["roles"])} for task, plan in config["tasks"].items()],
        "best_of_n": best,
        "reward_models": reward_models(call),
        "excluded": excluded(call),
        "runs": config["runs"],
        "findings": by_severity([*_findings(call, common), *weakly_judged(parts), *few_prompts(parts)]),
    }
    write_json(call.out / "comparison.json", comparison)
    return {}


def _named_roles(roles: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """Grader and column of the proxy and of the gold reward; null where training and measuring use the same."""
    names = {role: f"{entry['grader']}.{entry['column']}" for role, entry in roles.items()}
    return {"proxy": names.get(REWARD), "gold": names.get(GOLD)}


def document(
    name: str, parts: Sequence[Part], signature: str, samples: Sequence[pd.DataFrame | None]
) -> dict[str, Any]:
    """What every comparison holds: metrics, scores, estimates and slices of all tasks, adjusted together.

    `samples` says for every part what is known of its prompts (see `stages/samples.py`), or None.
    """
    differences = [row for _, comparison in parts for row in comparison.differences()]
    design = parts[0][0]
    families = {
        primary: iter(adjust([row for row in differences if row["primary"] == primary], design, primary))
        for primary in (True, False)
    }
    sums = [row for _, comparison in parts for row in comparison.prompt_sums()]
    signature += f"|bs:{design.replicates}|rs:0|v:{version('rlbench')}"
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "signature": signature,
        "estimand": design.estimand,
        "estimand_text": ESTIMANDS[design.estimand],
        "confidence": design.confidence,
        "replicates": design.replicates,
        "metrics": [
            {
                "task": part.task,
                "name": metric.name,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
                "primary": metric.name == part.primary,
                "description": metric.description,
                "signature": f"{comparison.signature(metric)}|{signature}",
            }
            for part, comparison in parts
            for metric in part.metrics
        ],
        "scores": [row for _, comparison in parts for row in comparison.scores()],
        "estimates": [next(families[row["primary"]]) for row in differences],
        "slices": slice_rows([(part, slices_of(known, part)) for (_, part), known in zip(parts, samples, strict=True)]),
    } | ({"prompt_sums": sums} if sums else {})


def _tables(metrics: Sequence[Metric], folders: Mapping[int, Path]) -> dict[int, dict[str, pd.DataFrame]]:
    graders = sorted({metric.grader for metric in metrics})
    return {
        seed: {grader: read_table(folder / "scores" / f"{grader}.parquet") for grader in graders}
        for seed, folder in folders.items()
    }


def _train(call: Call, run: Mapping[str, Any]) -> Path:
    return call.input(f"train/{run['task']}/{run['arm']}/{run['seed']}")


def _fingerprints(call: Call, task: str) -> dict[str, Any]:
    """What the runs of a task were made from, read from what each run itself recorded."""
    expected = call.config["tasks"][task]["shared"]
    manifests = [
        read_json(_train(call, run) / MANIFEST)
        for run in call.config["runs"]
        if run["task"] == task and run["status"] != "failed"
    ]
    match = all(
        manifest["config"]["shared"] == expected
        and manifest["inputs"]["sft"]["fingerprint"] == expected["sft"]
        and manifest["inputs"]["prompts"]["fingerprint"] == expected["prompt_order"]
        for manifest in manifests
    )
    return {"task": task, **expected, "match": match}


def _findings(call: Call, comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What training showed, what the experiment's options gave to suspect, and what could not be scored."""
    runs = _trained_runs(call, comparison["scores"])
    suspicious = [
        finding("suspicious_option", "warning", warning["text"], warning["arm"])
        for warning in call.config.get("warnings", ())
    ]
    shared = call.config["shared_pairs"]
    seen = [*findings(runs, shared), *gamed(runs, comparison["estimates"], call.config["arms"][0])]
    return by_severity([*seen, *suspicious, *unscored(comparison["scores"])])


def _trained_runs(call: Call, scores: Sequence[Mapping[str, Any]]) -> list[TrainedRun]:
    """The runs that have a record of their training, arm by arm."""
    distances = {
        (row["arm"], row["task"], seed): value
        for row in scores
        if row["metric"] == "kl_to_sft"
        for seed, value in zip(row["by_seed_seeds"], row["by_seed"], strict=True)
    }
    order = call.config["arms"]
    runs = []
    for run in sorted(call.config["runs"], key=lambda run: order.index(run["arm"])):
        if run["status"] == "failed":
            continue
        folder = _train(call, run)
        outcome = read_json(folder / OUTCOME)
        runs.append(
            TrainedRun(
                run["arm"],
                run["task"],
                run["seed"],
                read_jsonl(folder / "metrics.jsonl"),
                read_json(folder / MANIFEST)["config"]["options"],
                run["status"],
                run["detail"],
                run["step"],
                outcome["chat_template"],
                outcome["rollouts_digest"],
                distances.get((run["arm"], run["task"], run["seed"])),
            )
        )
    return runs


def unscored(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A finding for every arm and metric with completions that could not be scored."""
    return [
        finding(
            "unscored",
            "info",
            f"{row['metric']}: {row['unscored']} of {row['scored'] + row['unscored']} completions could not be scored "
            "and are left out.",
            row["arm"],
            row["task"],
            row["by_seed_seeds"],
        )
        for row in scores
        if row["unscored"]
    ]


def few_prompts(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """A finding for every pair whose interval over prompts rests on few prompts: it is too narrow."""
    return [
        finding(
            "few_prompts_differ",
            "warning",
            f"{pair.a} and {pair.b} differ on {count} of {comparison.prompts} prompts in {design.primary}: an interval "
            f"over prompts that rests on fewer than {FEW_PROMPTS} is too narrow. Evaluate more or harder prompts.",
            pair.b,
            design.task,
        )
        for design, comparison in parts
        if design.estimand != "recipe"
        for pair, count in comparison.differing_prompts()
        if 0 < count < FEW_PROMPTS
    ]


def weakly_judged(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """A finding for every arm whose programs were judged in their own process."""
    return [
        finding(
            "weakly_judged",
            "warning",
            f"{each.grader}: {each.count} of {each.completions} completions were judged weakly: their tests ran in the "
            "program's own process, where a program can forge its verdict. Read what passed before you rely on it.",
            each.arm,
            design.task,
            each.seeds,
        )
        for design, comparison in parts
        for each in comparison.weak
    ]
