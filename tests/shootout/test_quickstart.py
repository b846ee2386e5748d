"""The published shoot-outs through the command line, as a user runs them."""

import os
from pathlib import Path

import pandas as pd
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ONLINE = {"ppo", "grpo", "gspo"}
ALL = ONLINE | {"dpo"}


def against_sft(comparison, metric):
    rows = [row for row in comparison["estimates"] if row["a"] == "sft" and row["metric"] == metric]
    return {row["b"]: row for row in rows}


@pytest.mark.shootout
def test_every_algorithm_beats_the_sft_policy_on_test_correctness(quickstart):
    _, comparison = quickstart
    rows = against_sft(comparison, "correctness")
    assert set(rows) == ALL
    for arm, row in rows.items():
        assert row["seeds"] == 5
        assert row["p_adjusted"] < 0.05, arm
        assert row["simultaneous_low"] > 0, arm
    for arm in ONLINE:
        assert rows[arm]["value"] >= 0.15, arm


@pytest.mark.shootout
def test_the_difference_is_the_one_that_pandas_finds_in_the_scores(quickstart):
    out, comparison = quickstart
    means = {}
    for arm in ("sft", "grpo"):
        by_seed = []
        for seed in range(5):
            (file,) = out.glob(f"score/arithmetic.{arm}.s{seed}-*/scores/correctness.parquet")
            by_seed.append(pd.read_parquet(file)["correct"].mean())
        means[arm] = sum(by_seed) / 5
    assert against_sft(comparison, "correctness")["grpo"]["value"] == pytest.approx(means["grpo"] - means["sft"])


@pytest.mark.shootout
def test_runs_are_matched_and_every_currency_is_reported(quickstart):
    out, comparison = quickstart
    assert [row["match"] for row in comparison["fingerprints"]] == [True]
    assert comparison["budget"]["passed"]
    assert {run["completions"] for run in comparison["budget"]["runs"]} == {8192}
    assert {run["prompts"] for run in comparison["budget"]["runs"]} == {1024}
    page = (out / "report" / "index.html").read_text()
    for words in ("generated tokens", "trained tokens", "reward calls", "optimizer steps", "FLOPs"):
        assert words.lower() in page.lower(), words


@pytest.mark.shootout
def test_a_real_pretrained_model_learns_the_rule(shoot, tmp_path):
    data = Path(os.environ.get("RLBENCH_DATA_DIR", CHECKOUT.parent / "shared" / "data"))
    if not (data / "stories260k-hf").is_dir():
        pytest.skip(f"no stories260k-hf in {data}; set RLBENCH_DATA_DIR to a folder that has it")
    smaller = ("seeds=[0, 1, 2]", "budget.completions=512", "evaluation.prompts=64", "training.dev_prompts=0")
    options = ["--data-dir", str(data), *(part for each in smaller for part in ("--set", each))]
    comparison = shoot("reports/stories/experiment.yaml", tmp_path / "run", *options)
    untouched = [row for row in comparison["scores"] if row["arm"] == "sft" and row["metric"] == "matched"]
    assert 0.10 <= untouched[0]["value"] <= 0.50
    rows = against_sft(comparison, "matched")
    assert sum(row["low"] > 0 for row in rows.values()) >= 3, rows
