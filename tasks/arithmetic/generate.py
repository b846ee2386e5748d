"""Writes this task's data files: `python tasks/arithmetic/generate.py`. The same files come out every time.

Choices are made by sorting on a hash of (seed, purpose, item), so that they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS = 500, 200, 2000, 5600
WRONG, UNMARKED = 0.35, 0.03

Pair = tuple[int, int]


def draw(purpose: str, *item: int) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = ":".join([str(SEED), purpose, *map(str, item)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(pairs: list[Pair], purpose: str) -> list[Pair]:
    """Return the pairs in the fixed order of a purpose."""
    return sorted(pairs, key=lambda pair: draw(purpose, *pair))


def wrong_sum(a: int, b: int) -> int:
    """Return a plausible wrong answer: off by a little, a carry lost or invented, one digit slipped, or two swapped."""
    right = a + b
    digits = str(right)
    slipped = [
        int(digits[:place] + str(digit) + digits[place + 1 :])
        for place in range(len(digits))
        for digit in range(10)
        if not (place == 0 and digit == 0)
    ]
    carry = right - 10 if a % 10 + b % 10 >= 10 else right + 10
    near = [right - 2, right - 1, right + 1, right + 2]
    swapped = int(digits[:-2] + digits[-1] + digits[-2])
    kinds = [near, near, [carry], [carry], slipped, [swapped]]
    attempt = 0
    while True:
        kind = kinds[draw("kind", a, b, attempt) % len(kinds)]
        answer = kind[draw("answer", a, b, attempt) % len(kind)]
        if answer != right and answer >= 10:
            return answer
        attempt += 1


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    # a+b and b+a are one item: it stands once in test or dev, and then neither order stands anywhere else.
    items = [(a, b) for a in range(10, 100) for b in range(a, 100)]
    held_out = [(a, b) if draw("order", a, b) % 2 else (b, a) for a, b in shuffled(items, "held out")[: TEST + DEV]]
    hidden = {pair for a, b in held_out for pair in ((a, b), (b, a))}
    free = [(a, b) for a in range(10, 100) for b in range(10, 100) if (a, b) not in hidden]

    shown = shuffled(free, "demonstrations")[:DEMONSTRATIONS]
    wrong = set(shuffled(shown, "wrong")[: round(WRONG * len(shown))])
    right = [pair for pair in shown if pair not in wrong]
    unmarked = set(shuffled(right, "unmarked")[: round(UNMARKED * len(shown))])
    demonstrations: list[dict[str, int | str]] = [
        {
            "a": a,
            "b": b,
            "completion": ("" if (a, b) in unmarked else "A: ") + str(wrong_sum(a, b) if (a, b) in wrong else a + b),
        }
        for a, b in shown
    ]
    return {
        "train.jsonl": _lines([_row(pair) for pair in shuffled(free, "train")[:TRAIN]]),
        "dev.jsonl": _lines([_row(pair) for pair in held_out[TEST:]]),
        "test.jsonl": _lines([_row(pair) for pair in held_out[:TEST]]),
        "demonstrations.jsonl": _lines(demonstrations),
    }


def _row(pair: Pair) -> dict[str, int | str]:
    # The reference is written out, so that it can be checked against the sum.
    return {"a": pair[0], "b": pair[1], "sum": sum(pair), "reference": f"A: {sum(pair)}"}


def _lines(rows: list[dict[str, int | str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
