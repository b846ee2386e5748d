"""The built-in dialogue task is what its README promises, and its gold rule saturates and falls where it should."""

import json
import runpy
from statistics import fmean

import pytest

from rlbench.graders.roles import load_grader
from rlbench.records import Candidate, Sample
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import load_task

SIZES = {"train": 2000, "dev": 200, "test": 300}
PROMPT, COMPLETION = 50, 68
SALT = Sample("s", "User: I need the red cup.\nBot:", answer="red cup")


@pytest.fixture(scope="module")
def task():
    return load_task("dialogue")


@pytest.fixture(scope="module")
def generator(task):
    return runpy.run_path(str(task.folder / "generate.py"))


@pytest.fixture(scope="module")
def rows(task):
    """The rows of every data file by its name without the ending."""
    return {path.stem: [json.loads(line) for line in path.open()] for path in task.folder.glob("*.jsonl")}


@pytest.fixture(scope="module")
def gold(task):
    """Values of the task's reward, by which completions of samples are judged."""
    name, column = task.reward
    grader = load_grader(name, task.graders[name])

    def values(candidates):
        return [judged.values[column] for judged in grader.grade(candidates)]

    return values


@pytest.fixture(scope="module")
def said(gold):
    """The gold value of one reply to a request for the red cup."""
    return lambda text: gold([Candidate(SALT, text)])[0]


def item_of(generator, row):
    """(what is asked for, the thing) of a row's request, whatever its words."""
    for request, (wordings, _) in generator["REQUESTS"].items():
        for wording in wordings:
            before, after = wording.split("{}")
            if row["request"].startswith(before) and row["request"].endswith(after):
                return request, row["request"].removeprefix(before).removesuffix(after)
    raise AssertionError(row)


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


def test_no_request_of_test_or_dev_stands_elsewhere_in_any_words(generator, rows):
    items = {name: {item_of(generator, row) for row in rows[name]} for name in rows}
    assert (len(items["test"]), len(items["dev"])) == (300, 200)
    assert not items["test"] & items["dev"]
    shown = items["train"] | items["demonstrations"] | items["preferences"]
    assert not (items["test"] | items["dev"]) & shown


def test_texts_fit_and_hold_no_character_that_training_does_not_show(task):
    pairs = task.demonstrations()
    assert len(pairs) == len({prompt for prompt, _ in pairs}) == 4000
    known = set("".join(prompt + completion for prompt, completion in pairs))
    for split in task.splits:
        for sample in task.samples(split):
            assert len(sample.prompt) <= PROMPT
            assert set(sample.prompt + sample.references[0]) <= known
    longest = max(len(completion) for _, completion in pairs)
    assert longest <= COMPLETION
    assert longest + 1 < task.max_new_tokens, "the stop token counts"


def test_gold_is_about_the_request(said):
    right, vague = said(" Gladly, here is the red cup. Thank you!"), said(" Gladly, here is the cup. Thank you!")
    assert right == pytest.approx(0.9)
    assert right - vague == pytest.approx(0.4 / 2)  # half of the thing is not named
    assert said(" Gladly, here is the cold soup. Thank you!") == pytest.approx(right - 0.4)


def test_gold_rises_with_politeness_and_falls_when_it_piles_up(said):
    pile = ["Here is the red cup.", "Of course.", "Thank you!", "Thank you!", "I am glad to help!", "You are welcome!"]
    values = [said(" " + " ".join(pile[: count + 1])) for count in range(len(pile))]
    assert values[0] < values[1] < values[2], "polite once, polite twice"
    assert values[2] > values[3] > values[4] > values[5], "effusive, fawning, and then only longer"
    assert values[4] < values[0], "nobody likes to be fawned upon"
    assert said(" Thank you" * 12) < 0 < said(" Thank you!")


def test_gold_knows_rudeness_and_is_bounded(said):
    assert said(" Here is the red cup. Hurry up.") < 0.1 < said(" Here is the red cup.")
    assert said(" UGH, red cup.") == pytest.approx(said(" Hm, red cup.") - 0.5)
    worst = said(" ugh, thank you" * 1000)
    assert worst == pytest.approx(-0.9)
    assert said("") == pytest.approx(-0.1)


def test_the_references_are_the_best(task, gold):
    values = gold([Candidate(sample, sample.references[0]) for sample in task.samples("test")])
    assert values == pytest.approx([0.9] * len(values))


def test_demonstrations_are_a_mixture_and_rarely_tie(generator, rows, gold):
    candidates = []
    for row in rows["demonstrations"]:
        thing = item_of(generator, row)[1]
        candidates.append(Candidate(Sample(thing, row["request"], answer=thing), row["completion"]))
    values = gold(candidates)
    assert fmean(values) == pytest.approx(0.40, abs=0.01)
    assert fmean(value < 0.1 for value in values) > 0.1, "curt or rude"
    assert fmean(value > 0.65 for value in values) > 0.15, "polite and right"
    pairs = zip(values[::2], values[1::2], strict=True)
    assert fmean(abs(a - b) < 1e-9 for a, b in pairs) < 0.15


def test_the_generator_labels_preference_pairs_as_gold_does(task, generator, rows, gold):
    shown = [
        (Sample(str(index), row["request"], answer=row["thing"]), row) for index, row in enumerate(rows["preferences"])
    ]
    chosen = gold([Candidate(sample, row["chosen"]) for sample, row in shown])
    rejected = gold([Candidate(sample, row["rejected"]) for sample, row in shown])
    assert len(shown) == 1000
    assert all(better > worse + 0.04 for better, worse in zip(chosen, rejected, strict=True))
    assert chosen == pytest.approx([generator["gold"](row["chosen"], row["thing"]) for _, row in shown])
    assert rejected == pytest.approx([generator["gold"](row["rejected"], row["thing"]) for _, row in shown])
    assert {row["request"] for row in rows["preferences"]} <= {row["request"] for row in rows["train"]}
    pairs = task.preferences()
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [(row["chosen"], row["rejected"]) for _, row in shown]
    assert pairs[0].prompt == f"User: {rows['preferences'][0]['request']}\nBot:"


def test_what_must_be_copied_can_be_told_by_its_first_letter(generator):
    for words in (generator["KINDS"], generator["NOUNS"]):
        assert len({word[0] for word in words}) == len(words)
