"""Small arms in memory for the tests of the regression gate."""

import numpy as np
import pandas as pd

from rlbench.comparison.arms import Arm, TaskScores

PROMPTS = 12
MACHINE = {"machine": "x86_64", "device": "cpu", "torch": "2.13.0", "rlbench": "0.1.0"}


def ids(prompts=PROMPTS):
    return tuple(f"test-{place:05d}" for place in range(prompts))


def table(values, columns):
    return pd.DataFrame(
        {"sample_id": ids(len(values)), "completion_index": 0} | dict.fromkeys(columns, values) | {"reason": ""}
    )


def tables(level, prompts=PROMPTS, length=8.0):
    """Scores of one seed whose mean is `level`: prompts differ by the same amounts in every seed."""
    difficulty = np.linspace(-0.1, 0.1, prompts)
    return {
        "correctness": table(level + difficulty, ("correct", "correct_flexible", "marked")),
        "length": table(np.full(prompts, length), ("tokens", "truncated")),
    }


def scores(levels, *, task="sums", prompts=PROMPTS, lengths=None, **changes):
    content = {
        "task": task,
        "split": "test",
        "data": "d1",
        "graders": {"correctness": [1, {}], "length": [1, {}]},
        "metrics": ("correctness", "mean_length"),
        "primary": "correctness",
        "sample_ids": ids(prompts),
        "tables": {seed: tables(level, prompts, (lengths or {}).get(seed, 8.0)) for seed, level in levels.items()},
    }
    return TaskScores(**content | changes)


def usage(speed, memory=1e9):
    return {"generated_tokens": int(1e6 * speed), "completions": int(1e5 * speed), "seconds": 100.0,
            "peak_memory_bytes": int(memory)}  # fmt: skip


def arm(levels, name="grpo", *, speeds=None, seeds=None, tasks=None, **changes):
    """An arm whose seeds have these accuracies; `speeds` are relative, by seed. `seeds` are the declared ones."""
    tasks = {"sums": scores(levels)} if tasks is None else tasks
    finished = set(levels)
    declared = tuple(sorted(levels)) if seeds is None else tuple(seeds)
    runs = [
        {"task": task, "arm": name, "seed": seed, "status": "completed" if seed in finished else "diverged",
         "detail": "", "step": None}
        for task in tasks
        for seed in declared
    ]  # fmt: skip
    content = {
        "name": name,
        "kind": "algorithm",
        "seeds": declared,
        "tasks": tasks,
        "runs": tuple(runs),
        "usage": {(task, seed): usage(speed) for task in tasks for seed, speed in (speeds or {}).items()},
        "shared": {task: {"base": "b1", "sft": "s1", "prompt_order": "o1", "evaluation": "e1"} for task in tasks},
        "environment": MACHINE,
    }
    return Arm(**content | changes)


def levels(values, first=0):
    return dict(enumerate(values, first))
