"""The built-in summaries task is what its README promises, and ROUGE-L tells its headlines apart."""

import json
import runpy
from statistics import fmean

import pytest

from rlbench.graders.roles import load_grader
from rlbench.records import Candidate, Sample
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

SIZES = {"train": 2000, "dev": 200, "test": 300}
PROMPT, COMPLETION = 85, 58


@pytest.fixture(scope="module")
def task():
    return load_task("summaries")


@pytest.fixture(scope="module")
def generator(task):
    return runpy.run_path(str(task.folder / "generate.py"))


@pytest.fixture(scope="module")
def rows(task):
    """The rows of every data file by its name without the ending."""
    return {path.stem: [json.loads(line) for line in path.open()] for path in task.folder.glob("*.jsonl")}


@pytest.fixture(scope="module")
def facts(generator):
    """Which fact (kind, thing, place) each possible news text tells, and its references."""
    found = {}
    for name, kind in generator["KINDS"].items():
        for x in kind.things:
            for place in generator["PLACES"]:
                for day in generator["DAYS"]:
                    for detail in range(len(kind.details)):
                        story = (name, x, place, day, detail)
                        found[generator["news"](story)] = (story[:3], tuple(generator["references"](story)))
    return found


@pytest.fixture(scope="module")
def gold(task):
    """Values of the task's reward, by which completions of samples are judged."""
    name, column = task.reward
    grader = load_grader(name, task.graders[name])

    def values(candidates):
        return [judged.values[column] for judged in grader.grade(candidates)]

    return values


def test_the_data_files_are_what_the_generator_writes(task, generator):
    files = generator["files"]()
    assert set(files) == {path.name for path in task.folder.glob("*.jsonl")}
    for name, text in files.items():
        assert (task.folder / name).read_bytes() == text.encode(), name


def test_sizes_and_no_prompt_twice(task):
    assert {split: len(task.samples(split)) for split in task.splits} == SIZES
    prompts = [sample.prompt for split in task.splits for sample in task.samples(split)]
    assert len(prompts) == len(set(prompts)) == sum(SIZES.values())
    check_leaks(task)
    check_leaks(task, "dev")


def test_no_fact_of_test_or_dev_is_told_elsewhere_on_any_day(rows, facts):
    told = {name: {facts[row["news"]][0] for row in rows[name]} for name in rows}
    assert (len(told["test"]), len(told["dev"])) == (300, 200)
    assert not told["test"] & told["dev"]
    assert not (told["test"] | told["dev"]) & (told["train"] | told["demonstrations"])


def test_texts_fit_and_hold_no_character_that_training_does_not_show(task):
    pairs = task.demonstrations()
    assert len(pairs) == len({prompt for prompt, _ in pairs}) == 4000
    known = set("".join(prompt + completion for prompt, completion in pairs))
    for split in task.splits:
        for sample in task.samples(split):
            assert len(sample.prompt) <= PROMPT
            assert len(sample.references) == len(set(sample.references)) == 3
            assert set(sample.prompt + "".join(sample.references)) <= known
    longest = max(len(completion) for _, completion in pairs)
    assert longest <= COMPLETION
    assert longest + 1 < task.max_new_tokens, "the stop token counts"


def test_every_reference_scores_in_full_and_no_other_fact_does(task, gold):
    samples = task.samples("test")
    every = [(sample, reference) for sample in samples for reference in sample.references]
    assert gold([Candidate(sample, f" {reference}") for sample, reference in every]) == [1.0] * len(every)
    shifted = [
        Candidate(sample, other.references[0]) for sample, other in zip(samples, samples[1:] + samples[:1], strict=True)
    ]
    assert max(gold(shifted)) < 1
    assert fmean(gold(shifted)) < 0.4


def test_gold_falls_when_a_headline_is_padded_repeated_or_empty(gold):
    sample = Sample("s", "News", references=("Fire destroys mill in York", "York mill lost in fire"))
    texts = (
        "Fire destroys mill in York",
        "Fire destroys mill in York on Monday",
        "Fire destroys mill in York and nobody was hurt",
        "Fire destroys mill in York " * 3,
        "Fire destroys mill in York " * 9,
        "",
    )
    values = gold([Candidate(sample, text) for text in texts])
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert values[-1] == 0


def test_demonstrations_are_a_mixture_and_ties_are_few(rows, facts, gold):
    candidates = [
        Candidate(Sample(row["news"], row["news"], references=facts[row["news"]][1]), row["completion"])
        for row in rows["demonstrations"]
    ]
    values = gold(candidates)
    assert fmean(values) == pytest.approx(0.64, abs=0.01)
    assert fmean(value == 1 for value in values) == pytest.approx(0.31, abs=0.01)
    assert fmean(value < 0.5 for value in values) > 0.2
    pairs = zip(values[::2], values[1::2], strict=True)
    assert fmean(a == b for a, b in pairs) < 0.25


def test_what_must_be_copied_can_be_told_by_its_first_letter(generator):
    for words in (generator["PLACES"], *(kind.things for kind in generator["KINDS"].values())):
        assert len({word[0] for word in words}) == len(words)
