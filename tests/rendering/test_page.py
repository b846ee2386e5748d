import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from rlbench.rendering.figures import drawings
from rlbench.rendering.markdown import escaped, render_markdown
from rlbench.rendering.page import embedded_json, is_file_name, render_html
from rlbench.rendering.report import Report
from rlbench.rendering.section import Section
from rlbench.rendering.sections import sections

REPORTS = ["report", "proxied", "failed_seed", "failed_audit", "completions_only", "hostile"]
VOID = {"meta", "input", "br", "hr", "img", "link"}


class Reader(HTMLParser):
    """Reads a page as a browser would: tags, attributes and visible text; complains where tags do not nest."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text, self.scripts = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.text).append(data)


@pytest.fixture(params=REPORTS)
def any_report(request):
    return request.getfixturevalue(request.param)


def words(page):
    return re.sub(r"\s+", " ", " ".join(Reader(page).text))


def test_the_page_is_well_formed_and_the_same_twice(any_report):
    page = render_html(any_report, drawings(any_report))
    Reader(page)
    assert page == render_html(any_report, drawings(any_report))


def test_the_policy_names_the_only_script(any_report):
    page = render_html(any_report, [])
    metas = [attributes for tag, attributes in Reader(page).tags if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-")
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_nothing_is_loaded_and_no_handler_is_inline(any_report):
    page = render_html(any_report, drawings(any_report))
    assert "http" not in page.replace("http-equiv", "")
    for tag, attributes in Reader(page).tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") for name in attributes)
        assert not str(attributes.get("href", "#")).startswith(("javascript:", "data:", "/", "http"))
        assert "src" not in attributes


def test_hostile_text_stays_text(hostile):
    page = render_html(hostile, drawings(hostile))
    reader = Reader(page)
    assert len([tag for tag, _ in reader.tags if tag == "script"]) == 2
    assert not {"\u202e", "\x1b"} & set(page.split('id="data">')[0])
    assert "⟨U+202E⟩" in page
    assert "<script>alert('x')</script>" in words(page)
    assert "alert('x')</script>" not in page
    anchors = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    assert all(re.fullmatch(r"#[a-z]+|[A-Za-z0-9._/-]+", target) for target in anchors)


def test_the_embedded_data_are_the_record(hostile):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', render_html(hostile, []))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text)["comparison"] == json.loads(json.dumps(hostile.comparison))
    assert embedded_json({"x": float("nan"), "y": (1, float("inf"))}) == '{"x":null,"y":[1,null]}'


def test_the_sections_of_a_full_report_are_in_order(report):
    assert [section.anchor for section in sections(report, drawings(report))] == [
        "budget",
        "scores",
        "differences",
        "learning",
        "diagnostics",
        "table",
        "throughput",
        "failures",
        "findings",
        "inputs",
        "algorithms",
        "signature",
        "environment",
        "reproduce",
        "downloads",
        "method",
    ]


def test_the_numbers_are_those_of_the_record(report):
    text = words(render_html(report, []))
    for score in report.comparison["scores"]:
        if score["metric"] == "correctness":
            low, high = 100 * score["low"], 100 * score["high"]
            assert f"{100 * score['value']:.1f} [{low:.1f}, {high:.1f}]" in text
    for row in report.comparison["estimates"]:
        if row["primary"]:
            assert f"{100 * row['value']:+.1f}" in text
            assert f"[{100 * row['simultaneous_low']:.1f}, {100 * row['simultaneous_high']:.1f}]" in text
    for run in report.comparison["budget"]["runs"]:
        assert f"{run['generated_tokens']:,}" in text


def test_a_full_report_says_that_everything_matched(report):
    text = words(render_html(report, []))
    for part in (
        "✓ Budgets match",
        "✓ 20 of 20 runs finished",
        "✓ Inputs match",
        "✓ as planned",
        "✓ identical for all arms",
        "None: all 20 runs finished.",
        report.comparison["signature"],
        "conditional on the shared SFT policy",
        "--out runs/quickstart",
    ):
        assert part in text, part


def test_a_failed_seed_is_counted_and_nothing_is_ranked(failed_seed):
    text = words(render_html(failed_seed, []))
    assert "✗ 19 of 20 runs finished" in text
    assert "✗ diverged at step 31" in text
    assert "4 of 5 seeds" in text
    assert "survivors only" in text
    assert "Bold: the best value" not in text


def test_a_failed_audit_is_said_in_words(failed_audit):
    text = words(render_html(failed_audit, []))
    assert "✗ Budget audit failed" in text
    assert "✗ off budget 1 of 5 runs" in text
    assert "100 to 8,192" in text
    assert "dpo seed 2: spent 100 of 8192 completions (-98.8 %)" in text


def test_completions_only_have_no_sections_about_training(completions_only):
    assert [section.anchor for section in sections(completions_only, drawings(completions_only))] == [
        "scores",
        "differences",
        "table",
        "signature",
        "method",
    ]
    assert "they do not say what training again would give" in words(render_html(completions_only, []))


def test_an_empty_comparison_still_gives_a_page():
    assert "There is nothing to compare" in words(render_html(Report({}), drawings(Report({}))))


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "javascript:1", "data:x", "a b", "", "//x.org", "a/../b"])
def test_links_lead_nowhere_but_below_the_page(target):
    assert not is_file_name(target)
    assert is_file_name("data/comparison.json")


def test_markdown_links_its_figures_and_shows_the_same_numbers(report):
    drawn = drawings(report)
    text = render_markdown(report, drawn, "figures")
    assert re.findall(r"!\[[^\]]*\]\(<([^>]*)>\)", text) == [
        f"figures/{drawing.name}.svg" for section in sections(report, drawn) for drawing in section.drawings
    ]
    for score in report.comparison["scores"]:
        if score["metric"] == "correctness":
            assert f"{100 * score['value']:.1f}" in text
    assert "- [comparison (JSON)](<comparison.json>)" in text
    assert "**On arithmetic GRPO has the best correctness" in text


def test_markdown_tables_are_rectangular(any_report):
    widths = []
    for line in [*render_markdown(any_report, [], "figures").splitlines(), ""]:
        if line.startswith("| "):
            widths.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(widths)) <= 1
            widths = []


def test_hostile_markdown_stays_text(hostile):
    text = render_markdown(hostile, [], "figures")
    outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert "](javascript" not in outside
    assert "\u202e" not in text
    assert escaped("*a* `b` [c](d) ![e](f)") == "\\*a\\* \\`b\\` [c]\\(d) !\\[e]\\(f)"


def test_code_cannot_leave_its_fence():
    report = Report({"kind": "experiment"}, reproduce="a\n```\n# b")
    assert "````\na\n```\n# b\n````" in render_markdown(report, [], "figures")
    assert Section("a", "b").code == ""
