"""`rlbench plan` on the finished small experiment: two seeds of four algorithms, 20 prompts, 2 samples."""

import json
import re

import pytest

PAIR = ("--arm", "ppo", "--arm", "grpo", "--task", "digits", "--metric", "matched")


@pytest.fixture(scope="module")
def plan(cli, finished, tmp_path_factory):
    """`plan(option, ...)`: what was printed, and the JSON document."""
    folder = tmp_path_factory.mktemp("plans")

    def run(*options):
        file = folder / "plan.json"
        result = cli("plan", finished[1], *PAIR, *options, "--json", file)
        assert result.code == 0, result.text
        return result.out, json.loads(file.read_text())

    return run


def test_a_plan_shows_components_seeds_designs_and_power(plan):
    out, document = plan("--effect", "0.3")
    for title in ("How differences vary", "Seeds needed to find 30.00 points", "Designs with power .80", "Power over"):
        assert title in out
    assert document["pilot"] == {"seeds": 2, "prompts": 20, "samples": 2}
    assert [row["name"] for row in document["components"]] == ["seed", "prompt", "interaction", "sample"]
    assert all(row["low"] <= row["variance"] <= row["high"] for row in document["components"][2:])
    assert all(row["power"] >= 0.8 for row in document["designs"])
    seconds = [row["seconds"] for row in document["designs"]]
    assert seconds == sorted(seconds)
    assert document["costs"]["seed"] > 0
    assert document["costs"]["completion"] > 0
    for estimand in document["shares"].values():
        assert sum(estimand.values()) == pytest.approx(1.0)
    printed = re.findall(r"^ +(\d+)  [█·]+ +(\S+) \[", out, re.MULTILINE)
    assert [(int(seeds), float(power)) for seeds, power in printed] == [
        (row["seeds"], pytest.approx(row["power"], abs=0.0051)) for row in document["curve"]
    ]


def test_a_gate_needs_fewer_seeds_than_a_difference_of_the_same_size(plan):
    _, effect = plan("--effect", "0.2")
    out, margin = plan("--margin", "0.2")
    assert "pass a gate of 20.00 points with probability .80 when nothing changed (90 % interval)" in " ".join(
        out.split()
    )
    for gate, difference in zip(margin["needed"], effect["needed"], strict=True):
        assert gate["seeds"] < difference["seeds"]


def test_more_comparisons_need_more_seeds(plan):
    _, one = plan("--effect", "0.1")
    out, six = plan("--effect", "0.1", "--comparisons", "6")
    assert "level .0083" in out
    assert six["needed"][0]["seeds"] > one["needed"][0]["seeds"]


def test_a_budget_is_spent_on_power(plan):
    out, document = plan("--effect", "0.1", "--budget", "60", "--seconds-per-seed", "5",
                         "--seconds-per-completion", "0.01")  # fmt: skip
    assert "The most power within 60.0 s" in out
    assert all(row["seconds"] <= 60 for row in document["designs"])
    assert document["designs"][0]["power"] == max(row["power"] for row in document["designs"])


def test_a_population_with_too_few_prompts_is_told_how_many_it_needs(plan):
    out, document = plan("--effect", "0.001", "--estimand", "population")
    assert document["designs"] == []
    assert "No design with up to 20 prompts reaches it" in out


def test_prompts_that_there_are_count_in_all_that_is_planned(plan):
    _, few = plan("--effect", "0.1")
    out, many = plan("--effect", "0.1", "--prompts", "2000")
    assert many["pilot"] == few["pilot"]
    assert many["evaluation"] == {"prompts": 2000, "samples": 2}
    assert " ".join(out.split()).count("with 2,000 prompts × 2 samples") == 2
    for key, less in (("needed", "seeds"), ("needed", "detectable_effect")):
        assert all(a[less] < b[less] for a, b in zip(many[key], few[key], strict=True))
    assert {row["prompts"] for row in many["curve"]} == {2000}
    assert many["curve"][0]["power"] > few["curve"][0]["power"]


def test_a_saved_baseline_is_a_pilot_by_its_name(cli, finished, tmp_path):
    assert cli("baseline", "save", "main", finished[1], "--store", tmp_path).code == 0
    options = ("--effect", "0.3", *PAIR, "--seconds-per-completion", "0.01", "--store", tmp_path)
    by_name = cli("plan", "main", *options)
    assert by_name.code == 0, by_name.text
    assert by_name.out == cli("plan", tmp_path / "main", *options).out


def test_no_escape_code_of_a_name_reaches_the_terminal(cli, finished):
    result = cli("plan", f"{finished[1]}:\x1b[31mred\u202e", "--effect", "0.3")
    assert result.code == 2
    assert "⟨U+001B⟩[31mred⟨U+202E⟩" in result.err


def test_one_arm_of_a_run_stands_for_two_like_it(cli, finished, tmp_path):
    file = tmp_path / "plan.json"
    result = cli("plan", f"{finished[1]}:ppo", "--effect", "0.2", "--metric", "matched", "--json", file)
    assert result.code == 0, result.text
    assert "two arms like PPO" in result.out
    assert "are assumed to share nothing but the prompts" in " ".join(result.out.split())
    assert json.loads(file.read_text())["costs"]["completion"] > 0


def test_wrong_use_is_one_message(cli, finished, tmp_path):
    run = finished[1]
    for options, message in [
        ((), "either --effect or --margin"),
        (("--effect", "0.1", "--margin", "0.1"), "either --effect or --margin"),
        (("--effect", "0.1", "--comparisons", "0"), "greater than or equal to 1"),
        (("--margin", "0.1", "--comparisons", "10"), "by its own 90 % interval"),
        (("--effect", "-0.1", *PAIR), "--effect to be a number above zero, got -0.1"),
        (("--effect", "nan", *PAIR), "--effect to be"),
        (("--margin", "inf", *PAIR), "--margin to be"),
        *(
            (
                (
                    "--effect",
                    "0.1",
                    "--budget",
                    wrong,
                    "--seconds-per-seed",
                    "1",
                    "--seconds-per-completion",
                    "1",
                    *PAIR,
                ),
                "--budget to be a number above zero",
            )
            for wrong in ("nan", "inf", "0", "-1")
        ),
        (("--effect", "0.1", "--seconds-per-completion", "nan", *PAIR), "--seconds-per-completion to be"),
        (("--effect", "0.1", "--seconds-per-seed", "inf", *PAIR), "zero or more per seed"),
        (("--effect", "0.1", "--power", "nan", *PAIR), "alpha < power"),
        (("--effect", "0.1"), "which arms will be compared"),
        (("--effect", "0.1", "--power", "1.5", *PAIR), "power"),
        (("--effect", "0.1", "--json", tmp_path / "none" / "plan.json", *PAIR), "cannot be written"),
    ]:
        result = cli("plan", run, *options)
        assert result.code == 2
        assert message in result.err
        assert "Traceback" not in result.text
    assert cli("plan", tmp_path, "--effect", "0.1").code == 2
