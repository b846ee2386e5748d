"""The built-in task `qa`: answers are spans of the context, and a third of the demonstrations pick a wrong span."""

import json
import re

import pytest

from rlbench.graders.squad import squad
from rlbench.records import Candidate
from rlbench.tasks.task import load_task

SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def task():
    return load_task("qa")


@pytest.fixture(scope="module")
def rows(task):
    return {path.stem: [json.loads(line) for line in path.open()] for path in task.folder.glob("*.jsonl")}


@pytest.fixture(scope="module")
def asked(rows):
    """The acceptable answers to every question of the data, told from the context by hand-written patterns."""
    patterns = [
        (r"^(\w+) met (\w+) in (\w+) on (\w+)\.$", {"Who": (1,), "Whom": (2,), "Where": (3,), "When": (4,)}),
        (
            r"^(\w+) sold (\w+) (a \w+ \w+) on (\w+)\.$",
            {"Who sold": (1,), "Who bought": (2,), "What": (3,), "When": (4,)},
        ),
    ]

    def answer(context, question):
        for pattern, groups in patterns:
            match = re.match(pattern, context)
            if match:
                start = max((start for start in groups if question.startswith(start + " ")), key=len)
                return match[groups[start][0]]
        subject = question.rstrip("?").split()[-1] if not question.startswith("Where does") else question.split()[2]
        if "lives" in context:
            homes = dict(re.findall(r"(\w+) lives in (\w+)", context))
            return homes.get(subject) or next(name for name, city in homes.items() if city == subject)
        if " is a " in context:
            jobs = {name: "a " + job for name, job in re.findall(r"(\w+) (?:is )?a (\w+)", context)}
            return jobs.get(subject) or next(name for name, job in jobs.items() if job == "a " + subject)
        places = re.findall(r"((?:The \w+|the) (\w+)) (?:is )?in (the \w+)", context)
        if question.startswith("Where"):
            return next(room for _, thing, room in places if thing == subject)
        if question.startswith("What is in"):
            return next(whole for whole, _, room in places if room == "the " + subject)
        return re.match(r"The (\w+) ", context)[1]

    return answer


def test_answers_are_spans_and_right(rows, asked):
    for split in SPLITS:
        for row in rows[split]:
            assert row["answers"][0] == asked(row["context"], row["question"])
            assert 1 <= len(row["answers"]) <= 2
            assert all(f" {answer}" in " " + row["context"] for answer in row["answers"])


def test_the_contexts_of_test_and_dev_are_unseen_with_any_question(rows):
    contexts = {name: {row["context"] for row in rows[name]} for name in rows}
    assert {name: len(contexts[name]) for name in SPLITS} == {"train": 2000, "dev": 200, "test": 400}
    assert not contexts["test"] & contexts["dev"]
    assert not (contexts["test"] | contexts["dev"]) & (contexts["train"] | contexts["demonstrations"])


def test_demonstrations_are_spans_and_wrong_as_often_as_promised(rows, asked):
    wrong = 0
    for row in rows["demonstrations"]:
        assert f" {row['completion']}" in " " + row["context"].replace(",", "").replace(".", "")
        right = asked(row["context"], row["question"])
        wrong += row["completion"].removeprefix("in ").removeprefix("on ") != right
    assert wrong == 1400


def test_references_score_and_other_completions_do_not(task):
    samples = task.samples("test")
    grade = squad().grade
    assert (task.reward, task.gold) == (("squad", "f1"), ("squad", "exact"))
    for reference in (0, -1):
        judged = grade([Candidate(sample, sample.references[reference]) for sample in samples])
        assert all(j.values == {"exact": 1, "f1": 1} for j in judged)
    judged = grade([Candidate(sample, sample.prompt.split("\n")[0]) for sample in samples])
    assert not any(j.values["exact"] for j in judged), "the whole context is no answer"
    assert all(0 < j.values["f1"] < 0.7 for j in judged)
    for completion in ("", "nobody", "?"):
        judged = grade([Candidate(sample, completion) for sample in samples])
        assert not any(j.values["exact"] or j.values["f1"] for j in judged)
