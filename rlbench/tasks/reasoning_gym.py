"""Rows from the generators of the package reasoning-gym, of which only the audited ones are let in.

Source: https://github.com/open-thought/reasoning-gym (Stojanovski et al., 2025). What the audit looked at, and how to
repeat it, stands in docs/reasoning_gym.md. Two things of the library decide how its items become splits:

* Item i of seed s is item i - 1 of seed s + 1, so that two seeds share all items but one. Every split is therefore cut
  out of one stream of one seed.
* The stream repeats questions, and some generators give one question two answers. A question is taken once, and not at
  all if the stream has shown two answers to it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from itertools import count
from typing import Any, NamedTuple

from rlbench.errors import InputError
from rlbench.tasks.definition import ReasoningGymSource
from rlbench.tasks.prompts import prompt_hash
from rlbench.tasks.rows import Row, Rows

ALLOWED = {
    "number_sequence": "the next number of a sequence; few questions have two answers, and those are dropped",
    "spell_backward": "the letters of a word in reverse order",
    "simple_equations": "a linear equation whose coefficient is never zero, so that it has one solution",
    "lcm": "the least common multiple of a few numbers",
    "chain_sum": "a sum or difference of a few numbers",
    "count_primes": "the number of primes in an interval",
    "count_bits": "the number of ones in a binary number",
    "products": "the product of a few numbers",
    "gcd": "the greatest common divisor of a few numbers",
    "letter_counting": "how often a letter stands in a few words",
}
"""Data sets that passed the audit: what they ask, and why it has one answer."""

_NOT_REPEATABLE = "its items differ from one process to the next with the same seed"
_NO_ANSWER = "its items carry no answer that its own verifier accepts"
REFUSED = {
    "list_functions": "it draws from Python's global random numbers, whatever its seed",
    "isomorphic_strings": _NOT_REPEATABLE,
    "knight_swap": _NOT_REPEATABLE,
    "polynomial_multiplication": _NOT_REPEATABLE,
    "ransom_note": _NOT_REPEATABLE,
    "word_ladder": _NOT_REPEATABLE,
    "pool_matrix": "it seeds numpy's global random numbers",
    "game_of_life_halting": "its verifier gives 1 to any text",
    "prime_factorization": "its verifier fails on text that is no number",
    "boxnet": _NO_ANSWER,
    "graph_color": _NO_ANSWER,
    "propositional_logic": _NO_ANSWER,
    "rubiks_cube": _NO_ANSWER,
    "rush_hour": _NO_ANSWER,
}
"""Data sets that failed the audit, and why. The others of the library have not been audited."""

FIXED_OPTIONS = {
    "seed": "give source.seed",
    "size": "give the sizes under source.splits",
    "data_file": "the audit read the library's own word list",
}
PATIENCE = 2000
"""How many items in a row may bring no new question before the generator counts as exhausted."""
COMPARED = 32
"""How many items are generated twice to see whether they are the same."""


class _Item(NamedTuple):
    question: str
    answer: str
    number: int
    """Number of the item in the stream."""


def generated_rows(task: str, source: ReasoningGymSource, split: str) -> Rows:
    """Generate the rows of one split, with the fields `question` and `answer`.

    The splits follow each other in the stream in the order in which `source` lists them, and share no question.

    Raises:
        InputError: the library is not installed, the data set is not allowed, an option is wrong, the generator is not
            deterministic, or it cannot give that many distinct questions.
    """
    options = json.dumps(source.options, sort_keys=True)
    items = _stream(task, source.dataset, options, source.seed, sum(source.splits.values()))
    names = list(source.splits)
    first = sum(source.splits[name] for name in names[: names.index(split)])
    place = f"reasoning-gym {source.dataset} (seed {source.seed})"
    rows = tuple(
        Row({"question": item.question, "answer": item.answer}, f"{place}, item {item.number}")
        for item in items[first : first + source.splits[split]]
    )
    return Rows(rows, f"reasoning-gym:{version('reasoning-gym')}:{source.dataset}:{options}:seed={source.seed}")


def generator(name: str, asker: str, **options: Any) -> Any:
    """Return the library's data set `name`, which generates items and scores answers; `asker` is named in errors.

    Raises:
        InputError: the library is not installed, the data set is not allowed, or an option is wrong.
    """
    if name not in ALLOWED:
        why = REFUSED.get(name, "it has not been audited")
        raise InputError(
            f"{asker}: the data set {name!r} of reasoning-gym is refused: {why}; "
            f"expected one whose items are the same in every process and whose verifier can tell right from wrong: "
            f"{', '.join(ALLOWED)}"
        )
    try:
        with _global_random_numbers(0):
            from reasoning_gym import create_dataset

            return create_dataset(name, **options)
    except ImportError as error:
        raise InputError(f"{asker}: needs the package reasoning-gym; pip install 'rlbench[reasoning-gym]'") from error
    except (AssertionError, TypeError, ValueError) as error:  # what its configurations raise
        raise InputError(f"{asker}: reasoning-gym {name!r} does not take the options {options}: {error}") from error


@lru_cache(maxsize=16)
def _stream(task: str, dataset: str, options: str, seed: int, wanted: int) -> tuple[_Item, ...]:
    """Return the first `wanted` items with distinct questions. `options` is JSON, so that it can be a key."""
    asker, chosen = f"task {task!r}", json.loads(options)
    for option in FIXED_OPTIONS.keys() & chosen.keys():
        raise InputError(f"{asker}: source.options has {option!r}, which is no option here; {FIXED_OPTIONS[option]}")
    made = [generator(dataset, asker, **chosen, seed=seed) for _ in range(2)]
    try:
        with _global_random_numbers(1):
            forwards = [_item(made[0], index) for index in range(COMPARED)]
        with _global_random_numbers(2):
            backwards = [_item(made[1], index) for index in reversed(range(COMPARED))]
            if forwards != backwards[::-1]:
                raise InputError(
                    f"{asker}: reasoning-gym {dataset!r} gives other items when the same ones are generated again; "
                    f"choose another data set, or the version of reasoning-gym that rlbench is tested with"
                )
            return _distinct(made[0], wanted, f"{asker}: reasoning-gym {dataset!r} with options {options}")
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # odd options that no configuration refuses
        raise InputError(f"{asker}: reasoning-gym {dataset!r} fails with the options {options}: {error}") from error


def _distinct(dataset: Any, wanted: int, asker: str) -> tuple[_Item, ...]:
    found: dict[bytes, _Item] = {}
    ambiguous: set[bytes] = set()
    newest = 0
    for index in count():
        if len(found) - len(ambiguous) == wanted:
            break
        if index - newest > PATIENCE:
            raise InputError(
                f"{asker} gave {len(found) - len(ambiguous)} distinct questions in {index} items, of which the last "
                f"{PATIENCE} brought none; the splits need {wanted}: make them smaller, or the options wider"
            )
        item = _item(dataset, index)
        key = prompt_hash(item.question)
        if key not in found:
            found[key], newest = item, index
        elif found[key].answer != item.answer:
            ambiguous.add(key)
    return tuple(item for key, item in found.items() if key not in ambiguous)


def _item(dataset: Any, index: int) -> _Item:
    entry = dataset[index]
    return _Item(entry["question"], entry["answer"], index)


@contextmanager
def _global_random_numbers(seed: int) -> Iterator[None]:
    """Let the library draw from Python's global random numbers, seeded, and put them back as they were.

    Importing it draws some. Different seeds also unmask a generator that takes its items from there.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
