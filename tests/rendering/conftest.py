"""Example comparisons and reports: complete, proxy and gold, completions only, failed seed, failed audit, hostile."""

import copy
import itertools
import math
import random
from dataclasses import replace

import pytest

from rlbench.records import Outcome
from rlbench.rendering.report import Report, RunRecord

TRUTH = {"sft": 0.662, "ppo": 0.874, "grpo": 0.931, "gspo": 0.927, "dpo": 0.791}
METRICS = [
    ("correctness", "fraction", True, True, "Share of completions with the right final answer."),
    ("truncated", "fraction", False, False, "Share of completions cut at the length limit."),
    ("perplexity", "", False, False, "Perplexity of the references."),
    ("kl_to_sft", "nats", None, False, "Sequence KL to the shared SFT policy."),
    ("mean_length", "tokens", None, False, "Mean completion length."),
]
BASE = {"correctness": 0.0, "truncated": 0.04, "perplexity": 3.2, "kl_to_sft": 1.4, "mean_length": 21.0}
NOISE = {"correctness": 0.008, "truncated": 0.004, "perplexity": 0.05, "kl_to_sft": 0.2, "mean_length": 1.1}


def _interval(values):
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None, None, None
    error = (sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5
    return mean, mean - 2.776 * error, mean + 2.776 * error, error


def _curve(rng, arm, steps=40):
    rows, goal = [], TRUTH[arm]
    for step in range(steps):
        done = (step + 1) / steps
        reward = 0.66 + (goal - 0.66) * (1 - 2.7 ** (-4 * done)) + rng.gauss(0, 0.012)
        rows.append(
            {
                "step": step,
                "completions": (step + 1) * 8192 / steps,
                "optimizer_steps": step + 1,
                "seconds": (step + 1) * {"ppo": 1.9, "dpo": 0.8}.get(arm, 1.3),
                "reward_mean": reward,
                "dev_reward": reward + 0.01 if step % 5 == 4 else None,
                "kl_nats": 1.6 * done * (1.4 if arm == "ppo" else 1) + rng.gauss(0, 0.02),
                "entropy": 1.2 - 0.6 * done,
                "clip_fraction": None if arm == "dpo" else 0.2 * (1 - done),
            }
        )
    return rows


def _usage(rng, arm):
    seconds = {"ppo": 76.0, "dpo": 32.0}.get(arm, 52.0) * rng.uniform(0.97, 1.03)
    phases = {
        "rollout": {"seconds": seconds * 0.55, "tokens": 170_000},
        "reward": {"seconds": seconds * 0.05, "tokens": 170_000},
        "logprob": {"seconds": seconds * 0.1, "tokens": 170_000},
        "update": {"seconds": seconds * 0.25, "tokens": 300_000},
        "dev": {"seconds": seconds * 0.05, "tokens": 20_000},
    }
    return {
        "prompts": 1024,
        "completions": 8192,
        "generated_tokens": 170_000 + rng.randrange(9000),
        "trained_tokens": 300_000,
        "reward_calls": 8192,
        "optimizer_steps": 160,
        "flops": 3.1e13,
        "seconds": seconds,
        "peak_memory_bytes": 734_003_200,
        "phases": phases,
    }


def make_comparison(arms=tuple(TRUTH), tasks=("arithmetic",), seeds=(0, 1, 2, 3, 4), skip=()):
    rng = random.Random(0)
    by_seed, scores, estimates = {}, [], []
    for task, arm, (metric, *_) in itertools.product(tasks, arms, METRICS):
        centre = TRUTH[arm] if metric == "correctness" else BASE[metric] * (1 + 0.2 * list(TRUTH).index(arm))
        kept = [s for s in seeds if (arm, task, s) not in skip]
        values = {s: centre + rng.gauss(0, NOISE[metric]) for s in kept}
        by_seed[arm, task, metric] = values
        mean, low, high, error = _interval(list(values.values()))
        row = {"value": mean, "low": low, "high": high, "standard_error": error, "df": len(kept) - 1}
        seeds_row = {"by_seed": list(values.values()), "by_seed_seeds": kept, "scored": 2000, "unscored": 3}
        scores.append({"arm": arm, "task": task, "metric": metric, **row, **seeds_row})
    for task, (metric, _, better, primary, _), (a, b) in itertools.product(
        tasks, METRICS, itertools.combinations(arms, 2)
    ):
        left, right = by_seed[a, task, metric], by_seed[b, task, metric]
        both = [right[s] - left[s] for s in right if s in left]
        mean, low, high, error = _interval(both)
        decided = low is not None and (low > 0 or high < 0)
        wide = None if error is None else 1.6 * 2.776 * error
        good = mean > 0 if better is not False else mean < 0
        p_value = None if error is None else min(1.0, 2.718 ** (-abs(mean) / error))
        estimates.append(
            {
                "a": a,
                "b": b,
                "task": task,
                "metric": metric,
                "primary": primary,
                "estimand": "recipe",
                "value": mean,
                "low": low,
                "high": high,
                "simultaneous_low": None if wide is None else mean - wide,
                "simultaneous_high": None if wide is None else mean + wide,
                "standard_error": error,
                "df": len(both) - 1,
                "p_value": p_value,
                "p_adjusted": None if p_value is None else min(1.0, p_value * 3),
                "by_seed": both,
                "seeds": len(both),
                "prompts": 500,
                "survivors_only": len(both) < len(seeds),
                "verdict": ("improved" if good else "worse") if decided else "not decided",
                "minimum_detectable_effect": None if error is None else 3.75 * error,
                "seeds_needed": None if decided else 9,
                **({"reason": "one seed has no spread"} if error is None else {}),
            }
        )
    trained = [arm for arm in arms if arm != "sft"]
    grid = list(itertools.product(trained, tasks, seeds))
    usage = {key: {k: v for k, v in _usage(rng, key[0]).items() if k not in ("seconds", "phases")} for key in grid}
    return {
        "schema_version": 1,
        "kind": "experiment",
        "name": "quickstart",
        "signature": "correctness|task:arithmetic@3f2a91c0|n:500|k:4|T:1.0|seeds:5|bs:10000|rs:0|v:0.1.0",
        "estimand": "recipe",
        "estimand_text": "this recipe on this benchmark",
        "confidence": 0.95,
        "replicates": 10000,
        "baseline": "sft",
        "seeds": list(seeds),
        "fingerprints": [
            {"task": t, "base": "3f2a", "sft": "91c0", "prompt_order": "77aa", "evaluation": "0b0b", "match": True}
            for t in tasks
        ],
        "arms": [{"name": a, "kind": "shared" if a == "sft" else "algorithm"} for a in arms],
        "metrics": [
            {
                "task": t,
                "name": name,
                "unit": unit,
                "higher_is_better": better,
                "primary": primary,
                "description": text,
                "signature": f"{name}|task:{t}@3f2a91c0|n:500|k:4|v:0.1.0",
            }
            for t in tasks
            for name, unit, better, primary, text in METRICS
        ],
        "scores": scores,
        "estimates": estimates,
        "slices": [],
        "budget": {
            "currency": "completions",
            "planned": 8192,
            "tolerance": 0.01,
            "passed": True,
            "failures": [],
            "runs": [
                {"arm": a, "task": t, "seed": s, "planned": 8192, **usage[a, t, s], "passed": True} for a, t, s in grid
            ],
        },
        "runs": [
            {"arm": a, "task": t, "seed": s, "status": "completed", "detail": "", "step": None} for a, t, s in grid
        ],
        "findings": [
            {
                "name": "kl_explosion",
                "severity": "serious",
                "arm": "grpo",
                "task": tasks[0],
                "seeds": [1, 3],
                "step": 12,
                "text": "KL to the SFT policy grew from 0.2 to 61 nats per completion.",
            },
            {
                "name": "clip_fraction_stuck",
                "severity": "warning",
                "arm": "ppo",
                "task": tasks[0],
                "seeds": list(seeds),
                "step": None,
                "text": "The clip held back 93 % of all that it can clip.",
            },
            {
                "name": "unscored",
                "severity": "info",
                "arm": None,
                "task": None,
                "seeds": [],
                "step": None,
                "text": "5 seeds cannot give a sign-flip p below .0625.",
            },
        ],
    }


def make_report(comparison):
    rng = random.Random(1)
    runs = []
    for run in comparison["runs"]:
        done = run["status"] == "completed"
        outcome = Outcome(run["status"], run["detail"], run["step"])
        arm = run["arm"] if run["arm"] in TRUTH else "grpo"
        curve = _curve(rng, arm)[: 40 if done else 12]
        runs.append(RunRecord(run["arm"], run["task"], run["seed"], outcome, curve, _usage(rng, arm) if done else {}))
    axes = {"advantage": "group mean, std", "kl": "k3 in the loss, beta 0.04", "clip_low": 0.2, "clip_high": 0.2}
    return Report(
        comparison=comparison,
        runs=runs,
        definitions={a["name"]: axes for a in comparison["arms"] if a["kind"] == "algorithm"},
        environment={"python": "3.11.9", "torch": "2.6.0", "cpu": "AMD EPYC 7B13", "threads": "2"},
        reproduce="rlbench run reports/quickstart/experiment.yaml \\\n  --out runs/quickstart",
        downloads={"comparison (JSON)": "comparison.json", "scores (CSV)": "scores.csv"},
    )


def add_rewards(comparison, ensemble=3, falling=("ppo",)):
    """The keys of an experiment that trains on a proxy; gold falls as n grows for the arms in `falling`."""
    tasks, names = [row["task"] for row in comparison["fingerprints"]], [arm["name"] for arm in comparison["arms"]]
    best = []
    for task, (place, arm), n in itertools.product(tasks, enumerate(names), (8, 1, 2, 3, 4, 5, 6, 7)):
        octaves = math.log2(n)
        gold = 0.5 + 0.05 * place + octaves * (0.06 + 0.004 * place if arm not in falling else 0.06 * (1.5 - octaves))
        proxy = 0.2 + 0.1 * place + 0.4 * octaves
        best.append(
            {"task": task, "arm": arm, "n": n, "kl_nats": math.log(n) - (n - 1) / n, "prompts": 500}
            | {"proxy": proxy, "proxy_low": proxy - 0.05, "proxy_high": proxy + 0.05}
            | {"gold": gold, "gold_low": gold - 0.02, "gold_high": gold + 0.02}
        )
    share = {"low": 0.66, "high": 0.76, "count": 500, "effective": 410.0}
    bins = [
        {
            "predicted": 0.525 + 0.05 * place,
            "observed": seen,
            "low": seen - 0.1,
            "high": min(1.0, seen + 0.1),
            "count": 9,
        }
        for place, seen in enumerate((0.51, 0.6, 0.64, 0.7, 0.69, 0.8, 0.86, 0.85, 0.93, 0.97))
    ]
    comparison.update(
        rewards=[{"task": task, "proxy": "reward_model.reward", "gold": "composite.total"} for task in tasks],
        best_of_n=best,
        reward_models=[
            {"task": task, "labels": "gold", "pairs": 2000, "held_out": 500, "noise": 0.1, "accuracy": 0.712, **share}
            | {"members": [{"value": 0.68 + 0.01 * i, **share} for i in range(ensemble)], "calibration": bins}
            for task in tasks
        ],
        excluded=[
            {"task": task, "reason": reason, "prompts": prompts}
            for task in tasks
            for reason, prompts in (("a program that answers None passes", 5), ("the reference fails", 7))
        ],
    )
    return comparison


def add_gold(report):
    """Curves in which gold was measured beside the reward; it falls as the reward rises."""
    runs = [
        replace(
            run,
            curve=[
                row | {"gold_mean": _falling(row["reward_mean"]), "dev_gold": _falling(row["dev_reward"])}
                for row in run.curve
            ],
        )
        for run in report.runs
    ]
    return replace(report, runs=runs)


def _falling(value):
    return None if value is None else 1 - value


@pytest.fixture
def comparison():
    return make_comparison()


@pytest.fixture
def report(comparison):
    return make_report(comparison)


@pytest.fixture
def proxied():
    """A report on a task that was trained on a proxy."""
    return add_gold(make_report(add_rewards(make_comparison())))


@pytest.fixture
def failed_seed():
    comparison = make_comparison(skip={("dpo", "arithmetic", 2)})
    run = next(r for r in comparison["runs"] if r["arm"] == "dpo" and r["seed"] == 2)
    run.update(status="diverged", detail="loss is nan", step=31)
    return make_report(comparison)


@pytest.fixture
def failed_audit():
    comparison = make_comparison(tasks=("arithmetic", "sorting"))
    failure = "dpo seed 2: spent 100 of 8192 completions (-98.8 %)"
    comparison["budget"].update(passed=False, failures=[failure])
    row = next(r for r in comparison["budget"]["runs"] if r["arm"] == "dpo" and r["seed"] == 2)
    row.update(completions=100, passed=False)
    return make_report(comparison)


@pytest.fixture
def completions_only():
    comparison = make_comparison(arms=("sft", "grpo"))
    comparison.update(
        kind="completions",
        estimand="checkpoints",
        estimand_text="these checkpoints",
        name="compare",
        budget=None,
        runs=[],
        fingerprints=[],
        seeds=None,
        findings=[],
        arms=[{"name": "sft", "kind": "completions"}, {"name": "grpo", "kind": "completions"}],
    )
    for row in comparison["scores"]:
        row.update(by_seed=[], by_seed_seeds=[], df=None)
    for row in comparison["estimates"]:
        row.update(by_seed=[], seeds=None, df=None, seeds_needed=None, estimand="checkpoints")
    return Report(comparison)


@pytest.fixture
def hostile(comparison):
    evil = "<script>alert('x')</script>\"$\\frac{&\u202e|](javascript:1)\x1b[31m"
    text = add_rewards(copy.deepcopy(comparison))
    text["rewards"][0].update(proxy=evil, gold=evil)
    text["reward_models"][0]["labels"] = evil
    text["excluded"][0]["reason"] = evil
    for rows, key in ((text["arms"], "name"), *((text[name], "arm") for name in ("scores", "runs", "best_of_n"))):
        for row in rows:
            row[key] = evil if row[key] == "dpo" else row[key]
    for row in text["estimates"]:
        row.update({k: evil for k in ("a", "b") if row[k] == "dpo"})
    for row in text["budget"]["runs"]:
        row["arm"] = evil if row["arm"] == "dpo" else row["arm"]
    text["findings"] += [
        {"severity": evil, "text": evil},
        {"name": evil, "severity": "serious", "arm": evil, "task": evil, "seeds": [2], "step": 1, "text": evil},
    ]
    text["runs"][0].update(status="failed", detail=evil + "\u2028</script>")
    report = add_gold(make_report(text))
    return Report(
        text, report.runs, {**report.definitions, evil: {evil: evil}}, {evil: evil}, evil, {evil: "javascript:alert(1)"}
    )
