import importlib
import math
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rlbench
from rlbench.errors import InputError
from rlbench.metrics import likelihood, means
from rlbench.metrics.table import prompt_statistics
from rlbench.records import Grader, Metric
from rlbench.registry import load

CHECKOUT = Path(rlbench.__file__).parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
ENTRIES = PROJECT["entry-points"]
OURS = ("rlbench.metrics.", "rlbench.graders.")


def resolve(value):
    module, _, name = value.partition(":")
    return getattr(importlib.import_module(module), name)


def members(name, found):
    """The metric of an entry point; of a family such as pass@k, two of its members."""
    return {name.replace("@k", f"@{k}"): found(k) for k in (1, 3)} if name.endswith("@k") else {name: found}


METRICS = {
    name: metric
    for entry, value in ENTRIES["rlbench.metrics"].items()
    if value.startswith(OURS[0])
    for name, metric in members(entry, resolve(value)).items()
}


def of_one_prompt(metric, rows):
    """The metric over rows [..., completion, column] that all belong to one prompt."""
    sums = metric.components(rows).sum(axis=-2)
    return metric.aggregate(sums if metric.per_prompt is None else metric.per_prompt(sums))


OPTIONS = {
    "pattern": {"pattern": "x"},
    "bertscore": {"model": "somebody/encoder"},
    "reasoning_gym": {"dataset": "lcm"},
    "composite": {"parts": {"words": {"grader": "length", "column": "words", "weight": 1.0}}},
}


def test_every_metric_reads_columns_that_its_grader_has():
    assert len(METRICS) >= 15
    for name, metric in METRICS.items():
        assert isinstance(metric, Metric)
        assert metric.name == name
        if metric.grader in ("reward", "gold"):  # played by any grader, with this one column
            assert metric.columns == ("value",)
            continue
        grader = resolve(ENTRIES["rlbench.graders"][metric.grader])(**OPTIONS.get(metric.grader, {}))
        assert isinstance(grader, Grader)
        assert grader.name == metric.grader
        assert set(metric.columns) <= set(grader.columns)
        assert metric.signature.split("|")[0] == name
        assert metric.description


def test_monitors_have_no_direction():
    undirected = {name for name, metric in METRICS.items() if metric.higher_is_better is None}
    assert undirected == {"mean_length", "truncated", "kl_to_sft", "proxy_reward"}
    assert {name for name, metric in METRICS.items() if metric.higher_is_better is False} == {
        "perplexity",
        "bits_per_byte",
    }


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_statistics_add_up_and_nothing_is_nan(metric):
    values = np.random.default_rng(0).integers(1, 9, size=(5, 7, len(metric.columns))).astype(float)
    if metric.per_prompt is not None:
        values %= 2  # passed or not
    assert metric.components(values).shape[:2] == (5, 7)
    sums = metric.components(values).sum(axis=1)
    sums = sums if metric.per_prompt is None else metric.per_prompt(sums)
    split = metric.aggregate(sums)
    assert split.shape == (5,)
    assert np.isfinite(split).all()
    for row in range(5):
        np.testing.assert_allclose(of_one_prompt(metric, values[row]), split[row], rtol=1e-12)
    # Having every prompt twice changes no metric.
    np.testing.assert_allclose(metric.aggregate(2 * sums), split, rtol=1e-12)
    # Nothing scored is NaN (and RuntimeWarnings are errors here).
    assert np.isnan(metric.aggregate(np.zeros(sums.shape[-1])))
    assert np.isnan(of_one_prompt(metric, np.zeros((0, len(metric.columns)))))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_rows_that_were_not_measured_do_not_count(metric):
    values = np.random.default_rng(1).integers(1, 9, size=(6, len(metric.columns))).astype(float)
    if metric.per_prompt is not None:
        values %= 2
    with_gaps = np.concatenate([values, np.full((4, len(metric.columns)), np.nan)])
    assert of_one_prompt(metric, with_gaps) == of_one_prompt(metric, values)
    assert np.isnan(of_one_prompt(metric, with_gaps[6:]))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_step_per_prompt_names_its_sums(metric):
    if metric.per_prompt is None:
        assert metric.component_names == ()
        assert metric.completions_needed == 1
    else:
        width = metric.components(np.ones((1, len(metric.columns)))).shape[-1]
        assert len(metric.component_names) == width


def test_a_mean_is_the_mean():
    values = np.random.default_rng(2).normal(size=(100, 1))
    assert means.kl_to_sft.aggregate(means.kl_to_sft.components(values).sum(axis=0)) == pytest.approx(values.mean())


def test_a_uniform_policy_has_the_perplexity_of_its_vocabulary():
    # 3 references of 10, 20 and 30 tokens under a uniform policy over 512 tokens, 2 bytes a token.
    tokens = np.array([10.0, 20.0, 30.0])
    nll = tokens * math.log(512)
    of_tokens = likelihood.perplexity.components(np.stack([nll, tokens], axis=-1)).sum(axis=0)
    of_bytes = likelihood.bits_per_byte.components(np.stack([nll, 2 * tokens], axis=-1)).sum(axis=0)
    assert likelihood.perplexity.aggregate(of_tokens) == pytest.approx(512, rel=1e-12)
    assert likelihood.bits_per_byte.aggregate(of_bytes) == pytest.approx(9 / 2, rel=1e-12)


def test_perplexity_weighs_tokens_not_references():
    rows = np.array([[1.0, 1.0], [9.0, 3.0]])
    assert likelihood.perplexity.aggregate(likelihood.perplexity.components(rows).sum(axis=0)) == pytest.approx(
        math.exp(10 / 4)
    )


def test_perplexity_of_a_hopeless_policy_is_infinite():
    assert np.isposinf(likelihood.perplexity.aggregate(np.array([1e6, 1.0])))
    assert np.isposinf(likelihood.perplexity.aggregate(np.array([np.inf, 1.0])))


def test_importing_metrics_graders_and_tasks_stays_light():
    modules = sorted(
        {value.partition(":")[0] for kind in ("rlbench.metrics", "rlbench.graders") for value in ENTRIES[kind].values()}
        | {"rlbench.tasks.task", "rlbench.tasks.leaks"}
    )
    modules = [module for module in modules if module.startswith((*OURS, "rlbench.tasks."))]
    assert len(modules) >= 10
    code = (
        f"import sys\nimport {', '.join(modules)}\n"
        "slow = {'torch', 'transformers', 'sacrebleu', 'rouge_score', 'datasets', 'nltk', 'pandas'}\n"
        "heavy = slow & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CHECKOUT, timeout=60)


def test_what_would_count_twice_is_refused():
    metric = load("metrics", "matched")
    rows = pd.DataFrame({"sample_id": ["a", "a", "b"], "completion_index": [0, 0, 0], "matched": [1.0, 1.0, 0.0]})
    with pytest.raises(InputError, match="got completion 0 of 'a' twice"):
        prompt_statistics(rows, metric, ["a", "b"])
    with pytest.raises(InputError, match="expected every prompt once, got 'a' twice"):
        prompt_statistics(rows[1:], metric, ["a", "a", "b"])
    rows.loc[1, "completion_index"] = 1
    assert prompt_statistics(rows, metric, ["a", "b"]).scored_by_prompt.tolist() == [2, 1]
