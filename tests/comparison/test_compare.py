"""Arms of any source side by side: paired where they match, and what does not match is named."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rlbench.comparison.arms import Arm, TaskScores
from rlbench.comparison.compare import estimate_arms
from rlbench.comparison.matching import pairs_of
from rlbench.errors import InputError
from rlbench.stages.estimates import adjust
from rlbench.statistics import minimum_detectable_effect

PROMPTS = [f"p{place:02d}" for place in range(30)]


def scores(values, prompts=PROMPTS, **changes):
    """Scores [seed, prompt, sample] of grader `pattern`, by seed number."""
    tables = {
        seed: {
            "pattern": pd.DataFrame(
                {
                    "sample_id": np.repeat(prompts, array.shape[1]),
                    "completion_index": np.tile(np.arange(array.shape[1]), array.shape[0]),
                    "matched": array.ravel(),
                    "reason": "",
                }
            )
        }
        for seed, array in values.items()
    }
    known = {"split": "test", "data": "d", "graders": {"pattern": [1, {}]}, "metrics": ("matched",)}
    return TaskScores(
        **{"task": "t", "primary": "matched", "sample_ids": tuple(prompts), **known, **changes}, tables=tables
    )


def arm(name, seeds, shift=0.0, prompts=PROMPTS, declared=None, **changes):
    random = np.random.default_rng([len(name), *name.encode(), *seeds])
    values = {
        seed: (random.random((len(prompts), 2)) < 0.5 + shift + 0.05 * random.normal()).astype(float) for seed in seeds
    }
    return Arm(name, "algorithm", tuple(declared or seeds), {"t": scores(values, prompts, **changes)})


def by_seed(which, prompts=PROMPTS):
    tables = which.tasks["t"].tables
    return np.array([each["pattern"].set_index("sample_id").loc[prompts, "matched"].mean() for each in tables.values()])


def only(estimated):
    ((_, comparison),) = estimated.parts
    (row,) = comparison.differences()
    return row


def kinds(estimated):
    return [row["kind"] for row in estimated.mismatches]


def test_the_same_seeds_are_paired():
    a, b = arm("a", range(5)), arm("b", range(5), 0.1)
    estimated = estimate_arms([(a, b)])
    row = only(estimated)
    reference = stats.ttest_rel(by_seed(b), by_seed(a))
    assert row["paired_seeds"]
    assert row["estimand"] == "recipe"
    assert row["estimate"].p_value == pytest.approx(reference.pvalue)
    assert row["estimate"].value == pytest.approx(by_seed(b).mean() - by_seed(a).mean())
    assert estimated.mismatches == []


def test_other_seeds_are_not_paired_and_none_is_dropped():
    a, b = arm("a", range(5)), arm("b", range(10, 18), 0.1)
    estimated = estimate_arms([(a, b)])
    row = only(estimated)
    reference = stats.ttest_ind(by_seed(b), by_seed(a), equal_var=False)
    assert not row["paired_seeds"]
    assert (row["by_seed"], row["survivors_only"]) == ([], False)
    assert row["estimate"].p_value == pytest.approx(reference.pvalue)
    assert row["estimate"].df == pytest.approx(reference.df)
    assert kinds(estimated) == ["seeds"]


def test_a_seed_that_did_not_finish_is_left_out_of_both_and_named():
    a, b = arm("a", range(5)), arm("b", [0, 1, 3, 4], 0.1, declared=range(5))
    row = only(estimated := estimate_arms([(a, b)]))
    assert row["by_seed_seeds"] == [0, 1, 3, 4]
    assert row["survivors_only"]
    assert kinds(estimated) == ["missing seeds"]
    assert "seed 2 (not there)" in estimated.mismatches[0]["text"]


def test_unpaired_arms_with_missing_runs_say_so():
    a, b = arm("a", range(5)), arm("b", [10, 11, 13], declared=range(10, 15))
    assert only(estimate_arms([(a, b)]))["survivors_only"]


def test_prompts_are_those_that_all_answered_and_the_rest_is_named():
    a, b = arm("a", range(3)), arm("b", range(3), prompts=PROMPTS[5:])
    row = only(estimated := estimate_arms([(a, b)]))
    assert row["prompts"] == 25
    assert row["estimate"].value == pytest.approx(by_seed(b, PROMPTS[5:]).mean() - by_seed(a, PROMPTS[5:]).mean())
    assert kinds(estimated) == ["prompts"]
    assert "b has no completions of 5 (p00, p01, p02 and 2 more)" in estimated.mismatches[0]["text"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "other"}, "different task data"),
        ({"split": "dev"}, "different splits"),
        ({"graders": {"pattern": [2, {}]}}, "different versions or options of pattern"),
        ({"primary": "correctness", "metrics": ("matched", "correctness")}, "different primary metrics"),
    ],
)
def test_what_was_judged_differently_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        estimate_arms([(arm("a", range(3)), arm("b", range(3), **changes))])


def test_no_prompt_in_common_is_refused():
    with pytest.raises(InputError, match="got none in common"):
        estimate_arms([(arm("a", range(3), prompts=PROMPTS[:9]), arm("b", range(3), prompts=PROMPTS[9:]))])


def test_a_metric_that_one_arm_lacks_is_left_out_and_named():
    a = arm("a", range(3), metrics=("matched", "correctness"), graders={"pattern": [1, {}], "correctness": [1, {}]})
    estimated = estimate_arms([(a, arm("b", range(3)))])
    assert kinds(estimated) == ["metric"]
    assert "correctness is left out: b was not scored on it" in estimated.mismatches[0]["text"]
    with pytest.raises(InputError, match="'correctness' cannot be compared"):
        estimate_arms([(a, arm("b", range(3)))], metrics=["matched", "correctness"])
    with pytest.raises(InputError, match="nothing was scored on 'nonsense'"):
        estimate_arms([(a, arm("b", range(3)))], primary="nonsense")


def test_one_seed_makes_a_claim_about_checkpoints_and_an_estimand_can_be_asked_for():
    assert only(estimate_arms([(arm("a", [0]), arm("b", [0]))]))["estimand"] == "checkpoints"
    row = only(estimate_arms([(arm("a", range(5)), arm("b", range(5)))], estimand="population", replicates=500))
    assert "seeds × prompts" in row["estimate"].method
    assert "estimate" not in only(estimate_arms([(arm("a", [0]), arm("b", [0]))], estimand="recipe"))


def names_of(sources, names):
    pairs, mismatches = pairs_of(sources, names)
    return [(a.name, b.name) for a, b in pairs], [(row["kind"], row["arms"]) for row in mismatches]


def test_like_is_compared_with_like():
    first, second = [arm("old/sft", [0]), arm("old/ppo", [0])], [arm("new/sft", [0]), arm("new/ppo", [0])]
    names = [["sft", "ppo"], ["sft", "ppo"]]
    assert names_of([first, second], names) == ([("old/sft", "new/sft"), ("old/ppo", "new/ppo")], [])
    across, _ = names_of([first, second], [["sft", "ppo"], ["x", "y"]])
    assert len(across) == 4
    assert names_of([first], [["sft", "ppo"]]) == ([("old/sft", "old/ppo")], [])


def test_no_source_and_no_arm_is_dropped_without_a_word():
    first, second, third = ([arm(f"{name}/{which}", [0])] for name, which in (("a", "s"), ("b", "s"), ("c", "t")))
    found, mismatches = names_of([first, second, third], [["s"], ["s"], ["t"]])
    assert found == [("a/s", "b/s"), ("a/s", "c/t"), ("b/s", "c/t")]
    assert mismatches == []
    more = [*first, arm("a/only", [0])]
    assert names_of([more, second], [["s", "only"], ["s"]]) == ([("a/s", "b/s")], [("arm", ["a/only"])])


def test_a_policy_that_two_experiments_share_is_not_compared_with_itself():
    shared = {"t": {"sft": "same"}}
    sft = [replace(arm(f"{name}/sft", [0]), kind="shared", shared=shared) for name in "ab"]
    ppo = [arm(f"{name}/ppo", [0]) for name in "ab"]
    names = [["sft", "ppo"]] * 2
    found = names_of([[sft[0], ppo[0]], [sft[1], ppo[1]]], names)
    assert found == ([("a/ppo", "b/ppo")], [("arm", ["a/sft", "b/sft"])])
    assert names_of([sft[:1], sft[1:]], [["sft"], ["sft"]])[0] == [("a/sft", "b/sft")], "asked for alone, it is"


def test_other_options_are_named():
    a, b = (
        replace(arm(name, range(3)), options={"algorithm": "grpo", "beta": beta}) for name, beta in (("a", 1), ("b", 2))
    )
    (row,) = estimate_arms([(a, b)]).mismatches
    assert (row["kind"], row["text"]) == ("options", "a and b: options differ: beta 1 against 2")


def test_a_third_source_with_more_seeds_makes_nobody_a_survivor():
    arms = [arm("a", range(4)), arm("b", range(4)), arm("c", range(9))]
    ((_, comparison),) = estimate_arms([(arms[0], arms[1]), (arms[0], arms[2])]).parts
    assert [row["survivors_only"] for row in comparison.differences()] == [False, False]


def test_a_metric_that_is_named_twice_is_tested_once():
    ((design, _),) = estimate_arms([(arm("a", range(3)), arm("b", range(3)))], metrics=["matched", "matched"]).parts
    assert [metric.name for metric in design.metrics] == ["matched"]


def final(estimates, margin, **changes):
    ((design, comparison),) = estimate_arms(estimates, margin={"matched": margin}, **changes).parts
    return adjust(comparison.differences(), design, primary=True)


@pytest.mark.parametrize("margin", [0.005, 0.05])
def test_with_a_margin_too_a_winner_is_claimed_in_five_of_a_hundred_families_at_most(margin):
    runs, winners = 200, 0
    for run in range(runs):
        arms = [arm(f"{name}{run}", range(5)) for name in "abcd"]
        rows = final(list(itertools.combinations(arms, 2)), margin)
        winners += any(row["verdict"] in ("improved", "worse within margin", "regressed") for row in rows)
    assert winners <= stats.binom.ppf(0.999, runs, 0.05)


def test_a_clear_difference_keeps_the_words_of_the_lattice():
    assert final([(arm("a", range(5)), arm("b", range(5), 0.4))], 0.02)[0]["verdict"] == "improved"
    assert final([(arm("a", range(5)), arm("b", range(5), -0.4))], 0.02)[0]["verdict"] == "regressed"


def test_seeds_alone_say_nothing_of_the_power_on_other_prompts():
    (row,) = final([(arm("a", range(5)), arm("b", range(5)))], 0.02, estimand="population", replicates=500)
    assert (row["minimum_detectable_effect"], row["seeds_needed"]) == (None, None)
    (row,) = final([(arm("a", range(5)), arm("b", range(8, 28)))], 0.02)
    assert row["minimum_detectable_effect"] == pytest.approx(
        minimum_detectable_effect(5) * row["standard_error"] * 5**0.5
    )
