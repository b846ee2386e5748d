import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("reasoning_gym", reason="needs pip install 'rlbench[reasoning-gym]'")

from rlbench.errors import InputError
from rlbench.tasks import reasoning_gym as source_module
from rlbench.tasks.definition import ReasoningGymSource
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.prompts import prompt_hash
from rlbench.tasks.reasoning_gym import ALLOWED, REFUSED, generated_rows
from rlbench.tasks.task import load_task

TASKS = [f"rg_{name}" for name in ALLOWED]
FIRST_ITEMS = """
import hashlib, sys
from reasoning_gym import create_dataset

for argument in sys.argv[1:]:
    name, number = argument.split("=")
    dataset = create_dataset(name, seed=0)
    items = [(entry["question"], str(entry["answer"])) for entry in map(dataset.__getitem__, range(int(number)))]
    print(name, hashlib.sha256(repr(items).encode()).hexdigest())
"""


def source(dataset="lcm", splits=None, **changes):
    splits = {"test": 30, "dev": 10, "train": 60} if splits is None else splits
    return ReasoningGymSource(kind="reasoning_gym", dataset=dataset, splits=splits, **changes)


def rows(chosen, *splits):
    return [row for split in splits or chosen.splits for row in generated_rows("t", chosen, split).rows]


def questions(chosen, *splits):
    return [row.fields["question"] for row in rows(chosen, *splits)]


def refused(chosen, split="train"):
    with pytest.raises(InputError) as caught:
        generated_rows("t", chosen, split)
    return str(caught.value)


def test_splits_share_no_question_and_say_where_they_are_from():
    chosen = source(options={"max_value": 20}, seed=3)
    every = questions(chosen)
    assert len(every) == len({prompt_hash(question) for question in every}) == 100
    read = generated_rows("t", chosen, "dev")
    assert set(read.rows[0].fields) == {"question", "answer"}
    assert re.fullmatch(r"reasoning-gym lcm \(seed 3\), item \d+", read.rows[0].where)
    assert re.fullmatch(r'reasoning-gym:\d+\.\d+\.\d+:lcm:\{"max_value": 20\}:seed=3', read.provenance)


def test_the_library_overlaps_its_own_seeds_so_that_a_split_may_not_be_a_seed():
    import reasoning_gym

    first, second = (reasoning_gym.create_dataset("lcm", seed=seed, size=500) for seed in (0, 1))
    overlap = {first[index]["question"] for index in range(500)} & {second[index]["question"] for index in range(500)}
    assert all(first[index + 1]["question"] == second[index]["question"] for index in range(499))
    assert len(overlap) > 400


def test_rows_are_the_library_s_own_items():
    import reasoning_gym

    dataset = reasoning_gym.create_dataset("gcd", seed=7, max_value=50)
    for row in rows(source("gcd", options={"max_value": 50}, seed=7)):
        entry = dataset[int(row.where.rpartition(" ")[2])]
        assert row.fields == {"question": entry["question"], "answer": entry["answer"]}


def test_seed_and_options_decide_and_a_larger_train_split_leaves_the_test_split():
    chosen = source(splits={"test": 30, "train": 60})
    source_module._stream.cache_clear()
    again = rows(chosen, "test")
    source_module._stream.cache_clear()
    assert rows(chosen, "test") == again
    assert rows(source(splits={"test": 30, "train": 200}), "test") == again
    assert rows(source(splits={"test": 30}, seed=9)) != again
    assert rows(source(splits={"test": 30}, options={"max_value": 50})) != again


def test_global_random_numbers_stay_as_they_are():
    random.seed(5)
    np.random.seed(5)
    before, numpy_before = random.getstate(), np.random.get_state()[1].copy()
    for name in ALLOWED:
        source_module._stream.cache_clear()
        rows(source(name, splits={"test": 20}, options={"max_complexity": 1} if name == "number_sequence" else {}))
    assert random.getstate() == before
    assert (np.random.get_state()[1] == numpy_before).all()


def test_a_question_with_two_answers_is_dropped():
    chosen = source("number_sequence", splits={"train": 1500}, options={"max_complexity": 1, "max_terms": 4})
    import reasoning_gym

    kept = rows(chosen)
    dataset = reasoning_gym.create_dataset("number_sequence", seed=0, **chosen.options)
    answers: dict[str, set[str]] = {}
    for index in range(int(kept[-1].where.rpartition(" ")[2]) + 1):
        answers.setdefault(dataset[index]["question"], set()).add(dataset[index]["answer"])
    two = {question for question, given in answers.items() if len(given) > 1}
    assert two
    assert not two & set(questions(chosen))
    assert len(kept) == 1500


def test_too_few_questions():
    message = refused(source("count_bits", splits={"train": 300}, options={"max_n": 255}))
    assert "gave 255 distinct questions in" in message
    assert "the splits need 300" in message
    assert len(rows(source("count_bits", splits={"train": 255}, options={"max_n": 255}))) == 255


@pytest.mark.parametrize(
    ("dataset", "options", "expected"),
    [
        ("lcm", {"seed": 4}, "has 'seed', which is no option here; give source.seed"),
        ("lcm", {"size": 4}, "has 'size', which is no option here; give the sizes under source.splits"),
        ("spell_backward", {"data_file": "../../x"}, "has 'data_file', which is no option here"),
        ("lcm", {"largest": 4}, "does not take the options {'largest': 4"),
        ("lcm", {"min_value": 0}, "min_value must be positive"),
        ("lcm", {"max_value": "20"}, "does not take the options"),
        ("spell_backward", {"min_word_len": 90, "max_word_len": 95}, "fails with the options"),
        ("sudoku", {}, "'sudoku' of reasoning-gym is refused: it has not been audited"),
        ("no_such", {}, "'no_such' of reasoning-gym is refused: it has not been audited"),
        *((name, {}, f"{name!r} of reasoning-gym is refused: {why}") for name, why in REFUSED.items()),
    ],
)
def test_wrong_sources(dataset, options, expected):
    message = refused(source(dataset, options=options))
    assert expected in message
    assert message.startswith("task 't': ")
    if "is refused" in expected:
        assert "lcm, chain_sum, count_primes" in message


@pytest.mark.parametrize("name", ["list_functions", "pool_matrix"])
def test_generators_that_touch_global_random_numbers_are_refused_for_a_reason(name):
    import reasoning_gym

    def first_items(seed):
        random.seed(seed)
        np.random.seed(seed)
        dataset = reasoning_gym.create_dataset(name, seed=0, size=12)
        items = [dataset[index]["question"] for index in range(12)]
        return items, random.random(), np.random.random()

    (one, *after_one), (two, *after_two) = first_items(1), first_items(2)
    assert one != two or after_one[1] == after_two[1]
    assert name in REFUSED


def test_the_check_at_load_unmasks_a_generator_that_draws_global_random_numbers(monkeypatch):
    monkeypatch.setitem(ALLOWED, "list_functions", "let in by this test")
    assert "gives other items when the same ones are generated again" in refused(source("list_functions"))


def test_a_verifier_that_accepts_anything_is_refused_for_a_reason():
    import reasoning_gym

    dataset = reasoning_gym.create_dataset("game_of_life_halting", seed=0, size=3)
    assert [dataset.score_answer("neither true nor false", dataset[index]) for index in range(3)] == [1.0] * 3
    assert "game_of_life_halting" in REFUSED


def test_a_verifier_that_fails_on_text_is_refused_for_a_reason():
    import reasoning_gym

    dataset = reasoning_gym.create_dataset("prime_factorization", seed=0, size=1)
    with pytest.raises(ValueError, match="invalid literal"):
        dataset.score_answer("some text", dataset[0])
    assert "prime_factorization" in REFUSED


def test_items_without_an_answer_are_refused_for_a_reason():
    import reasoning_gym

    for name in ("boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"):
        entry = (dataset := reasoning_gym.create_dataset(name, seed=0, size=1))[0]
        assert dataset.score_answer(entry["answer"], entry) == 0.0
        assert name in REFUSED


def hashes(hash_seed, numbers):
    """The hash of the first items of each data set, so many of each, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_ITEMS, *(f"{name}={number}" for name, number in numbers.items())],
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.slow
def test_allowed_data_sets_are_the_same_in_every_process_and_refused_ones_are_not():
    repeated = ("isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder")
    numbers = dict.fromkeys(ALLOWED, 40) | dict.fromkeys(repeated, 3)
    one, two = (hashes(seed, numbers) for seed in (1, 2))
    assert [name for name in one if one[name] != two[name]] == list(repeated)
    assert set(repeated) < set(REFUSED)


@pytest.mark.parametrize("name", TASKS)
def test_built_in_tasks(name):
    task = load_task(name)
    check_leaks(task)
    prompts = [prompt_hash(sample.prompt) for split in task.splits for sample in task.samples(split)]
    assert len(prompts) == len(set(prompts))
    assert all(sample.answer == sample.references[0] for sample in task.samples("test"))
    pairs = task.demonstrations()
    assert [prompt for prompt, _ in pairs] == [sample.prompt for sample in task.samples("train")]
    # A character each, and the stop token.
    assert all(len(sample.answer) < task.max_new_tokens for split in task.splits for sample in task.samples(split))
    assert task.reward == ("exact", "exact")
    assert task.primary == "exact"


def arithmetic_says(name, question):
    """The answer to a question, worked out from its text alone; None where this test does not know how."""
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    if name == "rg_chain_sum":
        total, sign = 0, 1
        for part in question.rpartition(": ")[2].removesuffix(" =").split():
            if part in "+-":
                sign = 1 if part == "+" else -1
            else:
                total += sign * int(part)
        return total
    if name == "rg_products":
        return int(np.prod(numbers))
    if name == "rg_gcd":
        return int(np.gcd.reduce(numbers))
    if name == "rg_lcm":
        return int(np.lcm.reduce(numbers))
    if name == "rg_count_bits":
        (number,) = (int(each) for each in re.findall(r"number (\d+)", question))
        return sum(number >> place & 1 for place in range(number.bit_length()))
    if name == "rg_count_primes":
        return sum(all(n % d for d in range(2, n)) for n in range(max(2, numbers[0]), numbers[1] + 1))
    if name == "rg_letter_counting":
        letter, text = re.findall(r'"([^"]*)"', question)
        return text.lower().count(letter)
    return question.rpartition(" ")[2][::-1] if name == "rg_spell_backward" else None


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("rg_number_sequence", "rg_simple_equations")])
def test_the_library_s_answers_are_right(name):
    for sample in load_task(name).samples("test"):
        assert sample.answer == str(arithmetic_says(name, sample.prompt)), sample.prompt


def test_equations_have_one_solution_and_it_is_the_answer():
    for sample in load_task("rg_simple_equations").samples("test"):
        left, right = re.sub("[a-z]", "X", sample.prompt.rpartition(": ")[2]).split(" = ")
        side = compile(left, sample.prompt, "eval")
        solved = [value for value in range(-20, 21) if eval(side, {"X": value}) == int(right)]
        assert solved == [int(sample.answer)], sample.prompt
