"""gate.yaml: what it says is checked against what metrics are, and every mistake names file and line."""

import numpy as np
import pytest
from regress_arms import arm, levels, scores

from rlbench.comparison.gate import read_gate, template
from rlbench.comparison.noise import half_width
from rlbench.errors import InputError


def gate(tmp_path, text):
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return read_gate(path)


def test_margins_are_in_the_unit_or_relative_and_directions_come_from_the_metric(tmp_path):
    read = gate(
        tmp_path,
        "estimand: population\ntasks: [sums]\nmetrics:\n  correctness: {margin: 0.02}\n  perplexity: {margin: 5%}\n"
        "  mean_length: {margin: 10 %, direction: both}\n  throughput: {margin: 2.5 %, interleaved: true}\n"
        "  peak_memory: {margin: .5 %}\n"
        "  pass@2: {margin: 0}\n",
    )
    found = {check.metric.name: (check.margin.value, check.margin.relative, check.direction) for check in read.checks}
    assert found == {
        "correctness": (0.02, False, "higher"),
        "perplexity": (0.05, True, "lower"),
        "mean_length": (0.1, True, "both"),
        "throughput": (0.025, True, "higher"),
        "peak_memory": (0.005, True, "lower"),
        "pass@2": (0.0, False, "higher"),
    }
    assert {check.metric.name for check in read.checks if check.interleaved} == {"throughput"}
    assert (read.estimand, read.tasks) == ("population", ("sums",))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("metrics:\n  correctness: {margin: 0.02, margins: 1}\n", 2, "unknown key"),
        ("metric:\n  correctness: {margin: 0.02}\n", 1, "unknown key"),
        ("metrics: {}\n", 1, "at least 1"),
        ("metrics:\n  correctness: {}\n", 2, "margin"),
        ("metrics:\n  correctness: {margin: -0.1}\n", 2, "zero or more"),
        ("metrics:\n  correctness: {margin: true}\n", 2, "zero or more"),
        ("metrics:\n  correctness: {margin: 2}\n", 2, "nothing could ever fail"),
        ("metrics:\n  correctness: {margin: 100 %}\n", 2, "nothing could ever fail"),
        ("metrics:\n  mean_length: {margin: 300 %, direction: higher}\n", 2, "nothing could ever fail"),
        (f"metrics:\n  perplexity: {{margin: {'1' * 400}}}\n", 2, "zero or more"),
        (f"metrics:\n  perplexity: {{margin: {'1' * 400} %}}\n", 2, "zero or more"),
        ("metrics:\n  perplexity: {margin: nan}\n", 2, "zero or more"),
        ("metrics:\n  correctness: {margin: two}\n", 2, "'5 %'"),
        ("metrics:\n  correctness: {margin: .nan}\n", 2, "finite"),
        ("metrics:\n  correctness: {margin: -5 %}\n", 2, "'5 %'"),
        ("metrics:\n  correctnes: {margin: 0.02}\n", 2, "did you mean 'correctness'"),
        ("metrics:\n  trouhgput: {margin: 2 %}\n", 2, "did you mean 'throughput'"),
        ("metrics:\n  correctness: {margin: 0.02, direction: higher}\n", 2, "leave it out"),
        ("metrics:\n  mean_length: {margin: 1}\n", 2, "say direction"),
        ("metrics:\n  mean_length: {margin: 1, direction: up}\n", 2, "direction"),
        ("metrics:\n  throughput: {margin: 3}\n", 2, "share of the baseline"),
        ("metrics:\n  throughput: {margin: 100 %}\n", 2, "share of the baseline"),
        ("metrics:\n  correctness: {margin: 0.02, interleaved: true}\n", 2, "only for speed"),
        ("metrics:\n  peak_memory: {margin: 2 %, interleaved: true}\n", 2, "only for speed"),
        ("estimand: best\nmetrics:\n  correctness: {margin: 0.02}\n", 1, "estimand"),
        ("tasks: []\nmetrics:\n  correctness: {margin: 0.02}\n", 1, "tasks"),
    ],
)
def test_a_wrong_gate_names_the_line(tmp_path, text, line, words):
    with pytest.raises(InputError, match=rf"gate\.yaml:{line}: (.|\n)*{words}"):
        gate(tmp_path, text)


@pytest.mark.parametrize("text", ["1e-2", "'0.01'", "0.01", "1.0e-2"])
def test_a_number_is_a_number_however_it_is_written(tmp_path, text):
    (check,) = gate(tmp_path, f"metrics:\n  correctness: {{margin: {text}}}\n").checks
    assert (check.margin.value, check.margin.relative) == (0.01, False)


def test_a_margin_beyond_everything_is_allowed_where_a_loss_can_still_exceed_it(tmp_path):
    (check,) = gate(tmp_path, "metrics:\n  perplexity: {margin: 300 %}\n").checks
    assert check.margin.value == 3


def test_a_missing_gate_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml"):
        read_gate(tmp_path / "none.yaml")


def test_the_template_can_be_read_and_suggests_margins_that_the_noise_allows(tmp_path):
    baseline = arm(levels([0.50, 0.52, 0.48, 0.51, 0.49, 0.53]), speeds=dict.fromkeys(range(6), 1.0))
    text = template([baseline])
    (check,) = gate(tmp_path, text).checks
    assert check.metric.name == "correctness"
    assert 0.02 < check.margin.value < 0.04  # sd .0187: the interval of six against six seeds is ± .0196
    assert "sd over 6 seeds 0.019" in text
    everything = gate(tmp_path, text.replace("\n  # ", "\n  "))
    assert {check.metric.name for check in everything.checks} == {
        "correctness", "mean_length", "throughput", "completions_per_second", "peak_memory",
    }  # fmt: skip


def test_suggested_margins_are_rounded_upwards_and_wider_where_both_sides_count(tmp_path):
    wide = dict.fromkeys(range(6), 8.0) | {0: 8.5}
    baseline = arm(
        levels(np.linspace(0.5, 0.51, 6)), tasks={"sums": scores(levels(np.linspace(0.5, 0.51, 6)), lengths=wide)}
    )
    text = template([baseline]).replace("\n  # ", "\n  ")
    correct, length = gate(tmp_path, text).checks
    floors = [half_width(dict(enumerate(values))) for values in (np.linspace(0.5, 0.51, 6), [8.5, *[8.0] * 5])]
    for check, factor, floor in ((correct, 1.5, floors[0]), (length, 1.8, floors[1])):
        assert factor * floor <= check.margin.value < 1.1 * factor * floor


def test_what_no_fraction_can_exceed_is_not_suggested_as_a_margin():
    assert "# correctness: too noisy for any margin" in template([arm(levels([0.0, 0.9]))])


def test_without_noise_only_a_custom_is_suggested_in_what_suits_the_unit(tmp_path):
    text = template([arm({0: 0.5})]).replace("\n  # ", "\n  ")
    assert [str(check.margin) for check in gate(tmp_path, text).checks] == ["0.02", "5 %"]


def test_the_template_of_one_seed_says_that_noise_is_not_known():
    assert "one seed: its noise is not known" in template([arm({0: 0.5})])
