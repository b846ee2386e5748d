import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("reasoning_gym", reason="needs pip install 'rlbench[reasoning-gym]'")

from rlbench.errors import InputError
from rlbench.graders.exact import exact
from rlbench.graders.reasoning_gym import reasoning_gym
from rlbench.records import Candidate, Sample, Scored, Unscored
from rlbench.tasks.reasoning_gym import ALLOWED
from rlbench.tasks.task import load_task

DOCS = Path(__file__).parents[2] / "docs" / "reasoning_gym.md"


def judged(grader, completions):
    """The mean of the grader's only column over (sample, completion) pairs."""
    judgements = grader.grade([Candidate(sample, completion) for sample, completion in completions])
    values = [value for judgement in judgements for value in judgement.values.values()]
    assert len(values) == len(completions)
    return sum(values) / len(values)


def answers(task, number=50):
    """Test samples with another sample's answer beside each, which is wrong for it."""
    samples = load_task(task).samples("test")[:number]
    known = sorted({sample.answer for sample in samples})
    return [(sample, known[(known.index(sample.answer) + 1) % len(known)]) for sample in samples]


def kinds(task):
    """What a completion may look like that is not the answer alone, by column of the table in the docs."""
    pairs = answers(task)
    return {
        "answer": [(sample, sample.answer) for sample, _ in pairs],
        "hedged": [(sample, f"{sample.answer} or {other}") for sample, other in pairs],
        "in words": [(sample, f"The answer is {sample.answer}.") for sample, _ in pairs],
        "wrong": [(sample, other) for sample, other in pairs],
        "garbage": [(sample, "@#?!") for sample, _ in pairs],
        "empty": [(sample, "") for sample, _ in pairs],
    }


def table():
    """The lines of the table in the docs: what each verifier gives to each kind of completion."""
    for name in ALLOWED:
        grader = reasoning_gym(dataset=name)
        cells = [f"{judged(grader, completions):.2f}" for completions in kinds(f"rg_{name}").values()]
        yield " | ".join([f"| `{name}`", *cells]) + " |"


def test_the_table_in_the_docs_is_what_the_verifiers_give():
    lines = DOCS.read_text().splitlines()
    assert [line for line in lines if re.match(r"\| `(?!rg_)\w+` \| \d\.\d\d ", line)] == [*table()]


@pytest.mark.parametrize("name", ALLOWED)
def test_own_is_lax_where_exact_is_strict(name):
    strict, own = exact(), reasoning_gym(dataset=name)
    by_kind = kinds(f"rg_{name}")
    assert {kind: judged(strict, each) for kind, each in by_kind.items()} == {
        kind: kind == "answer" for kind in by_kind
    }
    assert [judged(own, by_kind[kind]) for kind in ("answer", "garbage", "empty")] == [1, 0, 0]
    assert all(0 < judged(own, by_kind[kind]) < 1 for kind in ("hedged", "in words"))


class OnlyAnswer(Mapping):
    """An entry that fails when anything but its answer is read."""

    def __init__(self, answer):
        self._answer = answer

    def __getitem__(self, key):
        assert key == "answer", f"the verifier reads entry[{key!r}]"
        return self._answer

    def __iter__(self):
        raise AssertionError("the verifier reads all of the entry")

    def __len__(self):
        raise AssertionError("the verifier reads all of the entry")


@pytest.mark.parametrize("name", ALLOWED)
def test_audited_verifiers_read_the_answer_only_and_so_agree_with_the_grader(name):
    import reasoning_gym as library

    options = {"max_complexity": 1} if name == "number_sequence" else {}
    dataset = library.create_dataset(name, seed=5, **options)
    grader = reasoning_gym(dataset=name)
    for entry in map(dataset.__getitem__, range(10)):
        sample = Sample("s", entry["question"], (), entry["answer"])
        for text in (entry["answer"], f"{entry['answer']}0", f"x {entry['answer']}", "", "1", "-3.0", "\N{SNOWMAN}"):
            (mine,) = grader.grade([Candidate(sample, f"  {text}\n")])
            assert mine == Scored({"own": dataset.score_answer(text, entry)})
            assert dataset.score_answer(text, OnlyAnswer(entry["answer"])) == mine.values["own"]


def test_hostile_completions_get_a_finite_value():
    hostile = ["1e999999999", "NaN", "sNaN", "Infinity", "9" * 100_000, "\0", "\ud800", "12 " * 50_000, "١٢"]
    for name in ALLOWED:
        for judgement in reasoning_gym(dataset=name).grade([Candidate(Sample("s", "p", (), "12"), t) for t in hostile]):
            assert 0 <= judgement.values["own"] <= 1, name


def test_a_sample_without_answer_is_unscored():
    (judgement,) = reasoning_gym(dataset="lcm").grade([Candidate(Sample("s", "p"), "4")])
    assert judgement == Unscored("the sample has no gold answer")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "option 'dataset' is missing"),
        ({"dataset": 3}, "option 'dataset'"),
        ({"dataset": "lcm", "seed": 1}, "unknown option 'seed' (options: dataset)"),
        ({"dataset": "game_of_life_halting"}, "is refused: its verifier gives 1 to any text"),
        ({"dataset": "lmc"}, "grader 'reasoning_gym': the data set 'lmc' of reasoning-gym is refused"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError) as caught:
        reasoning_gym(**options)
    assert message in str(caught.value)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(InputError, match=r"pip install 'rlbench\[reasoning-gym\]'"):
        reasoning_gym(dataset="lcm")
