import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib as mpl
import pytest

from rlbench.rendering import palette, svg
from rlbench.rendering.curve_figures import points, reward_name
from rlbench.rendering.figures import drawings


def figures(report):
    return {drawing.name: drawing.svg for drawing in drawings(report)}


def texts(document):
    return [element.text for element in ElementTree.fromstring(document).iter() if element.tag.endswith("}text")]


def test_the_same_report_gives_the_same_bytes_and_leaves_no_trace(report):
    before = dict(mpl.rcParams)
    first = figures(report)
    mpl.rcParams["font.size"] = 30
    second = figures(report)
    mpl.rcParams["font.size"] = before["font.size"]
    assert first == second
    assert dict(mpl.rcParams) == before


def test_a_full_report_has_every_figure_primary_first(report):
    assert list(figures(report)) == [
        "intervals-arithmetic-correctness",
        "differences-arithmetic-correctness",
        "secondary-arithmetic",
        "curves-arithmetic",
        "frontier-arithmetic",
        "diagnostics-arithmetic",
        "phases-arithmetic",
    ]


def test_a_report_with_a_proxy_shows_it_against_gold(report, proxied):
    usual = {drawing.name for drawing in drawings(report)}
    extra = [drawing for drawing in drawings(proxied) if drawing.name not in usual]
    assert [drawing.name for drawing in extra] == ["best-of-n-arithmetic", "reward-model-arithmetic"]
    assert "when the proxy chooses it" in extra[0].title


def test_figures_cope_with_what_is_not_there(completions_only, failed_seed, failed_audit, hostile):
    assert list(figures(completions_only)) == [
        "intervals-arithmetic-correctness",
        "differences-arithmetic-correctness",
        "secondary-arithmetic",
    ]
    assert len(figures(failed_audit)) == 14
    for report in (completions_only, failed_seed, failed_audit, hostile):
        for name, document in figures(report).items():
            assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name)
            ElementTree.fromstring(document)
            assert "<metadata" not in document
            assert "<script" not in document


def test_the_figures_write_the_numbers_of_the_record(report):
    shown = texts(figures(report)["intervals-arithmetic-correctness"])
    for score in report.comparison["scores"]:
        if score["metric"] == "correctness":
            assert f"{100 * score['value']:.1f}" in shown
            assert f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]" in shown
    differences = texts(figures(report)["differences-arithmetic-correctness"])
    for row in report.comparison["estimates"]:
        if row["primary"]:
            low, high = 100 * row["low"], 100 * row["high"]
            assert f"{100 * row['value']:+.1f} [{low:.1f}, {high:.1f}]" in differences


def test_hostile_names_stay_text(hostile):
    shown = texts(figures(hostile)["intervals-arithmetic-correctness"])
    assert any(text.startswith("<script>alert") for text in shown)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_any_number_of_arms(comparison, report, count):
    names = [f"arm{index}" for index in range(count)]
    base = [row for row in comparison["scores"] if row["arm"] == "ppo"]
    comparison["arms"] = [{"name": name, "kind": "algorithm"} for name in names]
    comparison["scores"] = [{**row, "arm": name} for name in names for row in base]
    comparison["estimates"], comparison["runs"] = [], []
    colours = palette.arm_colours(comparison)
    assert len(set(colours.values())) == count
    assert len(set(palette.arm_markers(comparison).values())) == count
    assert "intervals-arithmetic-correctness" in figures(report)


def test_every_colour_has_a_twin_for_dark_paper():
    assert set(palette.ARMS) <= set(palette.DARK)
    assert all(colour in svg.dark_rules() for pair in palette.DARK.items() for colour in pair)


def test_nothing_is_smoothed_and_gaps_are_left_out(report):
    run = report.runs[0]
    measured = [(row["completions"], row["dev_reward"]) for row in run.curve if row["dev_reward"] is not None]
    assert points(run, "completions", "dev_reward") == measured
    assert reward_name(report.runs) == "dev_reward"


def test_diagnostics_show_a_panel_for_what_was_logged_and_a_line_for_every_run_that_logged_it(report):
    document = figures(report)["diagnostics-arithmetic"]
    shown = texts(document)
    assert {"KL to SFT, nats a completion", "entropy, nats per token", "clip fraction"} <= set(shown)
    assert not {"truncated fraction", "mean length, tokens"} & set(shown), "nobody logged them"
    lines = {arm: document.count(f"stroke: {colour}") for arm, colour in palette.arm_colours(report.comparison).items()}
    drawn = {arm: lines[arm] - lines["dpo"] for arm in ("ppo", "grpo", "gspo")}
    assert drawn == {"ppo": 5, "grpo": 5, "gspo": 5}, "DPO has no clip, and no line in its panel"
    nothing = [replace(run, curve=[{"completions": 1.0, "reward_mean": 0.5}]) for run in report.runs]
    assert "diagnostics-arithmetic" not in figures(replace(report, runs=nothing))


def test_the_path_of_reward_against_kl_needs_more_than_one_point(report):
    """A short run is evaluated once with its KL, before it has learnt anything."""
    short = [
        replace(run, curve=[row | {"dev_reward": 0.5 if row["step"] == 0 else None} for row in run.curve])
        for run in report.runs
    ]
    assert "training reward, mean of the batch" in texts(figures(replace(report, runs=short))["frontier-arithmetic"])
    assert "reward on the dev split" in texts(figures(report)["frontier-arithmetic"])


def test_ids_in_a_page_belong_to_one_figure_only(report):
    page = "".join(svg.inline(drawing.svg, drawing.name, "x") for drawing in drawings(report))
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page)
    assert {first or second for first, second in used} <= set(ids)
