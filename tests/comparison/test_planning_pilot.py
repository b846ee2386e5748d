"""What the planner reads from a pilot: values per completion, which arms, what is confounded, what a seed costs."""

import numpy as np
import pandas as pd
import pytest

from rlbench.comparison import pilot as pilot_module
from rlbench.comparison.arms import Arm, TaskScores
from rlbench.comparison.pilot import completion_values, read_pilot
from rlbench.errors import InputError
from rlbench.metrics.table import prompt_statistics
from rlbench.registry import load

PROMPTS = tuple(f"p{number}" for number in range(30))


def table(samples=4, seed=0, **columns):
    """Rows of completions in a shuffled order; `columns` are functions of (generator, size)."""
    generator = np.random.default_rng(seed)
    count = len(PROMPTS) * samples
    rows = pd.DataFrame({"sample_id": np.repeat(PROMPTS, samples), "completion_index": np.tile(range(samples), 30)})
    for name, draw in columns.items():
        rows[name] = draw(generator, count)
    return rows.sample(frac=1.0, random_state=seed)


def answers(seed=0, samples=4, rate=0.6):
    return table(samples, seed, correct=lambda generator, size: (generator.random(size) < rate).astype(float))


def likelihoods(seed=0):
    return table(
        1, seed,
        reference_nll=lambda generator, size: generator.gamma(9.0, size=size),
        reference_tokens=lambda generator, size: generator.integers(4, 12, size=size).astype(float),
    )  # fmt: skip


def arm(name, tables, kind="algorithm", seeds=None, metrics=("correctness",), grader="correctness"):
    by_seed = {seed: {grader: each} for seed, each in tables.items()}
    scores = TaskScores("sums", "test", "d", {grader: [1, {}]}, metrics, metrics[0], PROMPTS, by_seed)
    usage = {("sums", seed): {"seconds": 10.0 + seed} for seed in tables} if kind == "algorithm" else {}
    return Arm(name, kind, tuple(seeds or tables), {"sums": scores}, usage=usage)


@pytest.fixture
def reading(monkeypatch):
    """`reading(arm, ...)`: the pilot "pilot" holds these arms."""
    return lambda *arms: monkeypatch.setattr(pilot_module, "read_source", lambda source: list(arms))


def runs(seeds=4, first=0, **keywords):
    return {seed: answers(first + seed, **keywords) for seed in range(seeds)}


def test_a_mean_has_the_values_of_its_column():
    rows = answers()
    expected = rows.sort_values(["sample_id", "completion_index"]).set_index("sample_id").loc[list(PROMPTS)]
    values = completion_values(rows, load("metrics", "correctness"), PROMPTS)
    assert values == pytest.approx(expected["correct"].to_numpy().reshape(30, 4))


def test_a_nonlinear_metric_is_the_mean_of_its_values_and_they_are_its_influences():
    rows, metric = likelihoods(), load("metrics", "perplexity")
    values = completion_values(rows, metric, PROMPTS)[:, 0]
    sums = prompt_statistics(rows, metric, PROMPTS).sums
    value = float(metric.aggregate(sums.sum(axis=0)))
    assert values.mean() == pytest.approx(value)
    # the jackknife's pseudo-values are an independent approximation of the same influences
    pseudo = 30 * value - 29 * metric.aggregate(sums.sum(axis=0) - sums)
    assert values == pytest.approx(pseudo, abs=0.1 * np.std(pseudo))


def test_corpus_bleu_is_the_mean_of_its_values():
    metric = load("metrics", "bleu")
    rows = table(2, **{name: lambda generator, size: generator.integers(1, 5, size).astype(float)
                       for name in metric.columns})  # fmt: skip
    for number in range(1, 5):  # no more matches than there are n-grams
        rows[f"total{number}"] = rows[f"total{number}"] + rows[f"correct{number}"]
    value = metric.aggregate(prompt_statistics(rows, metric, PROMPTS).sums.sum(axis=0))
    assert completion_values(rows, metric, PROMPTS).mean() == pytest.approx(value)


def test_unscored_completions_leave_one_value_per_prompt():
    rows = answers()
    rows.iloc[5, rows.columns.get_loc("correct")] = np.nan
    values = completion_values(rows, load("metrics", "correctness"), PROMPTS)
    assert values.shape == (30,)
    assert values.mean() == pytest.approx(rows["correct"].mean())


def test_two_arms_are_compared_seed_by_seed(reading):
    reading(arm("sft", runs(), "shared"), arm("a", runs()), arm("b", runs(first=100, rate=0.8)))
    found = read_pilot("pilot", None, None, ())
    assert found.arms == ("a", "b")
    assert (found.components.seeds, found.components.prompts, found.components.samples) == (4, 30, 4)
    assert found.components.raw.sample == pytest.approx(0.6 * 0.4 + 0.8 * 0.2, rel=0.25)
    assert found.seconds_per_seed == pytest.approx(2 * 11.5)
    assert found.seconds_per_completion is None
    assert found.notes == ()


def test_one_arm_stands_for_two_like_it(reading):
    reading(arm("sft", runs(first=50), "shared"), arm("a", runs()))
    one = read_pilot("pilot", None, None, ())
    assert one.arms == ("a",)
    assert one.components.raw.prompt == 0.0
    assert one.components.raw.sample == pytest.approx(2 * 0.6 * 0.4, rel=0.25)
    assert one.seconds_per_seed == pytest.approx(2 * 11.5)
    assert "assumed to share nothing but the prompts" in one.notes[0]
    against_sft = read_pilot("pilot", None, None, ("sft", "a"))
    assert against_sft.seconds_per_seed == pytest.approx(11.5)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({0: answers(0), 1: answers(1, samples=3)}, "different numbers"),
        ({0: answers(0, samples=1), 1: answers(1, samples=1)}, "one sample per prompt"),
    ],
)
def test_what_a_sample_adds_is_left_open_where_it_cannot_be_told(reading, tables, reason):
    reading(arm("a", tables))
    found = read_pilot("pilot", None, None, ())
    assert found.components.confounded
    assert reason in found.notes[0]


def test_a_metric_that_is_the_same_for_all_samples_keeps_their_number(reading):
    once = {seed: likelihoods(seed) for seed in range(3)}
    twice = {seed: pd.concat([rows, rows.assign(completion_index=1)]) for seed, rows in once.items()}
    reading(arm("a", twice, metrics=("perplexity",), grader="likelihood"))
    found = read_pilot("pilot", None, None, ())
    assert found.components.confounded
    assert found.components.samples == 2
    assert "the same for all samples" in found.notes[0]
    assert "linearisation" in found.notes[1]


def test_seeds_that_did_not_finish_are_named(reading):
    reading(arm("a", runs()), arm("b", runs(first=9, seeds=3), seeds=range(4)))
    found = read_pilot("pilot", None, None, ())
    assert found.components.seeds == 3
    assert found.notes == ("seeds 3 did not finish in every arm and are left out",)


def test_wrong_choices_are_explained(reading):
    reading(*(arm(name, runs()) for name in "abc"), arm("one", runs(1)), arm("same", runs(rate=1.0)))
    for names, message in [
        ((), "which arms will be compared"),
        (("d",), "to be one of a, b, c, one, same, got 'd'"),
        (("a", "a"), "two different ones"),
        (("one",), "at least 2 seeds"),
        (("same",), "did not vary between seeds"),
    ]:
        with pytest.raises(InputError, match=message):
            read_pilot("pilot", None, None, names)
    with pytest.raises(InputError, match="--task to be one of sums, got 'text'"):
        read_pilot("pilot", "text", None, ("a",))
    with pytest.raises(InputError, match="nothing was scored on 'bleu'; expected one of correctness"):
        read_pilot("pilot", None, "bleu", ("a",))
