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


def test_a_seed_that_only_the_candidate_finished_is_not_judged_in_any_number_and_forbids_passing():
    found = judged(arm(levels(OLD[:5]), seeds=range(6)), arm(levels([*SAME[:5], 0.0])))
    (row,) = found["metrics"]
    assert found["verdict"] == "inconclusive"
    assert "seed 5 of the candidate not judged" in row["reasons"][0]
    assert row["candidate"]["by_seed"].keys() == row["baseline"]["by_seed"].keys() == set("01234")
    assert row["candidate"]["value"] - row["baseline"]["value"] == pytest.approx(row["value"])
    assert row["candidate"]["value"] == pytest.approx(np.mean(SAME[:5]))
    assert "missing seeds: baseline/grpo: seed 5 (diverged) left out" in texts(found)


def half_scored(values, wrong_are_scored):
    """A third of the prompts wrong, the rest right; the wrong ones may be unscored."""
    correct = np.array([0.0 if wrong_are_scored else np.nan] * 4 + [1.0] * 8)
    tables_of = {seed: tables(value) | {"correctness": table(correct, ("correct",))} for seed, value in values.items()}
    return arm(values, tasks={"sums": scores({}, tables=tables_of)})


def test_a_candidate_with_more_unscored_completions_than_the_baseline_cannot_pass():
    seeds = levels(OLD)
    found = judged(half_scored(seeds, True), half_scored(seeds, False))
    (row,) = found["metrics"]
    assert found["verdict"] == "inconclusive"
    assert row["value"] == pytest.approx(1 / 3)  # only what could be scored is left, and it looks better
    assert "24 of 72 completions of the candidate could not be scored (of the baseline 0 of 72)" in row["reasons"][0]
    assert [(row[side]["completions"], row[side]["unscored"]) for side in ("baseline", "candidate")] == [
        (72, 0),
        (72, 24),
    ]


def test_as_many_unscored_completions_as_before_are_named_and_pass():
    found = judged(half_scored(levels(OLD), False), half_scored(levels(SAME), False))
    assert found["verdict"] == "pass"
    assert any("not scored: 24 of 72 completions of the baseline" in note for note in found["metrics"][0]["notes"])


def test_prompts_that_the_candidate_left_out_forbid_passing():
    few = scores(levels(SAME), prompts=5)
    found = judged(
        arm(levels(OLD)),
        arm(levels(SAME), tasks={"sums": few}),
        replace(GATE, checks=checks("correctness", margin=0.5)),
    )
    assert found["verdict"] == "inconclusive"
    assert "no completions of 7 of the baseline's 12 prompts" in found["metrics"][0]["reasons"][0]


def test_other_evaluation_settings_forbid_passing_but_not_a_regression():
    other = {"sums": {"base": "b1", "sft": "s1", "prompt_order": "o1", "evaluation": "e2"}}
    found = judged(arm(levels(OLD)), arm(levels(SAME), shared=other))
    assert found["verdict"] == "inconclusive"
    assert "the evaluation settings differ" in found["metrics"][0]["reasons"][0]
    assert judged(arm(levels(OLD)), arm(levels(np.array(SAME) - 0.1), shared=other))["verdict"] == "regressed"


def test_seeds_that_overlap_only_in_part_are_not_paired():
    (row,) = judged(arm(levels(OLD)), arm(levels(SAME, first=3)))["metrics"]
    assert row["method"].startswith("Welch")
    assert len(row["candidate"]["by_seed"]) == 6


def test_a_relative_margin_of_a_negative_value_allows_a_loss_too():
    gate = Gate((replace(GATE.checks[0], margin=Margin(0.1, relative=True)),))
    (row,) = judged(arm(levels(-np.array(OLD))), arm(levels(-np.array(SAME))), gate)["metrics"]
    assert (row["margin"], row["passed"]) == (pytest.approx(0.1 * np.mean(OLD)), True)
    assert any("taken as exact" in note for note in row["notes"])


def test_what_one_task_never_measured_is_named():
    bare = {seed: {"length": tables(value)["length"]} for seed, value in levels(OLD).items()}
    tasks = {
        "sums": scores(levels(OLD)),
        "words": scores({}, task="words", tables=bare, metrics=("mean_length",), primary="mean_length"),
    }
    both = arm(levels(OLD), tasks=tasks)
    found = judged(
        both, replace(both, usage={("sums", 0): {"seconds": 1.0}}), Gate(checks("correctness", "mean_length"))
    )
    assert "metric: correctness was not measured on this task" in texts(found)
    assert [(row["task"], row["metric"]) for row in found["metrics"]] == [
        ("sums", "correctness"), ("sums", "mean_length"), ("words", "mean_length"),
    ]  # fmt: skip


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
    wide = judged(arm(levels(OLD)), arm(levels(SAME)), Gate(checks("correctness", margin=0.0), "population"))
    assert wide["metrics"][0]["needed_unit"] is None  # more seeds do not make more prompts
    assert "`rlbench plan` says how many of each" in wide["metrics"][0]["reasons"][0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shared": {"sums": {"base": "b1", "sft": "s2"}}}, "SFT policy"),
        ({"shared": {"sums": {"base": "b2", "sft": "s1"}}}, "base policy"),
        ({"environment": MACHINE | {"torch": "2.14.0"}}, "torch 2.13.0 against 2.14.0"),
        ({"name": "ppo"}, "'ppo' is judged against 'grpo'"),
    ],
)
def test_other_circumstances_are_named(changes, words):
    found = judged(arm(levels(OLD)), replace(arm(levels(SAME)), **changes))
    assert words in texts(found)
    assert found["verdict"] == "pass"


def test_one_run_on_both_sides_tests_nothing():
    one = arm(levels(OLD), speeds=dict.fromkeys(range(6), 1.0), fingerprint="abc")
    found = judged(one, one)
    assert "same result" in texts(found)
    assert (found["verdict"], found["metrics"][0]["identical"]) == ("inconclusive", True)
    assert "one and the same run" in found["metrics"][0]["reasons"][0]


@pytest.mark.parametrize(("values", "said"), [(OLD, "pass"), (np.array(OLD) - 0.1, "regressed")])
def test_the_same_plan_run_again_is_another_run(values, said):
    speeds = dict.fromkeys(range(6), 1.0)
    one = arm(levels(OLD), speeds=speeds, fingerprint="abc")
    again = arm(levels(values), speeds=dict.fromkeys(range(6), 1.01), fingerprint="abc")
    found = judged(one, again)
    assert found["verdict"] == said
    assert found["mismatches"] == []


def test_completions_of_files_may_be_the_same_and_go_by_their_own_names():
    before, after = (arm({0: 0.5}, name, kind="completions", runs=(), fingerprint="abc") for name in ("a", "b"))
    found = judged(before, after)
    assert (found["verdict"], found["mismatches"]) == ("pass", [])


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
