"""Arms of several sources: their own seeds and tasks, pairs that were never made, and declared margins."""

import copy

import pytest

from rlbench.rendering.method import method_paragraphs
from rlbench.rendering.outcome import missing_runs, seed_words
from rlbench.rendering.page import checks, facts, render_html
from rlbench.rendering.pair import pairs, primary_metrics, ranking
from rlbench.rendering.report import Report
from rlbench.rendering.run_tables import outcome_table
from rlbench.rendering.score_tables import difference_table, score_table
from rlbench.rendering.sections import sections
from rlbench.rendering.verdict import is_ranked, lead_sentence, verdict_sentences

TASK = "arithmetic"
SEEDS = {"old/sft": [0, 1, 2], "old/grpo": [0, 1, 2], "new/sft": [7, 8, 9], "new/grpo": [7, 8, 9]}
VALUES = {"old/sft": 0.54, "old/grpo": 0.78, "new/sft": 0.55, "new/grpo": 0.72}


def two_sources(seeds=SEEDS, paired=False, verdicts=("not decided", "worse"), **extra):
    """Old against new, like with like: sft with sft, grpo with grpo, and never one with the other."""
    made = zip((("old/sft", "new/sft"), ("old/grpo", "new/grpo")), verdicts, strict=True)
    estimates = []
    for (a, b), verdict in made:
        value = VALUES[b] - VALUES[a]
        bounds = {"value": value, "low": value - 0.01, "high": value + 0.01}
        names = {"a": a, "b": b, "task": TASK, "metric": "correctness", "primary": True, "verdict": verdict}
        least = min(len(seeds[a]), len(seeds[b]))
        estimates.append({**names, **bounds, "p_adjusted": 0.01, "seeds": least, "prompts": 50, "paired_seeds": paired})
    trained = [arm for arm in seeds if arm.endswith("grpo")]
    return {
        "kind": "arms",
        "name": "old vs new",
        "estimand": "recipe",
        "estimand_text": "this recipe on this benchmark",
        "confidence": 0.95,
        "baseline": "old/sft",
        "seeds": sorted({seed for each in seeds.values() for seed in each}),
        "arms": [
            {"name": arm, "kind": "algorithm" if arm in trained else "shared", "seeds": own, "tasks": [TASK]}
            for arm, own in seeds.items()
        ],
        "metrics": [
            {"task": TASK, "name": "correctness", "unit": "fraction", "higher_is_better": True, "primary": True}
        ],
        "scores": [
            {"arm": arm, "task": TASK, "metric": "correctness", "value": value, "low": value - 0.01}
            | {"high": value + 0.01, "by_seed_seeds": seeds[arm], "by_seed": [value] * len(seeds[arm])}
            for arm, value in VALUES.items()
        ],
        "estimates": estimates,
        "runs": [
            {"arm": arm, "task": TASK, "seed": seed, "status": "completed", "detail": "", "step": None}
            for arm in trained
            for seed in seeds[arm]
        ],
        **extra,
    }


def best_cells(comparison):
    rows = score_table(comparison, TASK).rows
    return {row[0].text for row in rows if row[1].tone == "best"}


def test_an_arm_misses_only_runs_of_its_own_seeds():
    comparison = two_sources()
    assert missing_runs(comparison) == []
    assert is_ranked(comparison)
    assert outcome_table(Report(comparison)) is None
    assert [item.text for item in checks(comparison)] == ["6 of 6 runs finished"]
    assert "did not finish" not in lead_sentence(comparison)
    comparison["runs"].pop()
    assert missing_runs(comparison) == [("new/grpo", TASK, 9)]
    assert not is_ranked(comparison)
    assert [item.text for item in checks(comparison)] == ["5 of 6 runs finished"]


def test_an_arm_misses_only_runs_of_its_own_tasks():
    comparison = two_sources()
    run = {"arm": "old/grpo", "task": "sorting", "status": "completed", "detail": "", "step": None}
    comparison["runs"] += [{**run, "seed": seed} for seed in (0, 1)]
    comparison["arms"][1]["tasks"] = [TASK, "sorting"]
    assert missing_runs(comparison) == [("old/grpo", "sorting", 2)]


def test_arms_that_declare_nothing_share_the_seeds_and_tasks_of_the_comparison():
    comparison = two_sources()
    for arm in comparison["arms"]:
        del arm["seeds"], arm["tasks"]
    assert [(arm, seed) for arm, _, seed in missing_runs(comparison)] == [
        *(("old/grpo", seed) for seed in (7, 8, 9)),
        *(("new/grpo", seed) for seed in (0, 1, 2)),
    ]
    assert seed_words(comparison) == "6"


@pytest.mark.parametrize(
    ("new", "words"), [([0, 1, 2], "3"), ([7, 8, 9], "3 an arm, not the same"), ([0, 1, 2, 3, 4], "3 to 5 an arm")]
)
def test_the_page_says_how_many_seeds_an_arm_has(new, words):
    comparison = two_sources(SEEDS | {"new/sft": new, "new/grpo": new})
    assert dict(facts(comparison))["Seeds"] == words


def test_the_seeds_of_a_score_are_counted_among_those_of_its_arm():
    comparison = two_sources()
    comparison["scores"][3]["by_seed_seeds"] = [7, 8]
    assert [row[1].extra for row in score_table(comparison, TASK).rows] == ["", "", "", "2 of 3 seeds"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((True, True), "by prompt and seed. "),
        ((False, False), "by prompt, and not by seed: the arms were run with different seeds (Welch). "),
        ((True, False), "by prompt, and by seed where the arms were run with the same seeds (Welch where not). "),
    ],
)
def test_the_words_on_pairing_are_those_of_the_estimates(flags, words):
    comparison = two_sources()
    for row, paired in zip(comparison["estimates"], flags, strict=True):
        row["paired_seeds"] = paired
    (differences,) = [found for found in sections(Report(comparison), []) if found.anchor == "differences"]
    assert differences.paragraphs[0].startswith(f"First minus second, paired {words}")
    assert f"Differences are paired {words}".strip() in method_paragraphs(comparison)[1]
    seeds_column = [row[8].detail for row in difference_table(comparison, primary=True).rows]
    assert seeds_column == ["" if paired else "each, unpaired" for paired in flags]


def test_completions_without_seeds_are_paired_by_prompt_alone(completions_only):
    assert method_paragraphs(completions_only.comparison)[1].endswith("Differences are paired by prompt.")


def test_unpaired_seeds_are_counted_arm_by_arm_in_the_order_of_the_sentence():
    longer = SEEDS | {"new/sft": [7, 8, 9, 10], "new/grpo": [7, 8, 9, 10]}
    _, undecided, decided = verdict_sentences(two_sources(longer))
    assert undecided.startswith("new/sft against old/sft")
    assert "(4 and 3 unpaired seeds, " in undecided
    assert decided.startswith("old/grpo beats new/grpo")
    assert "(3 and 4 unpaired seeds, " in decided
    assert "(3 unpaired seeds each, " in verdict_sentences(two_sources())[1]
    assert "(3 seeds, " in verdict_sentences(two_sources(paired=True))[1]


def test_arms_that_were_not_compared_with_the_best_are_not_called_undecided():
    comparison = two_sources()
    assert lead_sentence(comparison) == (
        "On arithmetic old/grpo has the best correctness, 78.0 % [77.0, 79.0]; it beats new/grpo. "
        "It was not compared with old/sft and new/sft."
    )
    (metric,) = primary_metrics(comparison, TASK)
    found = ranking(comparison, TASK, metric)
    assert (found.leader, found.beaten, found.tied) == ("old/grpo", ("new/grpo",), ())
    assert found.uncompared == ("old/sft", "new/sft")
    assert best_cells(comparison) == {"old/grpo"}


def test_an_undecided_pair_is_bold_on_both_sides_and_nobody_else():
    comparison = two_sources(verdicts=("not decided", "not decided"))
    assert lead_sentence(comparison) == (
        "On arithmetic nothing puts one arm first; the highest is old/grpo with 78.0 % correctness [77.0, 79.0]. "
        "It was not compared with old/sft and new/sft."
    )
    assert best_cells(comparison) == {"old/grpo", "new/grpo"}


def test_beaten_tied_and_uncompared_arms_are_told_apart():
    comparison = two_sources()
    against = copy.deepcopy(comparison["estimates"][1])
    comparison["estimates"].append(against | {"b": "new/sft", "value": -0.2, "verdict": "not decided"})
    assert lead_sentence(comparison).endswith(
        "it beats new/grpo, but new/sft is not decided against it. It was not compared with old/sft."
    )
    assert best_cells(comparison) == {"old/grpo", "new/sft"}


def test_an_arm_that_was_compared_with_nobody_is_not_best():
    comparison = two_sources()
    del comparison["estimates"][1]
    assert lead_sentence(comparison).startswith("On arithmetic nothing puts one arm first; the highest is old/grpo")
    assert best_cells(comparison) == set()


@pytest.mark.parametrize("verdict", ["worse", "regressed", "worse within margin"])
def test_verdicts_that_name_a_difference_are_decided(verdict):
    comparison = two_sources(verdicts=("not decided", verdict))
    lead, _, sentence = verdict_sentences(comparison)
    assert "beats new/grpo" in lead
    assert sentence.startswith("old/grpo beats new/grpo on arithmetic by +6.0 points")
    assert ("within the declared margin" in sentence) == (verdict == "worse within margin")


@pytest.mark.parametrize("verdict", ["not decided", "equivalent", "non-inferior", "inconclusive", "a word to come"])
def test_other_verdicts_beat_nobody_however_small_p_is(verdict):
    comparison = two_sources(verdicts=("improved", verdict))
    comparison["estimates"][1]["p_adjusted"] = 1e-6
    lead, _, sentence = verdict_sentences(comparison)
    assert "beats" not in lead + sentence
    assert list(pairs(comparison))[1].standing != "decided"


def test_the_method_names_the_declared_margin():
    metrics = two_sources()["metrics"]
    metrics.append({"task": TASK, "name": "perplexity", "unit": "", "higher_is_better": False, "primary": False})
    comparison = two_sources(margin={"correctness": 0.02, "perplexity": 0.5}, metrics=metrics)
    (words,) = [text for text in method_paragraphs(comparison) if "argin" in text]
    assert "declared before the runs: 2.0 points of correctness and 0.500 of perplexity." in words
    assert "90 % interval" in words
    assert "adjusted p is below .05, too" in words
    assert not [text for text in method_paragraphs(two_sources(margin={})) if "argin" in text]


def test_a_whole_page_of_two_sources_says_nothing_of_runs_that_nobody_declared():
    page = render_html(Report(two_sources()), [])
    assert "None: all 6 runs finished." in page
    assert "is missing" not in page
    assert "✗" not in page
