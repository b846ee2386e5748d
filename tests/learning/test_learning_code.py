"""GRPO on the built-in code task with unit tests as its reward, from the task's own experiment file."""

import json
from pathlib import Path

import pytest
import torch

from rlbench.policies.tiny import build_tiny
from rlbench.tasks.task import load_task

pytestmark = pytest.mark.slow

EXPERIMENT = Path(__file__).resolve().parents[2] / "reports" / "code" / "experiment.yaml"
TRAIN = 64
CHANGES = (
    "sft.epochs=5",
    "sft.batch_size=32",
    "seeds=[0]",
    "algorithms=[{name: grpo, learning_rate: 0.0005, epochs: 4}]",
    "budget.completions=2048",
    "evaluation.prompts=120",
    "evaluation.metrics=[pass@1]",
    "comparison.replicates=1000",
)


@pytest.fixture
def numbers(tmp_path):
    """The task with functions of a number only and fewer prompts, for time; dev joins test to have enough."""
    original = load_task("code").folder
    folder = tmp_path / "code"
    folder.mkdir()
    texts = {path.name: path.read_text() for path in original.glob("*.jsonl")}
    texts["test.jsonl"] += texts.pop("dev.jsonl")
    for name, text in texts.items():
        lines = [line for line in text.splitlines(True) if json.loads(line)["spec"].startswith("solve(x)")]
        (folder / name).write_text("".join(lines[:TRAIN] if name == "train.jsonl" else lines))
    definition = (original / "task.yaml").read_text()
    (folder / "task.yaml").write_text(definition.replace("dev: dev.jsonl, ", ""))
    return folder


@pytest.fixture
def quick(tmp_path, numbers):
    """An untrained policy with larger weights than `builder: tiny` has: it learns to copy in a third of the steps."""
    texts = [prompt + completion for prompt, completion in load_task(str(numbers)).demonstrations()]
    policy = build_tiny(texts, hidden_size=64, layers=2, heads=4, max_positions=110, seed=0)
    with torch.no_grad():
        for weights in policy.model.parameters():
            if weights.ndim == 2:
                weights *= 5
    policy.save(tmp_path / "base")
    return tmp_path / "base"


def test_grpo_raises_pass_at_1_and_judging_is_a_small_part_of_it(tmp_path, cli, numbers, quick):
    changes = [*CHANGES, f"tasks=[{numbers}]", f"base_policy={{path: {quick}}}"]
    result = cli("run", EXPERIMENT, "--out", tmp_path / "run", *(part for each in changes for part in ("--set", each)))
    assert result.code == 0, result.text
    comparison = json.loads((tmp_path / "run" / "report" / "comparison.json").read_text())
    (row,) = [row for row in comparison["estimates"] if row["primary"]]
    assert (row["a"], row["b"], row["metric"]) == ("sft", "grpo", "pass@1")
    assert row["low"] > 0, "the interval over the test prompts lies above SFT"
    assert row["p_value"] < 0.05
    (usage,) = (tmp_path / "run").glob("train/code.grpo.s0-*/usage.json")
    spent = json.loads(usage.read_text())
    assert spent["reward_calls"] == 2048
    # 24 % at most in reports/code; here neighbouring tests take cores away from the judge more than from the trainer.
    assert 0 < spent["phases"]["reward"]["seconds"] < 0.5 * spent["seconds"]
