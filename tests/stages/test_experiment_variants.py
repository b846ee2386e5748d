"""Whole runs of other experiments: one seed, two tasks, other metrics, a given model, changes from the command line."""

import contextlib
import json
import os
import shutil
import signal
import time

import pytest

from rlbench.registry import names

pytestmark = pytest.mark.slow
QUICK = {"algorithms": [{"name": "grpo", "learning_rate": 0.01}], "budget": {"completions": 32}}


def comparison_of(run):
    (path,) = run.glob("compare/*/comparison.json")
    return json.loads(path.read_text())


def test_one_seed_two_tasks_and_other_metrics(write_experiment, new_task, digits, tmp_path, cli):
    other = new_task(tmp_path / "more", "more-digits")
    file = write_experiment(
        tmp_path,
        **QUICK,
        tasks=[str(digits), str(other)],
        seeds=[7],
        evaluation={"metrics": ["rougeL"]},
        comparison={"margin": {"matched": 0.5}},
    )
    result = cli("run", file, "--out", tmp_path / "run")
    assert result.code == 0, result.text
    comparison = comparison_of(tmp_path / "run")
    assert comparison["estimand"] == "checkpoints", "one seed says nothing about the recipe"
    assert {row["estimand"] for row in comparison["estimates"]} == {"checkpoints"}
    assert [row["task"] for row in comparison["fingerprints"]] == ["digits", "more-digits"]
    assert len({row["sft"] for row in comparison["fingerprints"]}) == 2
    assert len({row["base"] for row in comparison["fingerprints"]}) == 1
    assert [(row["task"], row["name"], row["primary"]) for row in comparison["metrics"]] == [
        (task, metric, metric == "matched") for task in ("digits", "more-digits") for metric in ("matched", "rougeL")
    ], "the primary metric is always reported"
    primary = [row for row in comparison["estimates"] if row["primary"]]
    assert len(primary) == 2
    low, high = sorted(row["p_value"] for row in primary)
    assert sorted(row["p_adjusted"] for row in primary) == pytest.approx(
        sorted([min(1, 2 * low), max(min(1, 2 * low), high)])
    ), "Holm counts the tests of both tasks"
    for row in comparison["estimates"]:
        assert row["low"] <= row["value"] <= row["high"]
        assert row["seeds_needed"] is None
    assert "these checkpoints" in result.out


def test_changes_from_the_command_line_make_another_experiment(finished, tmp_path, cli, results):
    """Here fewer seeds: what both experiments share is not made again."""
    file, run = finished
    copy = shutil.copytree(run, tmp_path / "run")
    before = results(copy)
    result = cli("run", file, "--out", copy, "--set", "seeds=[0]", "--set", "comparison.replicates=300")
    assert result.code == 0, result.text
    assert [line.split()[0] for line in result.err.splitlines()] == ["compare", "report"]
    assert {path: digest for path, digest in results(copy).items() if path in before} == before
    assert json.loads((copy / "report" / "comparison.json").read_text())["seeds"] == [0]
    assert "--set=seeds=[0]" in (copy / "report" / "report.md").read_text().replace("'", "")


def test_a_model_that_is_given_is_used_as_it_is(finished, write_experiment, tmp_path, cli):
    (model,) = finished[1].glob("train/digits.dpo.s0-*/model")
    data = tmp_path / "data"
    shutil.copytree(model, data / "my-model")
    (data / "my-model" / "pytorch_model.bin").write_bytes(b"a pickle that nobody opens")
    given = {"base_policy": None, "sft": "none", "seeds": [0, 1]}
    file = write_experiment(tmp_path / "a", **(QUICK | given))
    base = "base_policy={data: my-model}"
    result = cli("run", file, "--out", tmp_path / "run", "--data-dir", data, "--set", base)
    assert result.code == 0, result.text
    run = tmp_path / "run"
    assert sorted(path.name.rsplit("-", 1)[0] for path in run.glob("prepare/*")) == ["base", "prompts.digits"]
    (copied,) = run.glob("prepare/base-*/model")
    assert sorted(path.name for path in copied.iterdir()) == sorted(path.name for path in model.iterdir())
    for path in model.iterdir():
        assert (copied / path.name).read_bytes() == path.read_bytes()
    (fingerprints,) = comparison_of(run)["fingerprints"]
    assert fingerprints["base"] == fingerprints["sft"]
    by_path = f"base_policy={{path: {data / 'my-model'}}}"
    again = cli("run", file, "--out", run, "--set", by_path)
    assert again.code == 0
    assert "Nothing to do" in again.err, "what counts is the model, not where it was found"


def test_a_model_that_changes_makes_everything_new(finished, write_experiment, tmp_path):
    from rlbench.artifacts.run_folder import RunFolder
    from rlbench.experiment import Plan
    from rlbench.spec import read_experiment

    (model,) = finished[1].glob("train/digits.dpo.s0-*/model")
    copy = shutil.copytree(model, tmp_path / "model")
    file = write_experiment(tmp_path, base_policy=None, sft="none")

    def fingerprints():
        spec, _ = read_experiment(file, [f"base_policy={{path: {copy}}}"])
        plan = Plan(spec, RunFolder(tmp_path / "run"), None)
        return [plan.parts.base.fingerprint, *(plan.sample(run).fingerprint for run in plan.evaluated())]

    before = fingerprints()
    assert fingerprints() == before
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert not set(before) & set(fingerprints())


@pytest.fixture(scope="module")
def every_algorithm(write_experiment, tmp_path_factory):
    """An experiment file with all installed algorithms as they are, and a budget of four rollout batches."""
    folder = tmp_path_factory.mktemp("every")
    bold = {"dpo": {"batch_size": 8, "learning_rate": 0.003}}
    entries = [{"name": name, **bold.get(name, {})} for name in names("algorithms")]
    return write_experiment(folder, algorithms=entries, seeds=[0], comparison={"replicates": 100})


@pytest.fixture(scope="module")
def run_of_all(every_algorithm, tmp_path_factory, cli):
    run = tmp_path_factory.mktemp("all") / "run"
    result = cli("run", every_algorithm, "--out", run)
    assert result.code == 0, result.text
    return run


def test_all_algorithms_in_one_experiment(every_algorithm, run_of_all, cli):
    comparison = comparison_of(run_of_all)
    assert sorted(run["arm"] for run in comparison["runs"]) == names("algorithms")
    assert {run["status"] for run in comparison["runs"]} == {"completed"}
    budget = comparison["budget"]
    assert budget["passed"], budget["failures"]
    assert len(budget["runs"]) == len(names("algorithms")) == 10
    for currency, spent in {"completions": 64, "reward_calls": 64, "prompts": 16}.items():
        assert {run[currency] for run in budget["runs"]} == {spent}
    assert all(row["match"] for row in comparison["fingerprints"])
    weights = [path.read_bytes() for path in run_of_all.glob("train/*/model/model.safetensors")]
    assert len(set(weights)) == len(weights) == 10, "every algorithm leads to another policy"
    (sft,) = run_of_all.glob("prepare/sft.*/model/model.safetensors")
    assert sft.read_bytes() not in weights
    again = cli("run", every_algorithm, "--out", run_of_all)
    assert again.code == 0
    assert "Nothing to do" in again.err


def test_all_algorithms_after_a_kill(every_algorithm, run_of_all, results, fork_cli, cli, tmp_path):
    run = tmp_path / "run"
    process = fork_cli("run", every_algorithm, "--out", run)
    while process.poll() is None and not list(run.glob("train/.*.partial/checkpoint-*")):
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    result = cli("run", every_algorithm, "--out", run)
    assert result.code == 0, result.text
    assert results(run) == results(run_of_all)
    assert not list(run.rglob("*.partial"))


def test_what_is_missing_of_one_algorithm_is_made_again_with_the_same_bytes(
    every_algorithm, run_of_all, results, cli, tmp_path
):
    run = shutil.copytree(run_of_all, tmp_path / "run")
    for stage in ("train", "sample", "score"):
        for folder in [*run.glob(f"{stage}/digits.trpo.*"), *run.glob(f"{stage}/digits.dapo.*")]:
            shutil.rmtree(folder)
    for stage in ("compare", "report"):
        shutil.rmtree(run / stage)
    result = cli("run", every_algorithm, "--out", run)
    assert result.code == 0, result.text
    made = [line.split()[:2] for line in result.err.splitlines() if line.split()[:1] == ["train"]]
    assert len(made) == 2
    assert results(run) == results(run_of_all)
