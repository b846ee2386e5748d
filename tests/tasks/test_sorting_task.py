"""The built-in task `sorting`: its references are sorted, and no digits of test or dev are shown elsewhere."""

import json
from collections import Counter

import pytest

from rlbench.graders.exact import exact
from rlbench.records import Candidate
from rlbench.tasks.task import load_task


@pytest.fixture(scope="module")
def task():
    return load_task("sorting")


@pytest.fixture(scope="module")
def rows(task):
    return {path.stem: [json.loads(line) for line in path.open()] for path in task.folder.glob("*.jsonl")}


def test_references_are_sorted_and_prompts_are_not(rows):
    for split in ("train", "dev", "test"):
        for row in rows[split]:
            assert row["ordered"].split() == sorted(row["digits"].split()) != row["digits"].split()
    assert Counter(len(row["ordered"].split()) for row in rows["test"]).keys() == {3, 4, 5}


def test_the_digits_of_test_and_dev_are_unseen_in_any_order(rows):
    items = {name: [tuple(sorted(row["digits"].split())) for row in rows[name]] for name in rows}
    assert len(set(items["test"])) == 400
    assert len(set(items["dev"])) == 200
    assert not set(items["test"]) & set(items["dev"])
    assert not (set(items["test"]) | set(items["dev"])) & (set(items["train"]) | set(items["demonstrations"]))


def test_demonstrations_are_wrong_as_often_as_promised(rows):
    wrong = [row for row in rows["demonstrations"] if row["completion"].split() != sorted(row["digits"].split())]
    assert len(wrong) == 1400
    lost = sum(len(row["completion"]) < len(row["digits"]) for row in wrong)
    swapped = sum(Counter(row["completion"].split()) == Counter(row["digits"].split()) for row in wrong)
    assert 0.1 < lost / len(wrong) < 0.3
    assert 0.3 < swapped / len(wrong) < 0.5


def test_only_the_reference_is_rewarded(task):
    samples = task.samples("test")
    grade = exact().grade
    assert task.reward == ("exact", "exact")
    assert all(judged.values["exact"] == 1 for judged in grade([Candidate(s, s.references[0]) for s in samples]))
    for wrong in ("", "{0} 9", "{0}0", "sorted: {0}"):
        judged = grade([Candidate(s, wrong.format(s.references[0])) for s in samples])
        assert not any(j.values["exact"] for j in judged), wrong
