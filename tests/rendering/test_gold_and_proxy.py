"""What a reader sees of proxy and gold: curves side by side, best of n, the reward model, prompts left out."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from rlbench.rendering import palette, svg
from rlbench.rendering.best_of_n import best_of_n_item
from rlbench.rendering.best_of_n_figures import best_of_n_panels
from rlbench.rendering.curve_figures import learning_curves, reward_frontier
from rlbench.rendering.excluded import excluded_sentence
from rlbench.rendering.figures import drawings
from rlbench.rendering.markdown import render_markdown
from rlbench.rendering.page import render_html
from rlbench.rendering.reward_model_figures import reward_model_panels
from rlbench.rendering.rewards import rewards_of
from rlbench.rendering.sections import sections
from rlbench.rendering.terminal import render_terminal
from rlbench.stages.report import write_report

TASK = "arithmetic"


def texts(document):
    return [element.text for element in ElementTree.fromstring(document).iter() if element.tag.endswith("}text")]


def lines(document, colour, least):
    """The (x, y) points of every line of a colour that has at least so many points; y grows downwards."""
    paths = re.findall(
        r'<path d="(M[^"]*)"[^>]*style="fill: none; (?:stroke-dasharray[^"]*)?stroke: ([^;"]*)', document
    )
    found = [
        [tuple(map(float, point)) for point in re.findall(r"[ML] (\S+) (\S+)", d)] for d, ink in paths if ink == colour
    ]
    return [line for line in found if len(line) >= least]


def section(report, anchor):
    return next(found for found in sections(report, []) if found.anchor == anchor)


def anchors(report):
    return [found.anchor for found in sections(report, drawings(report))]


def test_the_new_sections_stand_where_they_belong(proxied, report):
    shown = anchors(proxied)
    assert shown[shown.index("differences") :][:4] == ["differences", "rewards", "model", "learning"]
    assert shown[shown.index("failures") :][:3] == ["failures", "excluded", "findings"]
    assert [anchor for anchor in shown if anchor not in ("rewards", "model", "excluded")] == anchors(report)


@pytest.mark.parametrize("draw", [learning_curves, reward_frontier])
def test_curves_of_proxy_and_gold_stand_side_by_side(proxied, draw):
    document = draw(proxied, TASK)
    assert {"proxy: reward_model.reward", "gold: composite.total", "reward on the dev split"} <= set(texts(document))
    assert texts(document).count("completions" if draw is learning_curves else "KL to the SFT policy, nats") == 2
    assert "seconds" not in texts(document)
    for colour in list(palette.arm_colours(proxied.comparison).values())[1:]:
        found = sorted(lines(document, colour, 8))
        rising = [line[-1][1] < line[0][1] for line in found]
        assert rising == [True] * 5 + [False] * 5, "five seeds in two panels, and gold falls"


@pytest.mark.parametrize("draw", [learning_curves, reward_frontier])
def test_curves_are_as_ever_where_gold_has_no_name_or_was_not_recorded(proxied, report, draw):
    unnamed = replace(
        proxied, comparison=proxied.comparison | {"rewards": [{"task": TASK, "proxy": None, "gold": None}]}
    )
    unrecorded = replace(proxied, runs=report.runs)
    assert draw(unnamed, TASK) == draw(report, TASK) == draw(unrecorded, TASK)


def test_a_short_run_shows_the_rewards_of_its_batches(proxied):
    runs = [
        replace(run, curve=[row | {"dev_reward": None, "dev_gold": None} for row in run.curve]) for run in proxied.runs
    ]
    document = learning_curves(replace(proxied, runs=runs), TASK)
    assert "training reward, mean of the batch" in texts(document)
    assert len(lines(document, palette.ARMS[0], 40)) == 10


def test_the_lines_of_best_of_n_rise_and_fall_as_the_record_does(proxied):
    document = best_of_n_panels(proxied.comparison, TASK)
    assert {"proxy: reward_model.reward", "gold: composite.total", "1", "2", "4", "8"} <= set(texts(document))
    assert "3" not in texts(document)
    for arm, colour in palette.arm_colours(proxied.comparison).items():
        proxy, gold = sorted(lines(document, colour, 8))
        assert [x for x, _ in proxy] == sorted(x for x, _ in proxy), "the rows of the record are in another order"
        assert proxy[-1][1] < proxy[0][1]
        assert (gold[-1][1] > gold[0][1]) == (arm == "ppo")


def test_dots_of_a_calibrated_model_lie_on_the_diagonal(proxied):
    (model,) = proxied.comparison["reward_models"]
    for row in model["calibration"]:
        row.update(observed=row["predicted"], low=row["predicted"] - 0.02, high=row["predicted"] + 0.02)
    document = reward_model_panels(proxied.comparison, TASK)
    (diagonal,) = [
        line for line in lines(document, palette.MUTED, 2) if line[0][0] != line[1][0] and line[0][1] != line[1][1]
    ]
    (left, bottom), (right, top) = diagonal
    bars = [line for line in lines(document, palette.ARMS[0], 2) if line[0][0] == line[1][0]]
    assert len(bars) == 10
    for (x, low), (_, high) in bars:
        assert (low + high) / 2 == pytest.approx(bottom + (x - left) / (right - left) * (top - bottom), abs=1e-3)


@pytest.mark.parametrize("members", [1, 3])
def test_every_member_of_an_ensemble_has_a_row(proxied, members):
    (model,) = proxied.comparison["reward_models"]
    model["members"] = model["members"][:members]
    shown = set(texts(reward_model_panels(proxied.comparison, TASK)))
    assert ({"all members", "member 0", "member 2"} <= shown) == (members == 3)
    assert ("reward model" in shown) == (members == 1)


def test_the_sentence_names_the_arms_whose_gold_falls(proxied):
    item = best_of_n_item(proxied.comparison, TASK)
    assert (item.mark, item.tone, item.subject) == ("gold falls", "bad", "")
    assert item.text == (
        "Taking the best of 8 by the proxy instead of one completion changes gold by -0.270 (PPO) to +0.228 (DPO). "
        "Gold falls as n grows for PPO: the proxy prefers what gold does not."
    )


def test_a_fall_inside_the_intervals_is_no_fall(proxied):
    for row in proxied.comparison["best_of_n"]:
        row.update(gold_low=row["gold"] - 1, gold_high=row["gold"] + 1)
    item = best_of_n_item(proxied.comparison, TASK)
    assert (item.mark, item.tone) == ("no clear gain", "")
    assert item.text.endswith("For PPO gold is highest at a smaller n, but the intervals overlap.")


def test_a_proxy_that_helps_every_arm_is_said_to(proxied):
    rows = [row for row in proxied.comparison["best_of_n"] if row["arm"] == "grpo"]
    proxied.comparison["best_of_n"] = rows
    item = best_of_n_item(proxied.comparison, TASK)
    assert item.mark == "gold rises"
    assert item.text.endswith("changes gold by +0.204 (GRPO). Gold does not fall as n grows.")
    proxied.comparison["best_of_n"] = [row for row in rows if row["n"] == 1]
    assert best_of_n_item(proxied.comparison, TASK) is None, "one completion a prompt leaves no choice"


def test_the_table_of_best_of_n_shows_the_first_and_the_last_n(proxied):
    (table,) = section(proxied, "rewards").tables
    for row, arm in zip(table.rows, ("sft", "ppo", "grpo", "gspo", "dpo"), strict=True):
        ends = {r["n"]: r for r in proxied.comparison["best_of_n"] if r["arm"] == arm and r["n"] in (1, 8)}
        shown = [row[place].sort for place in (1, 2, 4, 5)]
        assert shown == [ends[1]["proxy"], ends[1]["gold"], ends[8]["proxy"], ends[8]["gold"]]
        assert f"{ends[8]['gold']:.3f}" == row[5].text
        assert (row[6].text, row[6].tone) == (("2", "warning") if arm == "ppo" else ("8", ""))


def test_the_reward_model_says_what_it_learnt_from_and_how_right_it_is(proxied):
    found = section(proxied, "model")
    (row,) = found.tables[0].rows
    assert [cell.text for cell in row] == ["the gold reward", "2,000", "10 %", "500", "71.2", "68.0, 69.0, 70.0"]
    assert (row[3].detail, row[4].detail) == ("worth 410", "[66.0, 76.0]")
    assert "73 %" not in found.paragraphs[0]
    proxied.comparison["reward_models"][0]["labels"] = "preferences"
    found = section(proxied, "model")
    assert found.tables[0].rows[0][0].text == "people's preferences"
    assert "73 %" in found.paragraphs[0]


def test_prompts_left_out_are_counted_everywhere(proxied):
    words = "12 training or dev prompts are left out for every arm: a reward cannot judge them."
    assert words in section(proxied, "excluded").paragraphs[0]
    assert words in render_terminal(proxied.comparison)
    assert words in render_html(proxied, [])
    markdown = render_markdown(proxied, [], "figures")
    assert words in markdown
    assert "| the reference fails | 7 |\n| a program that answers None passes | 5 |" in markdown, (
        "the most frequent first"
    )
    proxied.comparison["excluded"] = [{"task": TASK, "reason": "x", "prompts": 1}]
    assert excluded_sentence(proxied.comparison).startswith("1 training or dev prompt is left out")
    proxied.comparison["excluded"] = []
    assert "excluded" not in {found.anchor for found in sections(proxied, [])}
    assert "left out" not in render_terminal(proxied.comparison)


def test_many_reasons_are_folded(proxied):
    proxied.comparison["excluded"] = [{"task": TASK, "reason": f"reason {i}", "prompts": 1} for i in range(13)]
    found = section(proxied, "excluded")
    assert (len(found.tables), len(found.folded[0].rows)) == (0, 13)


def test_findings_about_the_proxy_are_shown_as_all_are(proxied):
    proxied.comparison["findings"] = [
        {"name": name, "severity": severity, "arm": "ppo", "task": TASK, "seeds": [0], "step": None, "text": name}
        for name, severity in (("over_optimisation", "serious"), ("shared_pairs", "warning"))
    ]
    shown = [(item.mark, item.subject, item.text) for item in section(proxied, "findings").items]
    assert shown == [("serious", "PPO, seed 0", "over_optimisation"), ("warning", "PPO, seed 0", "shared_pairs")]


def test_a_comparison_without_the_keys_has_no_rewards(completions_only):
    assert rewards_of(completions_only.comparison, TASK) is None
    assert best_of_n_item(completions_only.comparison, TASK) is None
    assert reward_model_panels(completions_only.comparison, TASK) is None


def test_a_report_draws_every_figure_once(proxied, tmp_path, monkeypatch):
    drawn, draw = [], svg.text_of
    monkeypatch.setattr(svg, "text_of", lambda figure: drawn.append(figure) or draw(figure))
    write_report(tmp_path, proxied)
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert len(drawn) == len(files) == 9
    assert {"best-of-n-arithmetic.svg", "reward-model-arithmetic.svg"} <= set(files)
    linked = re.findall(r"!\[[^\]]*\]\(<figures/([^>]*)>\)", (tmp_path / "report.md").read_text(encoding="utf-8"))
    assert set(linked) == set(files) - {"diagnostics-arithmetic.svg"}, "the diagnostics are folded"
