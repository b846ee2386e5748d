"""TRPO on the built-in arithmetic task, from the quickstart's own experiment file and its SFT policy."""

import json
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.shootout

QUICKSTART = Path(__file__).resolve().parents[2] / "reports" / "quickstart" / "experiment.yaml"
CHANGES = (
    "algorithms=[{name: trpo, max_kl: 0.003, cg_iterations: 5}]",
    "seeds=[0]",
    "budget.completions=1024",
    "training.dev_prompts=0",
    "evaluation.metrics=[correctness]",
    "comparison.replicates=1000",
)


def test_trpo_lifts_correctness_over_the_sft_policy(quickstart, cli, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(quickstart[0] / "prepare", run / "prepare")
    result = cli("run", QUICKSTART, "--out", run, *(part for each in CHANGES for part in ("--set", each)))
    assert result.code == 0, result.text
    assert "prepare  sft" not in result.err, "the SFT policy is the quickstart's"
    comparison = json.loads((run / "report" / "comparison.json").read_text())
    (row,) = [row for row in comparison["estimates"] if row["primary"]]
    assert (row["a"], row["b"], row["metric"]) == ("sft", "trpo", "correctness")
    assert row["low"] > 0, "the interval over the test prompts lies above SFT"
    assert row["p_value"] < 0.05
    (curve,) = run.glob("train/arithmetic.trpo.s0-*/metrics.jsonl")
    rows = [json.loads(line) for line in curve.read_text().splitlines()][:-1]
    assert len(rows) == 8
    assert all(0 < row["step_kl"] <= 0.003 for row in rows)
