"""The built-in code task is what its README promises, and its tests tell programs apart in the real judge."""

import ast
import json
import runpy
from collections import Counter, defaultdict

import pytest

from rlbench.sandbox import open_judge
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

SIZES = {"train": 400, "dev": 100, "test": 200}
PROMPT, COMPLETION = 50, 52
CLEARS = """\
def solve(*values):
    for value in values:
        if hasattr(value, "clear"):
            value.clear()
    return values[0]
"""
EQUAL = """\
class Equal:
    def __eq__(self, other):
        return True
    __hash__ = None
def solve(*values):
    return Equal()
"""
CONTROLS = {
    "nothing": "def solve(*values):\n    return None",
    "raises": "def solve(*values):\n    raise ValueError",
    "exits": "import os\ndef solve(*values):\n    os._exit(0)",
    "equal to all": EQUAL,
    "clears its arguments": CLEARS,
    "unchanged": "def solve(value):\n    return value",
    "no program": "solve(",
    "nothing at all": "",
}


@pytest.fixture(scope="module")
def task():
    return load_task("code")


@pytest.fixture(scope="module")
def generator(task):
    return runpy.run_path(str(task.folder / "generate.py"))


@pytest.fixture(scope="module")
def rows(task):
    """The rows of every data file by its name without the ending."""
    return {path.stem: [json.loads(line) for line in path.open()] for path in task.folder.glob("*.jsonl")}


@pytest.fixture(scope="module")
def meanings(generator):
    """What each possible spec means: (type of the argument, what the function gives on the generator's inputs)."""
    kinds, fits = generator["KINDS"], generator["fits"]
    steps = [(name, k) for name, kind in kinds.items() for k in kind.values]
    chains = [(a,) for a in steps] + [(a, b) for a in steps for b in steps if fits((a, b))]
    found = defaultdict(set)
    for chain in chains:
        kind = generator["argument"](chain)
        meaning = (kind, generator["behaviour"](kind, generator["expression"](chain)))
        for words in generator["wordings"](chain):
            found[words].add(meaning)
    return found


@pytest.fixture(scope="module")
def judge():
    with open_judge() as judge:
        yield judge


def passed(judge, programs):
    """Which of (source, tests) pass in the judge; the judge itself never fails."""
    asked = [{"source": source, "tests": "\n".join(tests), "entry_points": ("solve",)} for source, tests in programs]
    verdicts = judge.run_many(asked)
    assert Counter(verdict.status for verdict in verdicts)["infra_error"] == 0
    return [verdict.passed for verdict in verdicts]


@pytest.fixture(scope="module")
def asked(generator):
    """The generator's item (steps, tests, program) behind every spec."""
    items = [item for kind in generator["ARGUMENTS"] for item in generator["functions"](kind).rows]
    return {words: item for item in items for words in generator["wordings"](item["steps"])}


def test_the_data_files_are_what_the_generator_writes(task, generator):
    files = generator["files"]()
    assert set(files) == {path.name for path in task.folder.glob("*.jsonl")}
    for name, text in files.items():
        assert (task.folder / name).read_bytes() == text.encode(), name


def test_sizes_and_no_prompt_twice(task):
    assert {split: len(task.samples(split)) for split in task.splits} == SIZES
    for split, size in SIZES.items():
        assert len({sample.prompt for sample in task.samples(split)}) == size
    check_leaks(task)
    check_leaks(task, "dev")


def test_a_spec_means_one_function(meanings):
    assert len(meanings) > 10_000
    assert not [words for words, functions in meanings.items() if len(functions) > 1]


def test_no_function_of_test_or_dev_is_asked_for_elsewhere_in_any_words(rows, meanings):
    functions = {name: {next(iter(meanings[row["spec"]])) for row in rows[name]} for name in rows}
    assert {name: len(functions[name]) for name in SIZES} == SIZES
    assert len(functions["demonstrations"]) == len(rows["demonstrations"])
    assert not functions["test"] & functions["dev"]
    assert not (functions["test"] | functions["dev"]) & (functions["train"] | functions["demonstrations"])


def test_texts_fit_and_hold_no_character_that_training_does_not_show(task):
    pairs = task.demonstrations()
    known = set("".join(prompt + completion for prompt, completion in pairs))
    for split in task.splits:
        for sample in task.samples(split):
            assert len(sample.prompt) <= PROMPT
            assert set(sample.prompt + sample.references[0]) <= known
            assert 4 <= sample.tests.code.count("assert ") <= 6
    longest = max(len(completion) for _, completion in pairs)
    assert longest + 1 <= task.max_new_tokens == COMPLETION, "the stop token counts"


def test_demonstrations_are_wrong_as_often_as_promised(rows, asked):
    wrong = [row for row in rows["demonstrations"] if row["completion"] != asked[row["spec"]]["program"]]
    assert (len(wrong), len(rows["demonstrations"])) == (1391, 3975)
    slips = 0
    for row in wrong:
        try:
            ast.parse(row["completion"])
        except SyntaxError:
            slips += 1
        else:
            slips += "return" not in row["completion"]
    assert 0.1 < slips / len(wrong) < 0.25, "most are programs that run and are wrong"


@pytest.mark.slow
def test_references_pass_and_controls_fail_in_the_judge(rows, judge):
    held_out = rows["test"] + rows["dev"][:25]
    assert all(passed(judge, [(row["program"], row["tests"]) for row in held_out]))
    assert all(passed(judge, [(row["program"], row["tests"]) for row in rows["train"][:75]]))
    few = held_out[::6]
    for name, source in CONTROLS.items():
        assert not any(passed(judge, [(source, row["tests"]) for row in few])), name
    constants = [
        (f"def solve(value):\n    return {test.split(' == ')[1]}", r["tests"]) for r in few for test in r["tests"]
    ]
    assert not any(passed(judge, constants))


@pytest.mark.slow
def test_every_careless_program_fails_in_the_judge(rows, generator, asked, judge):
    programs = []
    for row in rows["test"][::8]:
        steps = asked[row["spec"]]["steps"]
        kind = generator["argument"](steps)
        right = generator["behaviour"](kind, generator["expression"](steps))
        others = [text for text in generator["neighbours"](steps) if generator["behaviour"](kind, text) != right]
        programs += [(generator["program"](kind, text), row["tests"]) for text in others]
    assert len(programs) > 100
    assert not any(passed(judge, programs))


@pytest.mark.slow
def test_wrong_demonstrations_fail_and_the_others_pass_in_the_judge(rows, asked, judge):
    for wrong, step in ((True, 10), (False, 40)):
        chosen = [
            (row["completion"], asked[row["spec"]]["tests"])
            for row in rows["demonstrations"]
            if (row["completion"] != asked[row["spec"]]["program"]) == wrong
        ][::step]
        assert len(chosen) > 60
        assert set(passed(judge, chosen)) == {not wrong}
