"""What baseline and candidate do not share is named, and what is missing never passes."""

from dataclasses import replace

import numpy as np
import pytest
from regress_arms import MACHINE, arm, ids, levels, scores, table, tables

from rlbench.comparison.gate import Check, Gate, Margin
from rlbench.comparison.regression import judge
from rlbench.errors import InputError
from rlbench.registry import load

OLD = [0.50, 0.51, 0.49, 0.502, 0.498, 0.505]
SAME = [0.501, 0.509, 0.492, 0.50, 0.499, 0.504]


def checks(*names, margin=0.02):
    directions = {"correctness": "higher", "mean_length": "both"}
    return tuple(Check(load("metrics", name), Margin(margin, relative=False), directions[name]) for name in names)


GATE = Gate(checks("correctness"))


def judged(old, new, gate=GATE):
    found = judge([old] if not isinstance(old, list) else old, [new] if not isinstance(new, list) else new, gate)
    assert found["exit_code"] == {"pass": 0, "regressed": 1, "inconclusive": 3}[found["verdict"]]
    return found


def texts(found):
    return " / ".join(f"{row['kind']}: {row['text']}" for row in found["mismatches"])


def test_matching_arms_pass_without_a_word():
    found = judged(arm(levels(OLD)), arm(levels(SAME)))
    assert found["verdict"] == "pass"
    assert found["mismatches"] == []
    (row,) = found["metrics"]
    assert row["value"] == pytest.approx(np.mean(SAME) - np.mean(OLD))
    assert row["method"].startswith("paired t over 6 seeds")
    assert row["candidate"]["by_seed"]["2"] == pytest.approx(0.492)


def test_a_relative_margin_is_a_share_of_the_baselines_value():
    gate = Gate((replace(GATE.checks[0], margin=Margin(0.1, relative=True)),))
    (row,) = judged(arm(levels(OLD)), arm(levels(SAME)), gate)["metrics"]
    assert row["margin"] == pytest.approx(0.1 * np.mean(OLD))
    assert row["margin_declared"] == "10 %"


def test_a_percentage_of_nothing_is_not_computable():
    gate = Gate((replace(GATE.checks[0], margin=Margin(0.1, relative=True)),))
    none = {seed: scores({0: 0.0}).tables[0] | {"correctness": table(np.zeros(12), ("correct",))} for seed in range(3)}
    old = arm(levels([0.0] * 3), tasks={"sums": scores({}, tables=none)})
    found = judged(old, arm(levels(SAME[:3])), gate)
    assert found["verdict"] == "inconclusive"
    assert "declare the margin in the unit" in found["metrics"][0]["reasons"][0]


def test_other_seeds_are_not_paired():
    found = judged(arm(levels(OLD)), arm(levels(SAME, first=100)))
    assert found["verdict"] == "pass"
    assert "not paired" in texts(found)
    assert found["metrics"][0]["method"].startswith("Welch")


def test_a_candidate_with_a_run_that_diverged_cannot_pass_and_says_so():
    found = judged(arm(levels(OLD)), arm(levels(SAME[:5]), seeds=range(6)))
    (row,) = found["metrics"]
    assert found["verdict"] == "inconclusive"
    assert "1 of 6 runs of the candidate did not finish (seed 5 diverged)" in row["reasons"][0]
    assert row["seeds"] == 5
    assert "missing seeds: candidate/grpo: seed 5 (diverged) left out" in texts(found)


def test_a_baseline_with_a_missing_run_is_named_and_may_be_passed():
    found = judged(arm(levels(OLD[:5]), seeds=range(6)), arm(levels(SAME)))
    assert found["verdict"] == "pass"
    assert "missing seeds: baseline/grpo: seed 5 (diverged) left out" in texts(found)


def test_survivors_that_are_much_worse_have_regressed():
    worse = arm(levels(np.array(SAME[:5]) - 0.1), seeds=range(6))
    assert judged(arm(levels(OLD)), worse)["verdict"] == "regressed"


def test_a_candidate_without_a_finished_run_is_inconclusive():
    found = judged(arm(levels(OLD)), arm({}, tasks={"sums": scores({}, data="", sample_ids=())}, seeds=range(6)))
    assert found["verdict"] == "inconclusive"
    assert found["metrics"][0]["reasons"] == ["no run of the candidate finished"]


def test_one_seed_says_nothing_about_a_recipe_unless_checkpoints_are_what_is_asked_about():
    old, new = arm({0: 0.5}), arm({0: 0.5003})
    found = judged(old, new)
    assert found["metrics"][0]["verdict"] == "not computable"
    assert "estimand: checkpoints" in found["metrics"][0]["reasons"][0]
    noisy = new.tasks["sums"].tables[0]["correctness"]
    noisy["correct"] += np.random.default_rng(0).normal(0, 0.001, len(noisy))
    found = judged(old, new, replace(GATE, estimand="checkpoints"))
    assert found["verdict"] == "pass"
    assert found["estimand"] == "checkpoints"


def test_prompts_can_be_random_too():
    found = judged(arm(levels(OLD)), arm(levels(SAME)), replace(GATE, estimand="population"))
    assert found["estimand"] == "population"
    assert "crossed seeds × prompts" in found["metrics"][0]["method"]
    assert found["metrics"][0]["needed_unit"] is None  # more seeds do not make more prompts; see rlbench plan


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared": {"sums": {"base": "b1", "sft": "s2"}}}, "the SFT policy differs"),
        ({"shared": {"sums": {"base": "b2", "sft": "s1"}}}, "the base policy differs"),
        ({"environment": MACHINE | {"torch": "2.14.0"}}, "torch 2.13.0 against 2.14.0"),
        ({"name": "ppo"}, "'ppo' is judged against 'grpo'"),
    ],
)
def test_other_circumstances_are_named(changes, words):
    found = judged(arm(levels(OLD)), replace(arm(levels(SAME)), **changes))
    assert words in texts(found)
    assert found["verdict"] == "pass"


def test_the_same_result_twice_is_named():
    one = replace(arm(levels(OLD)), fingerprint="abc")
    found = judged(one, one)
    assert "same result" in texts(found)
    assert found["metrics"][0]["identical"]


def test_other_prompts_are_compared_where_they_overlap():
    longer = scores(levels(SAME), prompts=16)
    found = judged(arm(levels(OLD)), arm(levels(SAME), tasks={"sums": longer}))
    assert found["metrics"][0]["prompts"] == 12
    assert "prompts: compared on the 12 of 16 prompts" in texts(found)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "d2"}, "different task data"),
        ({"split": "dev"}, "different splits"),
        ({"graders": {"correctness": [2, {}], "length": [1, {}]}}, "different versions or options of correctness"),
        ({"graders": {"correctness": [1, {"strict": True}], "length": [1, {}]}}, "different versions or options"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, words):
    other = arm(levels(SAME), tasks={"sums": scores(levels(SAME), **changes)})
    with pytest.raises(InputError, match=words):
        judged(arm(levels(OLD)), other)


def test_a_metric_that_the_candidate_lacks_is_inconclusive():
    bare = {seed: {"correctness": tables(level)["correctness"]} for seed, level in levels(SAME).items()}
    new = arm(levels(SAME), tasks={"sums": scores({}, tables=bare, metrics=("correctness",))})
    found = judged(arm(levels(OLD)), new, Gate(checks("correctness", "mean_length")))
    by_name = {row["metric"]: row for row in found["metrics"]}
    assert by_name["correctness"]["passed"]
    assert by_name["mean_length"]["reasons"] == ["nothing of the candidate was scored on it"]
    assert found["verdict"] == "inconclusive"


def test_a_metric_that_was_never_measured_is_refused():
    gate = Gate((Check(load("metrics", "bleu"), Margin(1, relative=False), "higher"),))
    with pytest.raises(InputError, match="bleu: was not measured on the baseline"):
        judged(arm(levels(OLD)), arm(levels(SAME)), gate)


def test_a_task_that_the_candidate_lacks_is_inconclusive_and_one_that_the_baseline_lacks_is_refused():
    both = {"sums": scores(levels(OLD)), "words": scores(levels(OLD), task="words")}
    found = judged(arm(levels(OLD), tasks=both), arm(levels(SAME)))
    assert [row["verdict"] for row in found["metrics"]] == ["equivalent", "not computable"]
    assert found["verdict"] == "inconclusive"
    assert judged(arm(levels(OLD), tasks=both), arm(levels(SAME)), replace(GATE, tasks=("sums",)))["verdict"] == "pass"
    with pytest.raises(InputError, match="expected a task of the baseline, sums"):
        judged(arm(levels(OLD)), arm(levels(SAME)), replace(GATE, tasks=("words",)))


def test_an_arm_that_the_candidate_lacks_is_inconclusive_and_one_that_the_baseline_lacks_is_named():
    old, new = arm(levels(OLD)), arm(levels(SAME))
    found = judged([old, replace(old, name="ppo")], [new, replace(new, name="dpo")])
    assert {row["arm"]: row["verdict"] for row in found["metrics"]} == {"grpo": "equivalent", "ppo": "not computable"}
    assert found["verdict"] == "inconclusive"
    assert "the candidate has no arm 'ppo'" in texts(found)
    assert "the baseline has no arm 'dpo'" in texts(found)
    with pytest.raises(InputError, match="FOLDER:ARM"):
        judged([replace(old, name="ppo"), replace(old, name="dpo")], [new])


def test_the_shared_policy_is_only_judged_where_nothing_else_is():
    sft = replace(arm(levels(OLD)), name="sft", kind="shared", runs=())
    found = judged([sft, arm(levels(OLD))], [sft, arm(levels(SAME))])
    assert [row["arm"] for row in found["metrics"]] == ["grpo"]
    assert [row["arm"] for row in judged(sft, sft)["metrics"]] == ["sft"]


def test_prompts_that_a_seed_did_not_answer_are_an_error_and_not_zero():
    new = arm(levels(SAME))
    short = new.tasks["sums"].tables[3]["correctness"]
    new.tasks["sums"].tables[3]["correctness"] = short[short["sample_id"] != ids()[0]]
    with pytest.raises(InputError, match="do not cover the same prompts"):
        judged(arm(levels(OLD)), new)
