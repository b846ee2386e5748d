"""HumanEval and MBPP: the splits are the papers', and the judge agrees with every reference that can be judged."""

import ast
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import rlbench
from rlbench.graders.unit_tests import program, unit_tests
from rlbench.records import Candidate
from rlbench.sandbox.entry_points import free_names
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

FULL = os.environ.get("RLBENCH_FULL_BENCHMARKS") == "1"
DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="module")
def humaneval():
    if not (DATA / "humaneval").is_dir():
        pytest.skip(f"needs the public data set humaneval in {DATA}")
    return load_task("humaneval", DATA)


@pytest.fixture(scope="module")
def mbpp():
    if not (DATA / "mbpp").is_dir():
        pytest.skip(f"needs the public data set mbpp in {DATA}")
    return load_task("mbpp", DATA)


def samples(task):
    return [sample for split in task.splits for sample in task.samples(split)]


def do_nothing(sample):
    names = sample.tests.entry_points or free_names(sample.tests.code, sample.tests.setup)
    assert names
    return "\n".join(f"def {name}(*args, **keywords):\n    return None" for name in names)


def test_humaneval_is_read_as_published(humaneval):
    assert [(split, len(humaneval.samples(split))) for split in humaneval.splits] == [("test", 164)]
    first = humaneval.samples("test")[0]
    assert first.prompt.startswith("from typing import List\n\n\ndef has_close_elements(numbers: List[float]")
    assert first.tests.entry_points == ("has_close_elements",)
    assert first.tests.code.endswith("\ncheck(has_close_elements)")
    assert first.tests.setup == first.tests.starter == first.prompt
    for sample in humaneval.samples("test"):
        source = program(sample, sample.references[0]).source
        assert sample.references[0].rstrip() in source
        ast.parse(source)


def test_mbpp_has_the_splits_of_the_paper(mbpp):
    lines = (DATA / "mbpp" / "mbpp.jsonl").read_text().splitlines()
    by_id = {row["task_id"]: row for row in map(json.loads, lines)}
    ranges = {"prompt": (1, 10), "test": (11, 510), "dev": (511, 600), "train": (601, 974)}
    assert set(mbpp.splits) == set(ranges)
    for split, (first, last) in ranges.items():
        rows = [by_id[number] for number in range(first, last + 1)]
        assert [sample.references for sample in mbpp.samples(split)] == [(row["code"],) for row in rows]
    check_leaks(mbpp)
    sample = mbpp.samples("test")[0]
    assert sample.prompt == (
        "You are an expert Python programmer, and here is your task: Write a python function to remove first and last "
        "occurrence of a given character from the string. Your code should pass these tests:\n\n"
        'assert remove_Occ("hello","l") == "heo"\nassert remove_Occ("abcda","a") == "bcd"\n'
        'assert remove_Occ("PHP","P") == "H"\n'
    )
    assert sample.tests.code.strip() == sample.prompt.partition("\n\n")[2].strip()
    assert free_names(sample.tests.code) == ("remove_Occ",)


@pytest.mark.slow
def test_humaneval_references_pass_and_doing_nothing_fails(humaneval):
    grader, problems = unit_tests(), humaneval.samples("test")
    assert set(grader.admits(problems)) == {""}
    right = grader.grade([Candidate(sample, sample.references[0]) for sample in problems])
    assert sum(each.values["passed"] for each in right) == 164
    idle = grader.grade([Candidate(sample, do_nothing(sample)) for sample in problems])
    assert sum(each.values["passed"] for each in idle) == 0


@pytest.mark.slow
def test_mbpp_references_pass_but_for_those_that_are_listed(mbpp):
    listed = map(json.loads, (mbpp.folder / "unsplittable.jsonl").read_text().splitlines())
    known = {row["sample_id"]: row for row in listed}
    problems = samples(mbpp)
    grader = unit_tests(**mbpp.graders["unit_tests"])
    # The gate runs ten programs a sample, so not all go through it here; each reference is run below.
    chosen = problems if FULL else [each for number, each in enumerate(problems) if not number % 20]
    chosen = [*chosen, *(each for each in problems if each.sample_id in known and each not in chosen)]
    reasons = grader.admits(chosen)
    found = {sample.sample_id for sample, reason in zip(chosen, reasons, strict=True) if reason}
    assert found == set(known)
    assert all(row["reason"] for row in known.values())
    assert (len(problems), len(found) <= 29) == (974, True)  # at least 97 % can be judged
    trusting = [replace(sample, tests=replace(sample.tests, admitted=True)) for sample in problems]
    right = grader.grade([Candidate(sample, sample.references[0]) for sample in trusting])
    failed = {s.sample_id for s, each in zip(problems, right, strict=True) if each.values["passed"] != 1}
    assert failed <= found
    idle = grader.grade([Candidate(sample, do_nothing(sample)) for sample in trusting])
    assert sum(each.values["passed"] for each in idle) == 0
