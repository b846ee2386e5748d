"""Slices that a task declares: read from the rows, part of no fingerprint of what is judged, refused where they err."""

import json

import pytest

from rlbench.errors import InputError
from rlbench.tasks.task import load_task, task_names

YAML = """\
name: toy
description: A toy
licence: CC0-1.0
source: {kind: file, splits: {train: train.jsonl, test: test.jsonl}}
derive: {first: {from: "{question}", pattern: '(.)'}}
prompt: "{question}"
max_new_tokens: 8
reward: length.words
metrics: [mean_length]
primary: mean_length
"""
ROWS = [{"question": f"q{n}", "meta": {"level": n % 2, "kind": "x y "}} for n in range(4)]


@pytest.fixture
def make(tmp_path):
    """`make(slices, rows)`: the task with a line `slices:`, or without one."""

    def make(slices=None, rows=ROWS):
        (tmp_path / "task.yaml").write_text(YAML + (f"slices: {slices}\n" if slices else ""))
        for split in ("train", "test"):
            (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_task(tmp_path)

    return make


def test_every_sample_knows_its_groups(make):
    samples = make("{level: meta.level, kind: meta.kind, start: first}").samples("test")
    assert [sample.slices for sample in samples] == [
        {"level": str(n % 2), "kind": "x y", "start": "q"} for n in range(4)
    ]
    assert len({*samples, *make().samples("test")}) == 8, "a sample can still be kept in a set"


def test_slices_change_nothing_that_is_judged(make):
    plain = make()
    assert plain.slices_fingerprint("test") == ""
    prints = [plain.fingerprint(), plain.fingerprint("test")]
    task = make("{level: meta.level}")
    assert [task.fingerprint(), task.fingerprint("test")] == prints


def test_what_changes_the_groups_changes_their_own_fingerprint(make):
    first = make("{level: meta.level}").slices_fingerprint("test")
    assert make("{level: meta.level}").slices_fingerprint("test") == first
    others = [
        make("{difficulty: meta.level}"),
        make("{level: meta.kind}"),
        make("{level: meta.level}", rows=[*ROWS[:3], {"question": "q3", "meta": {"level": 0, "kind": "x"}}]),
    ]
    assert len({first, *(task.slices_fingerprint("test") for task in others)}) == 4


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        ("{level: meta.step}", "test.jsonl:1: field 'meta.step' is missing"),
        ("{level: meta}", "test.jsonl:1: field 'meta' is dict; expected text or a number"),
        ("{level: blank}", "test.jsonl:1: slices.level: field 'blank' is empty; expected text or a number"),
        ("{Level: meta.level}", "task.yaml:11: slices.Level"),
        ("{level: '{meta.level}'}", "task.yaml:11: slices.level"),
        ("[level]", "task.yaml:11: slices"),
    ],
)
def test_slices_that_cannot_be_read_name_their_place(make, slices, message):
    with pytest.raises(InputError) as caught:
        make(slices, rows=[row | {"blank": " "} for row in ROWS]).samples("test")
    assert message in str(caught.value)


def test_a_field_that_names_every_prompt_is_no_slice(make, tmp_path):
    rows = [{"question": f"q{n}", "meta": {"level": n}} for n in range(101)]
    with pytest.raises(InputError) as caught:
        make("{level: meta.level}", rows=rows).samples("test")
    assert str(caught.value) == (
        f"{tmp_path}/task.yaml: slices.level: expected a field that groups prompts, with at most 100 different values, "
        "got 'meta.level' with 101 in split 'test'; name another field or leave it out"
    )
    assert len(make("{level: meta.level}", rows=rows[:100]).samples("test")) == 100


def test_built_in_tasks_declare_fields_that_their_data_have(data_dir):
    known = {"math500": {"difficulty", "subject"}, "translation": {"language"}}
    tasks = {name: load_task(name, data_dir) for name in task_names()}
    declared = {name: task for name, task in tasks.items() if task._definition.slices}
    assert declared.keys() == known.keys()
    for name, task in declared.items():
        samples = task.samples("test")
        assert {frozenset(sample.slices) for sample in samples} == {frozenset(known[name])}
        for each in known[name]:
            groups = [sample.slices[each] for sample in samples]
            assert min(groups.count(group) for group in set(groups)) >= 10
