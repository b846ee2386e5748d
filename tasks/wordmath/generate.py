"""Writes this task's data files: `python tasks/wordmath/generate.py`. The same files come out every time.

A problem is a calculation of one step or two, told in words. Choices are made by sorting on a hash of (seed, purpose,
item), so that they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS = 400, 200, 2000, 4000
WRONG, UNMARKED = 0.33, 0.03
PER_KIND = 520
LARGEST = 40
NAMES = ("Ana", "Ben", "Eva", "Ida", "Jan", "Leo", "Mia", "Tom")
THINGS = ("pens", "eggs", "nuts", "coins", "cards", "books", "stamps", "apples")
BOXES = ("bags", "boxes", "packs")

# By the signs of the steps. {n} is a name, {t} a thing, {p} what things come in, {a}, {b} and {c} the numbers.
WORDINGS = {
    "+": (
        "{n} has {a} {t} and gets {b} more. How many {t} now?",
        "{n} finds {a} {t}, then {b} more. How many in all?",
        "There are {a} {t} here and {b} {t} there. How many in all?",
    ),
    "-": (
        "{n} has {a} {t} and loses {b}. How many are left?",
        "{n} had {a} {t} and gave away {b}. How many are left?",
        "Of {a} {t}, {n} sells {b}. How many are left?",
    ),
    "*": (
        "{n} has {a} {p} of {b} {t}. How many {t}?",
        "There are {b} {t} in each of {a} {p}. How many {t}?",
        "{n} buys {a} {p} with {b} {t} in each. How many {t}?",
    ),
    "++": (
        "{n} has {a} {t}, gets {b}, then {c} more. How many now?",
        "{n} finds {a} {t}, {b} {t} and {c} {t}. How many in all?",
    ),
    "+-": (
        "{n} has {a} {t}, gets {b} and loses {c}. How many now?",
        "{n} finds {a} {t}, then {b}, and sells {c}. How many are left?",
    ),
    "-+": (
        "{n} has {a} {t}, loses {b} and finds {c}. How many now?",
        "{n} had {a} {t}, sold {b} and got {c}. How many now?",
    ),
    "*+": (
        "{n} has {a} {p} of {b} {t} and {c} {t} more. How many {t}?",
        "{n} buys {a} {p} of {b} {t} and finds {c} {t}. How many {t}?",
    ),
    "*-": (
        "{n} has {a} {p} of {b} {t} and loses {c} {t}. How many {t} are left?",
        "{n} buys {a} {p} of {b} {t} and sells {c} {t}. How many {t} are left?",
    ),
}

Item = tuple[str, tuple[int, ...]]


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: Iterable[Any], purpose: str) -> list[Any]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def apply(sign: str, a: int, b: int) -> int:
    """Return the result of one step."""
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def results(item: Item) -> list[int]:
    """Return the result of every step."""
    signs, numbers = item
    found: list[int] = []
    for sign, number in zip(signs, numbers[1:], strict=True):
        found.append(apply(sign, found[-1] if found else numbers[0], number))
    return found


def in_order(item: Item) -> bool:
    """Whether the first step's numbers stand in the order drawn for them, where either order gives the same result."""
    signs, (a, b, *rest) = item
    return signs[0] == "-" or a == b or (a < b) == bool(draw("order", signs, min(a, b), max(a, b), *rest) % 2)


def items() -> list[Item]:
    """Return the calculations, at most `PER_KIND` of a kind: every number at least 2, no result above `LARGEST`."""
    small, large = range(2, 10), range(2, 21)
    found: list[Item] = []
    for signs in WORDINGS:
        first = range(4, LARGEST) if signs[0] == "-" else small if signs[0] == "*" else large
        second = small if signs[0] == "*" else large
        last: Iterable[tuple[int, ...]] = [(c,) for c in small] if len(signs) > 1 else [()]
        kind = [(signs, (a, b, *c)) for a in first for b in second for c in last]
        fitting = [item for item in kind if all(2 <= value <= LARGEST for value in results(item)) and in_order(item)]
        found += shuffled(fitting, "items")[:PER_KIND]
    return found


def problem(item: Item, purpose: str, copy: int = 0) -> str:
    """Return the item in words drawn for a purpose."""
    signs, numbers = item

    def one(of: tuple[str, ...]) -> str:
        return of[draw("words", purpose, copy, item, of) % len(of)]

    named = dict(zip("abc", numbers, strict=False))
    return one(WORDINGS[signs]).format(n=one(NAMES), t=one(THINGS), p=one(BOXES), **named)


def worked(item: Item, found: list[int]) -> str:
    """Return the steps with the results that were `found`, and the last one marked as the answer."""
    signs, numbers = item
    starts = [numbers[0], *found]
    steps = [f"{a}{sign}{b}={c}" for a, sign, b, c in zip(starts, signs, numbers[1:], found, strict=False)]
    return ", ".join(steps) + f"\nA: {found[-1]}"


def miscalculated(item: Item, copy: int) -> list[int]:
    """Return results of which one is wrong, and what follows from it: off by a little or by ten, or the wrong sign."""
    signs, numbers = item
    attempt = 0
    while True:
        place = draw("place", item, copy, attempt) % len(signs)
        before = numbers[0] if place == 0 else results(item)[place - 1]
        right = results(item)[place]
        slips = [right - 2, right - 1, right + 1, right + 2, right - 10, right + 10]
        slips += [apply(sign, before, numbers[place + 1]) for sign in "+-*"]
        slip = slips[draw("slip", item, copy, attempt) % len(slips)]
        found = results((signs[place + 1 :], (slip, *numbers[place + 2 :])))
        attempt += 1
        if slip != right and all(0 <= value < 100 for value in (slip, *found)):
            return [*results(item)[:place], slip, *found]


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    # A calculation of test or dev stands there once, and nowhere else in any words.
    held_out = shuffled(items(), "held out")
    free = held_out[TEST + DEV :]
    told = {problem(item, "demonstrations", copy): (item, copy) for copy in range(4) for item in free}
    shown = shuffled(told, "demonstrations")[:DEMONSTRATIONS]
    drawn = shuffled(shown, "wrong")
    wrong = set(drawn[: round(WRONG * len(shown))])
    unmarked = set(drawn[len(wrong) :][: round(UNMARKED * len(shown))])

    def completion(text: str) -> str:
        item, copy = told[text]
        said = worked(item, miscalculated(item, copy) if text in wrong else results(item))
        return said.replace("A: ", "") if text in unmarked else said

    return {
        "train.jsonl": _split("train", shuffled(free, "train")[:TRAIN]),
        "dev.jsonl": _split("dev", held_out[TEST : TEST + DEV]),
        "test.jsonl": _split("test", held_out[:TEST]),
        "demonstrations.jsonl": _lines([{"problem": text, "completion": completion(text)} for text in shown]),
    }


def _split(name: str, chosen: list[Item]) -> str:
    return _lines(
        [
            {"problem": problem(item, name), "reference": worked(item, results(item)), "answer": results(item)[-1]}
            for item in chosen
        ]
    )


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
