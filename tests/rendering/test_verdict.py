import copy

import pytest

from rlbench.rendering.pair import pairs
from rlbench.rendering.terminal import WIDTH, render_terminal
from rlbench.rendering.verdict import is_ranked, verdict_sentences


def one_pair(value, higher_is_better=True, unit="fraction", **extra):
    low, high = value - 0.01, value + 0.01
    estimate = {
        "a": "ppo",
        "b": "grpo",
        "task": "arithmetic",
        "metric": "m",
        "primary": True,
        "value": value,
        "low": low,
        "high": high,
        "p_adjusted": 0.0002,
        "seeds": 5,
        **extra,
    }
    return {
        "kind": "experiment",
        "estimand_text": "this recipe on this benchmark",
        "confidence": 0.95,
        "seeds": [0, 1, 2, 3, 4],
        "arms": [{"name": "ppo", "kind": "algorithm"}, {"name": "grpo", "kind": "algorithm"}],
        "metrics": [
            {"task": "arithmetic", "name": "m", "unit": unit, "higher_is_better": higher_is_better, "primary": True}
        ],
        "scores": [
            {"arm": "ppo", "task": "arithmetic", "metric": "m", "value": 0.5, "low": 0.49, "high": 0.51},
            {"arm": "grpo", "task": "arithmetic", "metric": "m", "value": 0.5 + value, "low": 0.4, "high": 0.9},
        ],
        "estimates": [estimate],
    }


def test_the_sentence_says_who_beats_whom_by_how_much_and_for_what_claim():
    assert verdict_sentences(one_pair(0.271, verdict="improved"))[1] == (
        "GRPO beats PPO on arithmetic by +27.1 points of m [26.1, 28.1] "
        "(5 seeds, this recipe on this benchmark; Holm-adjusted p = .0002)."
    )


@pytest.mark.parametrize("verdict", ["worse", "regressed", None])
def test_a_negative_difference_is_turned_so_that_the_better_arm_beats_the_other(verdict):
    lead, sentence = verdict_sentences(one_pair(-0.05, verdict=verdict))
    assert sentence.startswith("PPO beats GRPO on arithmetic by +5.0 points of m [4.0, 6.0]")
    assert lead.startswith("PPO is best on arithmetic with 50.0 % m")


def test_lower_is_better():
    lead, sentence = verdict_sentences(one_pair(-0.5, higher_is_better=False, unit="", verdict="improved"))
    assert sentence.startswith("GRPO beats PPO on arithmetic with a lower m, difference -0.500 m [-0.510, -0.490]")
    assert lead.startswith("GRPO is best")
    lead, sentence = verdict_sentences(one_pair(0.5, higher_is_better=False, unit="", verdict="worse"))
    assert sentence.startswith("PPO beats GRPO on arithmetic with a lower m, difference -0.500 m [-0.510, -0.490]")
    assert lead.startswith("PPO is best")


def test_a_monitor_without_a_good_direction_names_no_winner():
    lead, sentence = verdict_sentences(one_pair(0.05, higher_is_better=None))
    assert "GRPO is higher than PPO" in sentence
    assert "beats" not in sentence
    assert "no arm can be called best" in lead


def test_not_decided_names_the_seeds_needed_and_nobody_wins():
    lead, sentence = verdict_sentences(one_pair(0.004, verdict="not decided", p_adjusted=0.4, seeds_needed=9))
    assert sentence.startswith("GRPO against PPO is not decided on arithmetic: difference +0.4 points of m [-0.6, 1.4]")
    assert sentence.endswith("about 9 seeds would be needed.")
    assert lead.startswith("On arithmetic nothing puts one arm first; the highest is GRPO")
    assert "beats" not in lead + sentence


@pytest.mark.parametrize(("p_adjusted", "word"), [(0.049, "beats"), (0.05, "not decided"), (None, "cannot be decided")])
def test_without_a_known_verdict_the_adjusted_p_decides(p_adjusted, word):
    assert word in verdict_sentences(one_pair(0.05, verdict="", p_adjusted=p_adjusted))[1]


@pytest.mark.parametrize("verdict", ["equivalent", "non-inferior"])
def test_margin_verdicts_are_not_wins(verdict):
    sentence = verdict_sentences(one_pair(0.004, verdict=verdict))[1]
    assert "beats" not in sentence
    assert "margin" in sentence


def test_a_number_that_cannot_be_computed_has_a_reason():
    comparison = one_pair(0.05, low=None, high=None, p_adjusted=None, verdict="not decided", reason="one seed")
    assert verdict_sentences(comparison)[1] == (
        "GRPO against PPO cannot be decided on arithmetic: one seed; the observed difference is +5.0 points of m."
    )
    missing = one_pair(0.05, p_adjusted=None, reason="nothing was scored")
    missing["estimates"][0]["value"] = None
    assert verdict_sentences(missing)[1].endswith("cannot be decided on arithmetic: nothing was scored.")


def test_a_failed_seed_forbids_ranking_and_marks_the_pairs_of_survivors(failed_seed):
    lead, *sentences = verdict_sentences(failed_seed.comparison)
    assert lead.startswith("1 of 20 runs did not finish (DPO seed 2 on arithmetic diverged at step 31: loss is nan)")
    assert "not ranked" in lead
    assert not is_ranked(failed_seed.comparison)
    with_dpo = [sentence for sentence in sentences if "DPO" in sentence]
    assert len(with_dpo) == 4
    assert all(sentence.startswith("Survivors only, not ranked: ") for sentence in with_dpo)
    assert all("4 seeds" in sentence and "beats" not in sentence for sentence in with_dpo)


def test_a_run_that_was_never_recorded_is_missing(comparison):
    comparison["runs"] = [run for run in comparison["runs"] if (run["arm"], run["seed"]) != ("ppo", 4)]
    assert "PPO seed 4 on arithmetic is missing" in verdict_sentences(comparison)[0]


def test_a_failed_audit_leads_and_its_pairs_are_not_called_wins(failed_audit):
    lead, *sentences = verdict_sentences(failed_audit.comparison)
    assert lead.startswith("The budget audit failed")
    assert "spent 100 of 8192 completions (-98.8 %)" in lead
    touched = [sentence for sentence in sentences if "DPO" in sentence and "arithmetic" in sentence]
    assert touched
    assert all("unequal budgets" in sentence and "beats" not in sentence for sentence in touched)
    assert any("beats" in sentence for sentence in sentences if "DPO" not in sentence)


def test_every_task_has_its_sentence_in_the_lead(failed_audit):
    comparison = copy.deepcopy(failed_audit.comparison)
    comparison["budget"] = None
    lead = verdict_sentences(comparison)[0]
    assert "arithmetic" in lead
    assert "sorting" in lead


def test_a_single_arm_and_nothing_at_all():
    comparison = one_pair(0.1)
    comparison.update(arms=comparison["arms"][:1], scores=comparison["scores"][:1], estimates=[])
    assert verdict_sentences(comparison) == ["PPO is the only arm on arithmetic: 50.0 % m [49.0, 51.0]."]
    assert len(verdict_sentences({})) == 1


def test_every_primary_pair_has_one_sentence(comparison):
    assert len(verdict_sentences(comparison)) == 1 + len(list(pairs(comparison, primary=True))) == 11


def test_the_terminal_shows_every_primary_score_and_stays_narrow(comparison, completions_only, failed_audit):
    text = render_terminal(comparison)
    for score in comparison["scores"]:
        if score["metric"] == "correctness":
            assert f"{100 * score['value']:.1f}  [{100 * score['low']:.1f}, {100 * score['high']:.1f}]" in text
    for shown in (text, render_terminal(completions_only.comparison), render_terminal(failed_audit.comparison)):
        assert max(map(len, shown.splitlines())) <= max(WIDTH, 100)
        assert shown.endswith("\n")
    assert "warning: PPO, every seed: The clip" in text


def test_no_control_character_reaches_the_terminal(hostile):
    text = render_terminal(hostile.comparison)
    assert not {"\x1b", "\u202e", "\u2028"} & set(text)
    assert "⟨U+001B⟩" in text


def test_of_many_arms_the_pairs_with_the_baseline_are_spelled_out_and_the_others_counted():
    comparison = one_pair(0.05, verdict="improved")
    arms = ["sft", *"abcdef"]
    (estimate,) = comparison["estimates"]
    comparison["baseline"] = "sft"
    comparison["arms"] = [{"name": arm, "kind": "algorithm"} for arm in arms]
    comparison["estimates"] = [
        {**estimate, "a": a, "b": b, "verdict": "improved" if b == "f" else "not decided", "p_adjusted": 0.01}
        for place, a in enumerate(arms)
        for b in arms[place + 1 :]
    ]
    _, *sentences = verdict_sentences(comparison)
    assert [sentence.split()[0] for sentence in sentences[:-1]] == list("abcdef")
    assert sentences[-1] == "15 more pairs of arms, 5 of them decided; the report has them all."
    few = {**comparison, "estimates": comparison["estimates"][:15]}
    assert len(verdict_sentences(few)) == 16
