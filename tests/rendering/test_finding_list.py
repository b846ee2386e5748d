"""What a reader sees of the findings: how many near the verdict, and each with whom it is about."""

import re

import pytest

from rlbench.rendering.findings import finding_items, pointer, subject
from rlbench.rendering.markdown import render_markdown
from rlbench.rendering.page import render_html
from rlbench.rendering.terminal import render_terminal


def test_every_finding_is_an_item_with_its_subject_and_tone(comparison):
    assert [(item.mark, item.tone, item.subject) for item in finding_items(comparison)] == [
        ("serious", "bad", "GRPO, seeds 1 and 3"),
        ("warning", "warning", "PPO, every seed"),
        ("info", "muted", ""),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"arm": "grpo", "task": "arithmetic", "seeds": [4]}, "GRPO on arithmetic, seed 4"),
        ({"arm": "grpo", "task": None, "seeds": []}, "GRPO"),
        ({"arm": None, "task": "sorting", "seeds": [0, 1, 2, 3, 4]}, "on sorting, every seed"),
        ({}, ""),
    ],
)
def test_the_subject_names_no_more_than_is_known(failed_audit, row, words):
    assert subject(row, failed_audit.comparison) == words


def test_the_pointer_counts_and_takes_the_worst_tone(comparison):
    (found,) = pointer(comparison)
    assert (found.text, found.tone) == ("3 findings about the runs: 1 serious, 1 warning, 1 note", "bad")
    comparison["findings"] = comparison["findings"][1:] * 2
    (found,) = pointer(comparison)
    assert (found.text, found.tone) == ("4 findings about the runs: 2 warnings, 2 notes", "warning")
    comparison["findings"] = []
    assert pointer(comparison) == []


def test_the_page_leads_from_the_verdict_to_the_findings(report):
    page = render_html(report, [])
    verdict = page[page.index('<section id="verdict"') : page.index("</section>")]
    assert '<a href="#findings">3 findings about the runs: 1 serious, 1 warning, 1 note</a>' in verdict
    listed = page[page.index('<section id="findings"') :]
    assert re.search(r"<strong>GRPO, seeds 1 and 3:</strong> KL to the SFT policy grew", listed)
    report.comparison["findings"].clear()
    page = render_html(report, [])
    assert "#findings" not in page
    assert 'id="findings"' not in page


def test_markdown_and_terminal_say_the_same(report):
    markdown = render_markdown(report, [], "figures")
    assert "[3 findings about the runs: 1 serious, 1 warning, 1 note](#findings)" in markdown
    assert (
        "- serious: **GRPO, seeds 1 and 3**: KL to the SFT policy grew from 0.2 to 61 nats per completion." in markdown
    )
    assert "- info: 5 seeds cannot give" in markdown
    terminal = " ".join(render_terminal(report.comparison).split())
    assert "! serious: GRPO, seeds 1 and 3: KL to the SFT policy grew from 0.2 to 61 nats" in terminal


def test_an_unknown_severity_is_the_mildest_and_hostile_names_stay_text(hostile):
    strange, evil = finding_items(hostile.comparison)[-2:]
    assert (strange.mark, strange.subject) == ("info", "")
    assert evil.subject.startswith("<script>alert")
    assert "\u202e" not in evil.subject + evil.text
    assert "4 findings" not in pointer(hostile.comparison)[0].text, "it counts five"
    assert "<strong><script" not in render_html(hostile, [])
