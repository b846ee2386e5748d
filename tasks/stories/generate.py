"""Writes this task's story openings: `python tasks/stories/generate.py`. The same files come out every time.

Every opening is a template filled with a name, an animal and a place. All openings that can be made are put in an
order by a hash, duplicates never arise, and the splits are cut from that order, so that they share no opening.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

SEED = 0
TEST, DEV, TRAIN = 200, 100, 1000

GIRLS = ["Lily", "Mia", "Anna", "Sue", "Lucy", "Amy", "Jane", "Sara", "Emma", "Molly"]
BOYS = ["Tom", "Ben", "Max", "Tim", "Sam", "Jack", "Bob", "Leo", "Billy", "Joe"]
ANIMALS = ["dog", "cat", "bird", "bunny", "bear", "fish", "duck", "mouse"]
PLACES = ["park", "garden", "forest", "beach", "house", "farm", "yard", "lake"]
TEMPLATES = [
    "Once upon a time, there was a {child} named {name}. {She} had a {animal}. One day, they went to the {place}.",
    "Once upon a time, there was a {animal} named {name}. The {animal} lived near the {place}. One day,",
    "One day, {name} went to the {place}. {She} saw a {animal}.",
    "{name} and the {animal} were friends. They liked to play at the {place}. One day,",
    "{name} was sad. {She} could not find the {animal}. {She} looked at the {place}.",
    "It was a sunny day. {name} was at the {place} with a {animal}. {She} said,",
]


def openings() -> list[str]:
    """Return every opening that can be made, in the fixed order of a hash."""
    made = [
        template.format(name=name, child=child, She=she, animal=animal, place=place)
        for template in TEMPLATES
        for child, she, names in (("girl", "She", GIRLS), ("boy", "He", BOYS))
        for name in names
        for animal in ANIMALS
        for place in PLACES
    ]
    return sorted(set(made), key=lambda opening: hashlib.sha256(f"{SEED}:{opening}".encode()).digest())


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    made = openings()
    return {
        "test.jsonl": _lines(made[:TEST]),
        "dev.jsonl": _lines(made[TEST : TEST + DEV]),
        "train.jsonl": _lines(made[TEST + DEV : TEST + DEV + TRAIN]),
    }


def _lines(made: list[str]) -> str:
    return "".join(json.dumps({"opening": opening}) + "\n" for opening in made)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
