"""The built-in tasks made by a generator are what their READMEs promise, whatever each of them is about."""

import json
import runpy
from itertools import combinations

import pytest

from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

NAMES = ["sorting", "wordmath", "qa", "translation"]
SIZES = {"train": 2000, "dev": 200, "test": 400}
DEMONSTRATIONS = 4000


@pytest.fixture(scope="module", params=NAMES)
def task(request):
    return load_task(request.param)


def test_the_data_files_are_what_the_generator_writes(task):
    files = runpy.run_path(str(task.folder / "generate.py"))["files"]()
    assert set(files) == {path.name for path in task.folder.glob("*.jsonl")}
    for name, text in files.items():
        assert (task.folder / name).read_bytes() == text.encode(), name
        assert len(text) < 450_000, name


def test_sizes_and_no_prompt_twice(task):
    assert {split: len(task.samples(split)) for split in task.splits} == SIZES
    assert len(task.demonstrations()) == len(set(task.demonstrations())) == DEMONSTRATIONS
    prompts = {split: {sample.prompt for sample in task.samples(split)} for split in task.splits}
    assert {split: len(texts) for split, texts in prompts.items()} == SIZES
    assert not any(prompts[a] & prompts[b] for a, b in combinations(prompts, 2))
    check_leaks(task)
    check_leaks(task, "dev")


def test_texts_fit_and_hold_no_character_that_training_does_not_show(task):
    pairs = task.demonstrations()
    known = set("".join(prompt + completion for prompt, completion in pairs))
    for split in task.splits:
        for sample in task.samples(split):
            assert len(sample.prompt) < 100
            for reference in sample.references:
                assert 0 < len(reference) < task.max_new_tokens < 60, "the stop token counts"
                assert set(sample.prompt + reference) <= known
    assert max(len(prompt) for prompt, _ in pairs) < 100
    assert max(len(completion) for _, completion in pairs) < task.max_new_tokens


def test_rows_of_the_demonstrations_have_the_fields_of_the_prompt_and_a_completion(task):
    rows = [json.loads(line) for line in (task.folder / "demonstrations.jsonl").open(encoding="utf-8")]
    fields = set(json.loads((task.folder / "train.jsonl").open(encoding="utf-8").readline()))
    for row in rows:
        assert set(row) - {"completion"} < fields
