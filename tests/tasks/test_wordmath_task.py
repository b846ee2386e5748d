"""The built-in task `wordmath`: words, steps and answers agree, and a third of the demonstrations miscalculate."""

import json
import operator
import re
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest

from rlbench.graders.correctness import correctness
from rlbench.records import Candidate
from rlbench.tasks.task import load_task

STEP = re.compile(r"(\d+)([-+*])(\d+)=(\d+)")
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
LESS = re.compile(r"\b(?:loses|gave away|sells|sold)\b")
TIMES = re.compile(r"\b(?:bags|boxes|packs)\b")


@pytest.fixture(scope="module")
def task():
    return load_task("wordmath")


@pytest.fixture(scope="module")
def rows(task):
    return {path.stem: [json.loads(line) for line in path.open()] for path in task.folder.glob("*.jsonl")}


def steps(text):
    """The steps of a worked answer: (first number, sign, second number, what the text says they give)."""
    return [(int(a), sign, int(b), int(c)) for a, sign, b, c in STEP.findall(text)]


def calculation(text):
    """The first number and the (sign, number) of every step: what is asked for, whatever the words and the results."""
    found = steps(text)
    return (found[0][0], *((sign, number) for _, sign, number, _ in found))


def test_worked_references_are_right_and_end_in_the_answer(rows):
    for split in ("train", "dev", "test"):
        for row in rows[split]:
            worked = steps(row["reference"])
            assert 1 <= len(worked) <= 2
            assert all(SIGNS[sign](a, b) == c for a, sign, b, c in worked)
            assert all(before[3] == after[0] for before, after in pairwise(worked))
            assert row["reference"].endswith(f"\nA: {row['answer']}")
            assert row["answer"] == worked[-1][3] > 0


def test_words_and_calculations_agree(rows):
    for row in rows["train"] + rows["dev"] + rows["test"]:
        first, *others = calculation(row["reference"])
        assert Counter(map(int, re.findall(r"\d+", row["problem"]))) == Counter([first, *(n for _, n in others)])
        signs = [sign for sign, _ in others]
        assert len(LESS.findall(row["problem"])) == signs.count("-")
        assert bool(TIMES.search(row["problem"])) == ("*" in signs)


def test_a_calculation_of_test_or_dev_is_in_no_other_split_in_any_words(rows):
    asked = {split: {calculation(row["reference"]) for row in rows[split]} for split in ("train", "dev", "test")}
    shown = {calculation(row["completion"]) for row in rows["demonstrations"]}
    turned = {(b[1], (b[0], a), *rest) for a, b, *rest in shown | asked["train"] if b[0] in "+*"}
    assert {split: len(items) for split, items in asked.items()} == {"train": 2000, "dev": 200, "test": 400}
    assert not asked["test"] & asked["dev"]
    assert not (asked["test"] | asked["dev"]) & (asked["train"] | shown)
    palindromes = {item for item in asked["test"] | asked["dev"] if item[0] == item[1][1]}
    assert not ((asked["test"] | asked["dev"]) - palindromes) & turned, "a+b and b+a are one calculation"


def test_demonstrations_are_wrong_and_unmarked_as_often_as_promised(rows):
    wrong = unmarked = 0
    for row in rows["demonstrations"]:
        first, *others = calculation(row["completion"])
        right = first
        for sign, number in others:
            right = SIGNS[sign](right, number)
        said = int(row["completion"].split("\n")[1].removeprefix("A: "))
        assert said == steps(row["completion"])[-1][3], "what is miscalculated is carried on"
        wrong += said != right
        unmarked += "\nA: " not in row["completion"]
    assert (wrong, unmarked) == (1320, 120)


def test_references_score_and_other_completions_do_not(task):
    samples = task.samples("test")
    grade = correctness().grade
    judged = grade([Candidate(sample, sample.references[0]) for sample in samples])
    assert all(j.values == {"correct": 1, "correct_flexible": 1, "marked": 1} for j in judged)
    for completion in ["", "A: ", "A: 0", "7+5=12", "A: 12 or 13", "\n".join(f"A: {n}" for n in range(2, 41))]:
        judged = grade([Candidate(sample, completion) for sample in samples])
        assert sum(j.values["correct"] for j in judged) == 0, completion


def test_answer_and_worked_reference_are_separate_fields(rows):
    row = rows["test"][0]
    assert set(row) == {"problem", "reference", "answer"}
    assert Fraction(row["answer"]) == steps(row["reference"])[-1][3]
