"""Writes this task's data files: `python tasks/qa/generate.py`. The same files come out every time.

A context tells facts of one frame; its questions ask for spans of it. Choices are made by sorting on a hash of (seed,
purpose, item), so that they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS = 400, 200, 2000, 4000
WRONG = 0.35
PER_FRAME = 1200

# The words that a slot of a frame can hold. Two slots of a kind (person1, person2) hold different words.
WORDS = {
    "person": ("Ana", "Ben", "Eva", "Ida", "Jan", "Leo", "Mia", "Tom"),
    "city": ("Oslo", "Rome", "Lima", "Brno", "Kyiv", "Bern", "Riga", "Cork"),
    "day": ("Monday", "Tuesday", "Thursday", "Friday", "Sunday"),
    "colour": ("red", "blue", "white", "black", "green"),
    "thing": ("cup", "hat", "map", "key", "bag", "pen"),
    "room": ("hall", "attic", "garden", "garage", "kitchen"),
    "job": ("nurse", "baker", "pilot", "judge", "tailor", "farmer"),
}


@dataclass(frozen=True)
class Frame:
    """A template of contexts, and its questions, each with its acceptable answers, the shortest first."""

    context: str
    slots: tuple[str, ...]
    questions: tuple[tuple[str, tuple[str, ...]], ...]


FRAMES = (
    Frame(
        "{person1} met {person2} in {city1} on {day1}.",
        ("person1", "person2", "city1", "day1"),
        (
            ("Who met {person2}?", ("{person1}",)),
            ("Whom did {person1} meet?", ("{person2}",)),
            ("Where did they meet?", ("{city1}", "in {city1}")),
            ("When did they meet?", ("{day1}", "on {day1}")),
        ),
    ),
    Frame(
        "{person1} lives in {city1}. {person2} lives in {city2}.",
        ("person1", "person2", "city1", "city2"),
        (
            ("Where does {person1} live?", ("{city1}", "in {city1}")),
            ("Where does {person2} live?", ("{city2}", "in {city2}")),
            ("Who lives in {city1}?", ("{person1}",)),
            ("Who lives in {city2}?", ("{person2}",)),
        ),
    ),
    Frame(
        "The {colour1} {thing1} is in the {room1}, the {thing2} in the {room2}.",
        ("colour1", "thing1", "room1", "thing2", "room2"),
        (
            ("Where is the {thing1}?", ("the {room1}", "in the {room1}")),
            ("Where is the {thing2}?", ("the {room2}", "in the {room2}")),
            ("What is in the {room1}?", ("The {colour1} {thing1}",)),
            ("What is in the {room2}?", ("the {thing2}",)),
            ("What colour is the {thing1}?", ("{colour1}",)),
        ),
    ),
    Frame(
        "{person1} sold {person2} a {colour1} {thing1} on {day1}.",
        ("person1", "person2", "colour1", "thing1", "day1"),
        (
            ("Who sold the {thing1}?", ("{person1}",)),
            ("Who bought the {thing1}?", ("{person2}",)),
            ("What did {person2} buy?", ("a {colour1} {thing1}",)),
            ("When was it sold?", ("{day1}", "on {day1}")),
        ),
    ),
    Frame(
        "{person1} is a {job1} and {person2} a {job2}.",
        ("person1", "person2", "job1", "job2"),
        (
            ("Who is a {job1}?", ("{person1}",)),
            ("Who is a {job2}?", ("{person2}",)),
            ("What is {person1}?", ("a {job1}",)),
            ("What is {person2}?", ("a {job2}",)),
        ),
    ),
)

Facts = tuple[int, tuple[str, ...]]
"""The number of a frame, and what its slots hold."""
Item = tuple[Facts, int]
"""Facts, and the number of a question."""


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: Iterable[Any], purpose: str) -> list[Any]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def facts() -> list[Facts]:
    """Return the facts of the task: a number of each frame, chosen by hash."""
    found: list[Facts] = []
    for number, frame in enumerate(FRAMES):
        every = product(*(WORDS[slot[:-1]] for slot in frame.slots))
        different = [(number, words) for words in every if len(set(words)) == len(words)]
        found += shuffled(different, "facts")[:PER_FRAME]
    return found


def asked(chosen: Facts, purpose: str) -> Item:
    """Return the facts with a question drawn for a purpose."""
    return chosen, draw(purpose, "question", chosen) % len(FRAMES[chosen[0]].questions)


def filled(item: Item) -> tuple[str, str, list[str]]:
    """Return the context, the question and the acceptable answers."""
    (number, words), question = item
    frame = FRAMES[number]
    slots = dict(zip(frame.slots, words, strict=True))
    text, answers = frame.questions[question]
    return frame.context.format(**slots), text.format(**slots), [answer.format(**slots) for answer in answers]


def wrong_span(item: Item) -> str:
    """Return another span of the context: the answer to another question, mostly of the same kind, or one too long."""
    (chosen, question), (context, _, right) = item, filled(item)
    templates = [answers for _, answers in FRAMES[chosen[0]].questions]
    others = [filled((chosen, other))[2] for other in range(len(templates))]
    alike = [
        answers
        for template, answers in zip(templates, others, strict=True)
        if template[0].rstrip("12}") == templates[question][0].rstrip("12}")
    ]
    spans = [[span for answers in kind for span in answers] for kind in (alike, alike, others)]
    accepted = [_bare(answer) for answer in right]
    kinds = [[span for span in kind if _bare(span) not in accepted] for kind in (*spans, _too_long(context, right))]
    kinds = [kind for kind in kinds if kind]
    kind = kinds[draw("kind", item) % len(kinds)]
    return kind[draw("wrong", item) % len(kind)]


def _bare(span: str) -> list[str]:
    """Return the words that count: an article more or less makes no answer wrong."""
    return [word for word in span.lower().split() if word not in ("a", "the")]


def _too_long(context: str, right: list[str]) -> list[str]:
    """Return the spans of the context with a word or two more than the longest acceptable answer."""
    words, answer = context.replace(".", "").replace(",", "").split(), right[-1].split()
    start = next(at for at in range(len(words)) if words[at : at + len(answer)] == answer)
    end = start + len(answer)
    spans = [words[start - more : end] for more in (1, 2) if more <= start]
    spans += [words[start : end + more] for more in (1, 2) if end + more <= len(words)]
    return [" ".join(span) for span in spans]


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    # Facts of test or dev stand there once, with one question, and nowhere else with any question.
    held_out = shuffled(facts(), "held out")
    free = held_out[TEST + DEV :]
    shown = [asked(chosen, "demonstrations") for chosen in shuffled(free, "demonstrations")[:DEMONSTRATIONS]]
    wrong = set(shuffled(shown, "wrong")[: round(WRONG * len(shown))])
    demonstrations = []
    for item in shown:
        context, question, answers = filled(item)
        completion = wrong_span(item) if item in wrong else answers[draw("answer", item) % len(answers)]
        demonstrations.append({"context": context, "question": question, "completion": completion})
    return {
        "train.jsonl": _split("train", shuffled(free, "train")[:TRAIN]),
        "dev.jsonl": _split("dev", held_out[TEST : TEST + DEV]),
        "test.jsonl": _split("test", held_out[:TEST]),
        "demonstrations.jsonl": _lines(demonstrations),
    }


def _split(name: str, chosen: list[Facts]) -> str:
    rows = [filled(asked(each, name)) for each in chosen]
    return _lines(
        [{"context": context, "question": question, "answers": answers} for context, question, answers in rows]
    )


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
