"""Writes this task's data files: `python tasks/sorting/generate.py`. The same files come out every time.

Choices are made by sorting on a hash of (seed, purpose, item), so that they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
from itertools import combinations_with_replacement, permutations
from pathlib import Path

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS = 400, 200, 2000, 4000
SIZES = (3, 4, 5)
WRONG = 0.35

Digits = tuple[int, ...]


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: list[Digits], purpose: str) -> list[Digits]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def arrangements(digits: Digits) -> list[Digits]:
    """Return every arrangement of the digits but the right one."""
    return [found for found in sorted(set(permutations(digits))) if found != digits]


def arranged(digits: Digits, purpose: str) -> Digits:
    """Return the digits out of order, in an arrangement drawn for a purpose."""
    found = arrangements(digits)
    return found[draw(purpose, digits) % len(found)]


def wrong_order(asked: Digits) -> Digits:
    """Return what somebody careless would write: two neighbours the wrong way round, a digit lost, doubled, misread."""
    right = tuple(sorted(asked))
    swapped = [(*right[:at], right[at + 1], right[at], *right[at + 2 :]) for at in range(len(right) - 1)]
    lost = [(*right[:at], *right[at + 1 :]) for at in range(len(right))]
    doubled = [(*right[:at], right[at], *right[at:]) for at in range(len(right))]
    misread = [
        tuple(sorted((*right[:at], other, *right[at + 1 :])))
        for at in range(len(right))
        for other in (right[at] - 1, right[at] + 1)
        if 0 <= other <= 9
    ]
    kinds = [[wrong for wrong in kind if wrong != right] for kind in (swapped, swapped, lost, doubled, misread)]
    kinds = [kind for kind in kinds if kind]
    kind = kinds[draw("kind", asked) % len(kinds)]
    return kind[draw("wrong", asked) % len(kind)]


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    # The same digits in any arrangement are one item: an item of test or dev stands there once and nowhere else.
    items = [
        digits for size in SIZES for digits in combinations_with_replacement(range(10), size) if len(set(digits)) > 1
    ]
    held_out = shuffled(items, "held out")
    free = held_out[TEST + DEV :]
    every = [asked for digits in free for asked in arrangements(digits)]
    shown = shuffled(every, "demonstrations")[:DEMONSTRATIONS]
    wrong = set(shuffled(shown, "wrong")[: round(WRONG * len(shown))])
    demonstrations = [
        {"digits": _text(asked), "completion": _text(wrong_order(asked) if asked in wrong else tuple(sorted(asked)))}
        for asked in shown
    ]
    return {
        "train.jsonl": _split("train", shuffled(free, "train")[:TRAIN]),
        "dev.jsonl": _split("dev", held_out[TEST : TEST + DEV]),
        "test.jsonl": _split("test", held_out[:TEST]),
        "demonstrations.jsonl": _lines(demonstrations),
    }


def _split(name: str, items: list[Digits]) -> str:
    """A row says twice what is right, as the reference and as the answer, so that each can be checked by the other."""
    return _lines(
        [{"digits": _text(arranged(item, name)), "ordered": _text(item), "answer": _text(item)} for item in items]
    )


def _text(digits: Digits) -> str:
    return " ".join(map(str, digits))


def _lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
