"""Reward and gold reward of an experiment: what trains, what is only measured, and reward models trained in between."""

import json
import math

import pytest

from rlbench.artifacts.run_folder import RunFolder
from rlbench.errors import InputError
from rlbench.experiment import Plan, Run
from rlbench.graders.roles import as_measure, as_reward
from rlbench.policies.reward_model import build_reward_model
from rlbench.policies.tiny import build_tiny
from rlbench.records import Candidate, Grader, Sample, Scored, Unscored
from rlbench.spec import read_experiment

LEARNED = {"reward": "reward_model.reward", "reward_model": {"pairs": 24, "held_out": 12, "ensemble": 2, "epochs": 1}}
GRPO0 = Run("digits", "grpo", 0)


@pytest.fixture
def plan(write_experiment, tmp_path):
    def make(**keys):
        spec, document = read_experiment(write_experiment(tmp_path, **keys))
        return Plan(spec, RunFolder(tmp_path / "run"), None, document=document)

    return make


def prepared(plan):
    return [part.name for part in plan.training() if part.stage == "prepare"]


def metrics(plan):
    return [metric.name for metric in plan.resolved.metrics(plan.tasks["digits"])]


def test_a_reward_that_is_the_gold_reward_has_no_roles(plan):
    made = plan()
    assert made.resolved.roles(made.tasks["digits"]) == {}
    assert made.train(GRPO0).config["gold"] is None
    assert not {"gold_reward", "proxy_reward"} & set(metrics(made))


def test_another_reward_leaves_the_tasks_own_as_gold(plan):
    made = plan(reward="correctness.correct")
    assert made.train(GRPO0).config["reward"]["grader"] == "correctness"
    assert made.train(GRPO0).config["gold"]["grader"] == "pattern"
    assert metrics(made)[-2:] == ["gold_reward", "proxy_reward"]
    assert set(made.score(GRPO0).config["graders"]) >= {"gold", "reward"}


def test_the_same_grader_can_be_proxy_and_gold_with_other_options(plan):
    made = plan(reward={"grader": "pattern", "column": "matched", "options": {"pattern": "A"}})
    graders = made.score(GRPO0).config["graders"]
    assert graders["reward"]["options"]["pattern"] == "A"
    assert graders["gold"]["options"]["pattern"] == "[02468]"
    assert graders["pattern"]["pattern"] == "[02468]", "a metric means what the task says"


def test_a_reward_model_is_trained_from_pairs_and_shared_by_all_arms(plan):
    made = plan(**LEARNED)
    assert prepared(made) == ["base", "sft.digits", "pairs.digits", "reward_model.digits", "prompts.digits"]
    trained = {made.train(run).inputs["reward_model"].fingerprint for run in made.runs()}
    assert trained == {made.score(Run("digits", "sft", 0)).inputs["reward_model"].fingerprint}
    assert made.shared(made.tasks["digits"])["reward_model"] in trained


def test_the_noise_of_labels_reaches_the_reward_model_and_not_the_sft_policy(plan):
    clean, noisy = plan(**LEARNED), plan(**LEARNED | {"reward_model": LEARNED["reward_model"] | {"noise": 0.2}})
    assert clean.parts.sft(clean.tasks["digits"]).fingerprint == noisy.parts.sft(noisy.tasks["digits"]).fingerprint
    assert clean.train(GRPO0).fingerprint != noisy.train(GRPO0).fingerprint


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"reward_model": {"pairs": 10}}, r"the reward of task 'digits' is pattern.matched"),
        (LEARNED | {"reward_model": {"labels": "preferences"}}, r"task 'digits' has no preference pairs"),
        (LEARNED | {"gold": "reward_model.reward"}, r"no gold reward beside the reward model"),
        ({"gold": "reward_model.reward"}, r"cannot be the gold reward"),
        (
            LEARNED | {"reward_model": {"ensemble": 1}, "reward": "reward_model.spread"},
            r"spread is the disagreement of",
        ),
        (
            LEARNED | {"reward": {"grader": "reward_model", "column": "reward", "options": {"label": 1}}},
            r"leave its option label out",
        ),
        ({"evaluation": {"metrics": ["matched", "gold_reward"]}}, r"'gold_reward' is for experiments whose reward is"),
        ({"reward": "rouge"}, r"expected grader.column, such as rouge.rougeL, got 'rouge'"),
        ({"gold": "rouge.rougeX"}, r"column of grader 'rouge' 'rougeX' does not exist"),
        ({"reward_model": {"noise": 0.5}}, r"less than 0.5"),
        (
            {"reward": {"grader": "reward_model", "column": "reward", "options": {"paths": ["no"]}}},
            r"folder no does not",
        ),
    ],
)
def test_mistakes_name_the_file_and_nothing_is_made(plan, tmp_path, keys, message):
    with pytest.raises(InputError, match=message) as caught:
        plan(**keys)
    assert str(caught.value).startswith(f"{tmp_path / 'experiment.yaml'}:")
    assert not (tmp_path / "run").exists()


def shaped(**model):
    """A composition of a reward model with a price on words."""
    learned = {"grader": "reward_model", "column": "reward", "weight": 1.0, "options": model}
    words = {"grader": "length", "column": "words", "weight": -0.5}
    return {"grader": "composite", "column": "total", "options": {"parts": {"learned": learned, "words": words}}}


def test_a_reward_model_that_is_trained_here_can_be_a_part_of_the_reward(plan):
    made = plan(**LEARNED | {"reward": shaped()})
    assert "reward_model.digits" in prepared(made)
    assert "reward_model" in made.train(GRPO0).inputs


@pytest.fixture
def classifier(tmp_path):
    policy = build_tiny(["A: 0123456789+="], hidden_size=16, layers=1, heads=2, max_positions=40, seed=0)
    build_reward_model(policy, 0).save(tmp_path / "model")
    policy.save(tmp_path / "language")
    return tmp_path / "model"


@pytest.mark.parametrize("inside", [False, True])
def test_what_a_given_reward_model_holds_is_part_of_the_fingerprint(plan, classifier, inside):
    options = {"paths": [str(classifier)]}
    reward = shaped(**options) if inside else {"grader": "reward_model", "column": "reward", "options": options}
    before = plan(reward=reward).train(GRPO0).fingerprint
    assert plan(reward=reward).train(GRPO0).fingerprint == before
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps(config | {"reward_offset": 1.5}))
    assert plan(reward=reward).train(GRPO0).fingerprint != before


def test_a_language_model_in_the_place_of_a_reward_model_is_refused_at_once(plan, classifier):
    options = {"paths": [str(classifier.parent / "language")]}
    with pytest.raises(InputError, match=r"holds a LlamaForCausalLM; expected a sequence classifier"):
        plan(reward={"grader": "reward_model", "column": "reward", "options": options})


def test_a_gold_reward_may_be_missing_where_the_reward_may_not():
    judge = Grader("odd", 1, ("value",), lambda ones: [Unscored("no"), Scored({"value": 2.0})], "")
    candidates = [Candidate(Sample("a", "x"), "y")] * 2
    missing, known = as_measure(judge, "value")(candidates).values
    assert (math.isnan(missing), known) == (True, 2.0)
    with pytest.raises(InputError, match=r"a reward must give every completion a value"):
        as_reward(judge, "value")(candidates)


def test_each_of_two_rewards_of_one_grader_says_which_prompts_it_admits(plan):
    def tests(seconds):
        part = {"grader": "unit_tests", "column": "passed", "weight": 1.0, "options": {"cpu_seconds": seconds}}
        return {"grader": "composite", "column": "total", "options": {"parts": {"tests": part}}}

    made = plan(tasks=["code"], reward=tests(1.0), gold=tests(3.0), evaluation={"metrics": ["mean_length"]})
    rewards = made.parts.prompts(made.tasks["code"]).config["rewards"]
    assert [each["options"]["parts"]["tests"]["options"]["cpu_seconds"] for each in rewards] == [1.0, 3.0]


@pytest.mark.slow
def test_the_whole_chain_measures_gold_beside_a_learned_reward(write_experiment, tmp_path, cli):
    file = write_experiment(tmp_path, **LEARNED, rollout={"shared_pairs": True})
    result = cli("run", file, "--out", tmp_path / "run")
    assert result.code == 0, result.text
    (path,) = tmp_path.glob("run/compare/*/comparison.json")
    comparison = json.loads(path.read_text())
    assert comparison["rewards"] == [{"task": "digits", "proxy": "reward_model.reward", "gold": "pattern.matched"}]
    assert {row["n"] for row in comparison["best_of_n"]} == {1, 2}
    assert {row["arm"] for row in comparison["best_of_n"]} == {"sft", "ppo", "grpo", "gspo", "dpo"}
    (model,) = comparison["reward_models"]
    assert (model["pairs"], model["held_out"], model["labels"]) == (24, 12, "gold")
    scores = {(row["metric"], row["arm"]): row["value"] for row in comparison["scores"]}
    for arm in ("sft", "grpo", "dpo"):
        assert scores["gold_reward", arm] == pytest.approx(scores["matched", arm]), "gold is the task's own reward"
        (first,) = [row for row in comparison["best_of_n"] if (row["arm"], row["n"]) == (arm, 1)]
        assert first["gold"] == pytest.approx(scores["gold_reward", arm])
        assert first["proxy"] == pytest.approx(scores["proxy_reward", arm])
    assert [(row["arm"], row["seeds"]) for row in comparison["findings"] if row["name"] == "shared_pairs"] == [
        ("dpo", [0, 1])
    ]
    (usage,) = tmp_path.glob("run/train/digits.grpo.s0-*/usage.json")
    spent = json.loads(usage.read_text())
    assert spent["completions"] == spent["reward_calls"] == 64, "gold costs no reward calls"
    paid = sum(phase["seconds"] for name, phase in spent["phases"].items() if name not in ("dev", "gold"))
    assert spent["seconds"] == pytest.approx(paid)
    (curve,) = tmp_path.glob("run/train/digits.grpo.s0-*/metrics.jsonl")
    rows = [json.loads(line) for line in curve.read_text().splitlines()]
    assert all("gold_mean" in row for row in rows[:-1])
    assert rows[-1]["dev_gold"] is not None
