"""What a reader sees of slices: a figure under the whole, tables, lines of text; nothing where there are none."""

import copy
import re
import xml.etree.ElementTree as ElementTree

import pytest

from rlbench.rendering import palette
from rlbench.rendering.figures import drawings
from rlbench.rendering.markdown import render_markdown
from rlbench.rendering.page import render_html
from rlbench.rendering.report import Report
from rlbench.rendering.sections import MANY, sections
from rlbench.rendering.slice_figures import slice_panel
from rlbench.rendering.slice_tables import slice_pairs_table, slice_table
from rlbench.rendering.slice_text import render_slices

TASK = "arithmetic"
GROUPS = [("length", "short", 170), ("length", "long", 325), ("difficulty", "hard", 200), ("language", "sk", 5)]


def add_slices(comparison, groups=GROUPS):
    """A copy with rows for every pair of arms; those of five prompts are not estimated."""
    rows = []
    for name, group, prompts in groups:
        for estimate in comparison["estimates"]:
            if estimate["primary"]:
                kept = {key: estimate[key] for key in ("task", "metric", "a", "b", "value", "low", "high", "p_value")}
                row = {"slice": name, "group": group, "prompts": prompts, "unit": "fraction", "higher_is_better": True}
                row |= kept | {"score_a": 0.5, "score_b": 0.5 + kept["value"], "p_adjusted": kept["p_value"]}
                if prompts < 10:
                    row |= dict.fromkeys(("value", "low", "high", "p_value", "p_adjusted", "score_a", "score_b"))
                    row["reason"] = "fewer than 10 prompts"
                rows.append(row)
    return copy.deepcopy(comparison) | {"slices": rows}


@pytest.fixture
def sliced(comparison):
    return add_slices(comparison)


def texts(document):
    return [element.text for element in ElementTree.fromstring(document).iter() if element.tag.endswith("}text")]


def test_the_figure_has_a_line_per_group_under_the_whole(sliced):
    found = texts(slice_panel(sliced, TASK))
    places = [found.index(name) for name in ("all prompts (500)", "length", "short (170)", "long (325)")]
    assert places == sorted(places)
    assert {"difficulty", "hard (200)", "language", "sk (5)"} <= set(found)
    assert "correctness: difference from SFT, points, higher is better" in found
    assert {"PPO", "GRPO", "GSPO", "DPO"} <= set(found), "the legend names every arm but the baseline"


def test_a_decided_difference_is_filled_and_an_undecided_one_is_hollow(completions_only):
    comparison = add_slices(completions_only.comparison, GROUPS[:1])
    (colour,) = (palette.arm_colours(comparison)[row["b"]] for row in comparison["slices"])
    filled = rf"fill: {colour}; stroke: {colour}"
    counts = []
    for p_adjusted in (0.01, 0.5):
        comparison["slices"][0]["p_adjusted"] = comparison["estimates"][0]["p_adjusted"] = p_adjusted
        counts.append(len(re.findall(filled, slice_panel(comparison, TASK))))
    assert counts[0] > 0
    assert counts[1] == 0


def test_the_tables_have_the_pairs_with_the_baseline_first_and_all_of_them_folded(sliced):
    shown, every = slice_table(sliced), slice_pairs_table(sliced)
    assert len(shown.rows) == 4 * len(GROUPS)
    assert len(every.rows) == 10 * len(GROUPS)
    first, last = shown.rows[0], shown.rows[-1]
    assert [cell.text for cell in first[:4]] == ["length", "short", TASK, "PPO − SFT"]
    assert (last[7].text, last[7].detail) == ("–", "fewer than 10 prompts")
    assert "find questions, not to answer them" in shown.note


def test_one_pair_has_one_table(completions_only):
    comparison = add_slices(completions_only.comparison)
    assert len(slice_table(comparison).rows) == len(GROUPS)
    assert slice_pairs_table(comparison) is None


def test_the_section_follows_the_differences_and_says_that_it_explores(sliced):
    report = Report(sliced)
    drawn = drawings(report)
    found = sections(report, drawn)
    anchors = [section.anchor for section in found]
    assert anchors[anchors.index("differences") + 1] == "slices"
    section = found[anchors.index("slices")]
    assert section.paragraphs[0].startswith("Exploratory: ")
    assert "declares no difficulty" in section.paragraphs[0]
    assert [drawing.name for drawing in section.drawings] == [f"slices-{TASK}"]
    page, text = render_html(report, drawn), render_markdown(report, drawn, "figures")
    assert '<section id="slices">' in page
    assert "## Slices" in text
    assert f"figures/slices-{TASK}.svg" in text


def test_many_rows_are_folded(comparison):
    groups = [("subject", f"s{number}", 100) for number in range(MANY // 4 + 1)]
    report = Report(add_slices(comparison, groups))
    (section,) = [found for found in sections(report, []) if found.anchor == "slices"]
    assert section.tables == []
    assert [len(table.rows) for table in section.folded] == [4 * len(groups), 10 * len(groups)]
    assert "difficulty" not in section.paragraphs[0]


def test_an_older_comparison_has_no_such_section(comparison):
    older = {key: value for key, value in comparison.items() if key != "slices"}
    for found in (comparison, older):
        report = Report(found)
        assert "slices" not in [section.anchor for section in sections(report, drawings(report))]


def test_hostile_names_are_shown_and_do_nothing(hostile):
    evil = "<img src=x onerror=alert(1)>\u202e\x1b[31m|$x$"
    comparison = add_slices(hostile.comparison, [(evil, evil, 50), (evil, evil + "2", 5)])
    for row in comparison["slices"]:
        row.update({"task": TASK} | ({"reason": evil} if "reason" in row else {}))
    report = Report(comparison)
    drawn = drawings(report)
    outputs = [
        render_html(report, drawn),
        render_markdown(report, drawn, "figures"),
        render_slices(comparison["slices"]),
    ]
    assert "<img" not in outputs[0]
    assert "<img" not in outputs[1]
    for text in (*outputs[1:], *(drawing.svg for drawing in drawn)):
        assert not {"\x1b", "\u202e"} & set(text)


def test_lines_of_text(completions_only):
    comparison = add_slices(completions_only.comparison, [GROUPS[0], GROUPS[3]])
    comparison["slices"][0].update(value=0.1234, low=0.1, high=0.15, p_adjusted=0.0321)
    assert render_slices(comparison["slices"]).splitlines() == [
        "Slices (later - earlier; p adjusted by Benjamini-Hochberg over all slices, exploratory)",
        "arithmetic: correctness, points",
        "  length    short  n=170  GRPO - SFT  +12.3 [10.0, 15.0]           p = .032",
        "  language  sk       n=5  GRPO - SFT      – fewer than 10 prompts",
    ]
    assert "none" in render_slices([])
