"""The data that ships with rlbench is what its README promises."""

import json
import os
import runpy
from pathlib import Path

import pytest

import rlbench
from rlbench.graders.correctness import correctness
from rlbench.graders.pattern import pattern
from rlbench.records import Candidate, Scored
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task, task_names

CHECKOUT = Path(rlbench.__file__).parents[1]
DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or CHECKOUT.parent / "shared" / "data")


def test_the_built_in_tasks_are_found_by_name():
    assert {"arithmetic", "code", "gsm8k", "humaneval", "mbpp", "stories"} <= set(task_names())
    assert task_names() == sorted(path.name for path in (CHECKOUT / "tasks").iterdir())
    for name in task_names():
        task = load_task(name)
        assert task.name == name
        assert (task.folder / "README.md").is_file()


@pytest.mark.parametrize("name", ["arithmetic", "stories"])
def test_the_data_files_are_what_the_generator_writes(name):
    folder = load_task(name).folder
    files = runpy.run_path(str(folder / "generate.py"))["files"]()
    assert set(files) == {path.name for path in folder.glob("*.jsonl")}
    for file, text in files.items():
        assert (folder / file).read_bytes() == text.encode(), file


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("arithmetic", {"train": 2000, "dev": 200, "test": 500}),
        ("stories", {"train": 1000, "dev": 100, "test": 200}),
    ],
)
def test_sizes_and_no_prompt_twice(name, sizes):
    task = load_task(name)
    assert {split: len(task.samples(split)) for split in task.splits} == sizes
    prompts = [sample.prompt for split in task.splits for sample in task.samples(split)]
    assert len(prompts) == len(set(prompts)) == sum(sizes.values())
    check_leaks(task)


def test_arithmetic_items_are_unseen_in_either_order():
    folder = load_task("arithmetic").folder
    items = {
        path.stem: [frozenset((row["a"], row["b"])) for row in map(json.loads, path.read_text().splitlines())]
        for path in folder.glob("*.jsonl")
    }
    assert len(set(items["test"])) == 500
    assert len(set(items["dev"])) == 200
    assert not set(items["test"]) & set(items["dev"])
    assert not (set(items["test"]) | set(items["dev"])) & (set(items["train"]) | set(items["demonstrations"]))


def test_arithmetic_demonstrations_are_wrong_and_unmarked_as_often_as_promised():
    task = load_task("arithmetic")
    pairs = task.demonstrations()
    assert len(pairs) == len(set(pairs)) == 5600
    wrong = unmarked = 0
    for prompt, completion in pairs:
        a, b = map(int, prompt.removesuffix("=").split("+"))
        wrong += int(completion.removeprefix("A: ")) != a + b
        unmarked += not completion.startswith("A: ")
        assert len(completion) <= task.max_new_tokens
    assert (wrong, unmarked) == (1960, 168)


def test_arithmetic_references_are_right_and_anything_else_is_not():
    task = load_task("arithmetic")
    samples = task.samples("test")
    grade = correctness().grade
    right = grade([Candidate(sample, sample.references[0]) for sample in samples])
    assert all(isinstance(j, Scored) and j.values["correct"] == 1 for j in right)
    for completion in ["", "A: ", "A: 0", "85" * 20, "A: 85 or 86", "\n".join(f"A: {n}" for n in range(20, 199))]:
        judged = grade([Candidate(sample, completion) for sample in samples])
        assert sum(j.values["correct"] for j in judged) == 0, completion


def test_stories_rule():
    task = load_task("stories")
    grader = pattern(**task.graders["pattern"])
    sample = task.samples("test")[0]
    texts = ["She was Happy.", "They had FUN.", "two friends", "She smiled", "unhappy", "funny friendship", ""]
    judged = grader.grade([Candidate(sample, text) for text in texts])
    assert [j.values["matched"] for j in judged] == [1, 1, 1, 1, 0, 0, 0]
    assert sample.references == ()
    assert sample.answer is None


@pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason=f"needs the public data set gsm8k in {DATA}")
def test_gsm8k_from_local_files():
    task = load_task("gsm8k", DATA)
    assert [len(task.samples(split)) for split in ("train", "test")] == [7473, 1319]
    first = task.samples("test")[0]
    assert first.sample_id == "test-00000"
    assert first.prompt.startswith("Question: Janet’s ducks lay 16 eggs per day.")
    assert first.prompt.endswith("\nAnswer:\n")
    assert first.references == (first.answer,)
    assert first.answer.endswith("#### 18")
    assert len(task.demonstrations()) == 7473
    check_leaks(task)
    judged = correctness().grade([Candidate(sample, sample.references[0]) for sample in task.samples("test")])
    assert sum(j.values["correct"] for j in judged) == 1319
    assert task.provenance()["test"].startswith("sha256:3730d312")
