"""Prompts that the reward's grader does not admit are not trained on, not watched, and listed with the reason."""

import json

import pytest

from rlbench.artifacts.call import Call, Circumstances
from rlbench.artifacts.identity import Identity
from rlbench.artifacts.run_folder import RunFolder
from rlbench.errors import InputError
from rlbench.graders.unit_tests import unit_tests
from rlbench.records import Grader
from rlbench.stages import prepare, train
from rlbench.tasks.task import load_task

YAML = """\
name: toy
description: A toy
licence: CC0-1.0
source: {kind: file, splits: {train: train.jsonl, dev: dev.jsonl}}
prompt: "{q}"
references: ["{code}"]
tests: {code: "assert f(1) == 2", entry_point: f}
max_new_tokens: 8
reward: unit_tests.passed
metrics: [mean_length]
primary: mean_length
"""
REWARD = {"grader": "unit_tests", "column": "passed", "options": {}}


@pytest.fixture
def task(tmp_path):
    root = tmp_path / "task"
    root.mkdir()
    (root / "task.yaml").write_text(YAML)

    def write(**splits):
        for split, words in splits.items():
            rows = [json.dumps({"q": f"{split} {n}", "code": word}) for n, word in enumerate(words)]
            (root / f"{split}.jsonl").write_text("\n".join(rows))
        return root

    return write


@pytest.fixture
def order(tmp_path, monkeypatch):
    """Makes the order of prompts and returns its call; the grader admits references that start with "good"."""

    def admits(samples):
        return ["" if sample.references[0].startswith("good") else f"no: {sample.references[0]}" for sample in samples]

    grader = Grader("unit_tests", 1, ("passed",), lambda candidates: [], "for tests", admits=admits)
    monkeypatch.setattr(prepare, "load_grader", lambda name, options: grader)

    def order(root, **config):
        config = {"make": "prompts", "task": "toy", "prompts": 12, **config}
        identity = Identity("prepare", "prompts.toy", {}, config, {"stage": prepare.VERSION})
        call = Call(identity, RunFolder(tmp_path / "run"), Circumstances(task_paths={"toy": str(root)}))
        call.out.mkdir(parents=True)
        prepare.run(call)
        call.folder.finish(identity, {})
        return identity, json.loads((call.folder.path(identity) / "prompts.json").read_text())

    return order


def training(identity, root, tmp_path):
    made = Identity("train", "toy.grpo.s0", {"prompts": identity}, {}, {})
    return Call(made, RunFolder(tmp_path / "run"), Circumstances(task_paths={"toy": str(root)}))


def test_what_is_not_admitted_is_left_out_and_listed(task, order, tmp_path):
    root = task(train=["good a", "bad a", "good b", "bad b"], dev=["bad c", "good c"])
    identity, prompts = order(root, rewards=[REWARD])
    assert sorted(prompts) == ["train-00000"] * 6 + ["train-00002"] * 6
    listed = json.loads((tmp_path / "run" / identity.place.folder / "excluded.json").read_text())
    assert listed == {"train-00001": "no: bad a", "train-00003": "no: bad b", "dev-00000": "no: bad c"}
    call = training(identity, root, tmp_path)
    for split, expected in (("train", ["train-00000", "train-00002"]), ("dev", ["dev-00001"])):
        samples = train._admitted(call, load_task(root).samples(split))
        assert [sample.sample_id for sample in samples] == expected
        assert all(sample.tests.admitted for sample in samples)


def test_the_order_is_the_same_as_ever_where_all_are_admitted(task, order):
    root = task(train=["good"] * 5, dev=["good"])
    _, with_gate = order(root, rewards=[REWARD])
    _, without = order(root)
    assert with_gate == without


def test_nothing_is_checked_where_the_order_does_not_know_the_reward(task, order, tmp_path):
    root = task(train=["bad"], dev=["bad"])
    identity, prompts = order(root)
    assert set(prompts) == {"train-00000"}
    (sample,) = train._admitted(training(identity, root, tmp_path), load_task(root).samples("train"))
    assert not sample.tests.admitted


def test_nothing_left_to_train_on(task, order):
    root = task(train=["bad a", "bad b"], dev=["good"])
    message = r"task 'toy': the reward admits none of the 2 training prompts \(the first: no: bad a\); repair"
    with pytest.raises(InputError, match=message):
        order(root, rewards=[REWARD])


def test_what_was_admitted_is_not_checked_again(task, order, tmp_path, monkeypatch):
    root = task(train=["good"], dev=["good"])
    identity, _ = order(root, rewards=[REWARD])
    samples = train._admitted(training(identity, root, tmp_path), load_task(root).samples("train"))
    monkeypatch.setattr("rlbench.graders.judging.admit", lambda judge, programs: pytest.fail("checked again"))
    assert unit_tests().admits(samples) == [""]
