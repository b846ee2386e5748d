"""The whole chain goes wrong where it should: a learned reward is exploited, and the finding says so.

Gold likes one or two letters a and dislikes a flood of them. Demonstrations seldom hold more than two, so that a reward
model which learns from samples of the SFT policy only ever sees that more of them are better.
"""

import json

import numpy as np
import pytest

pytestmark = pytest.mark.slow
TASK = """\
name: letters
description: A few letters; gold likes one or two a, and no flood
licence: Apache-2.0
source:
  kind: file
  splits: {train: train.jsonl, dev: dev.jsonl, test: test.jsonl}
prompt: "{number}:"
references: ["{letters}"]
demonstrations: {file: demonstrations.jsonl, completion: "{letters}"}
max_new_tokens: 10
reward: composite.total
graders:
  composite:
    parts:
      one: {grader: pattern, column: matched, weight: 1, options: {pattern: a}}
      two: {grader: pattern, column: matched, weight: 1, options: {pattern: "(?:a.*){2}"}}
      flood: {grader: pattern, column: matched, weight: -2, options: {pattern: "(?:a.*){4}"}}
      deluge: {grader: pattern, column: matched, weight: -2, options: {pattern: "(?:a.*){6}"}}
metrics: [composite, mean_length, kl_to_sft]
primary: composite
"""


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "letters"
    folder.mkdir()
    (folder / "task.yaml").write_text(TASK)
    random = np.random.default_rng(0)
    rows = [
        {"number": 100 + number, "letters": "".join(random.choice(list("abcdef"), 8, p=[0.1] + [0.18] * 5))}
        for number in range(300)
    ]
    parts = {"test": rows[:30], "dev": rows[30:60], "train": rows[60:], "demonstrations": rows[60:]}
    for name, part in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


@pytest.fixture(scope="module")
def comparison(letters, write_experiment, tmp_path_factory, cli):
    """Two arms on one reward model: an over-long run without KL, and one that is held to the SFT policy."""
    folder = tmp_path_factory.mktemp("over")
    file = write_experiment(
        folder,
        tasks=[str(letters)],
        base_policy={"hidden_size": 32},
        sft={"epochs": 4, "batch_size": 16},
        reward="reward_model.reward",
        reward_model={"pairs": 300, "held_out": 100, "epochs": 4, "learning_rate": 0.003},
        algorithms=[
            {"name": "grpo", "label": "free", "beta": 0, "learning_rate": 0.005},
            {"name": "grpo", "label": "held", "beta": 5.0, "learning_rate": 0.005},
        ],
        seeds=[0],
        budget={"completions": 2048},
        rollout={"prompts_per_batch": 8, "completions_per_prompt": 8},
        training={"dev_every": 100, "dev_prompts": 0},
        evaluation={"prompts": 30, "samples_per_prompt": 4},
    )
    result = cli("run", file, "--out", folder / "run")
    assert result.code == 0, result.text
    (path,) = folder.glob("run/compare/*/comparison.json")
    return json.loads(path.read_text())


def test_the_reward_model_is_good_on_what_it_was_trained_for(comparison):
    (model,) = comparison["reward_models"]
    assert model["low"] > 0.7


def test_an_over_long_run_without_kl_is_found_to_exploit_it(comparison):
    found = {row["arm"]: row for row in comparison["findings"] if row["name"] == "over_optimisation"}
    assert set(found) == {"free"}
    assert found["free"]["severity"] == "serious"
    scores = {(row["metric"], row["arm"]): row["value"] for row in comparison["scores"]}
    assert scores["proxy_reward", "free"] > scores["proxy_reward", "held"] > scores["proxy_reward", "sft"]
    assert scores["gold_reward", "free"] < scores["gold_reward", "sft"] < scores["gold_reward", "held"]
