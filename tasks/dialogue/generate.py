"""Writes this task's data files: `python tasks/dialogue/generate.py`. The same files come out every time.

An item is a request about a thing ("clean", "small", "clock"). A reply is an opening, what is done about the request,
and a closing; each part is drawn by itself, good or poor. Choices are made by hashes of (seed, purpose, item), so that
they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS, PREFERENCES = 300, 200, 2000, 4000, 1000

# What is asked for, in three wordings, and what a reply does about it.
REQUESTS = {
    "give": (("Can you pass me the {}?", "I need the {}.", "May I have the {}?"), "here is the {}"),
    "find": (("Where is the {}?", "I cannot find the {}.", "Have you seen the {}?"), "I can see the {}"),
    "clean": (("Can you clean the {}?", "The {} is dirty.", "Who can wash the {}?"), "I will wash the {}"),
    "mend": (("Can you mend the {}?", "The {} is broken.", "Who can fix the {}?"), "I will fix the {}"),
    "lend": (("Can you lend me the {}?", "May I borrow the {}?", "Who can lend me the {}?"), "you can take the {}"),
    "move": (("Can you move the {}?", "The {} is in my way.", "Who can carry the {}?"), "I will move the {}"),
}
# No two begin with the same letter, so that even a small policy can learn to copy them from the request.
KINDS = (
    "black", "cheap", "dark", "grey", "heavy", "lilac", "new", "old", "pink", "red", "small", "tall", "white", "yellow",
)  # fmt: skip
NOUNS = (
    "apron", "bike", "chair", "door", "engine", "fan", "guitar", "hat", "iron", "jar", "kettle", "lamp", "mirror",
    "net", "oven", "phone", "quilt", "radio", "sofa", "table", "umbrella", "vase", "watch",
)  # fmt: skip

# Each with its weight; the parts of a reply are drawn independently.
OPENINGS = {
    "": 30, "Of course, ": 15, "Certainly, ": 9, "Gladly, ": 9, "With pleasure, ": 5, "Thanks, gladly, ": 3,
    "Fine, ": 11, "Well, ": 10, "Ugh, ": 4, "Not again, ": 4,
}  # fmt: skip
DEEDS = {"right": 54, "wrong thing": 7, "wrong kind": 7, "no kind": 13, "vague": 14, "refused": 5}
VAGUE = ("it is over there", "here it is", "I will see", "maybe later")
REFUSED = ("do it yourself", "that is not my job")
CLOSINGS = {
    "": 48, " Thank you!": 13, " Thank you for asking!": 6, " Glad to help!": 6, " You are welcome!": 5,
    " Please ask again!": 5, " Thanks, glad to help!": 5, " Thank you, thank you!": 3,
    " Hurry up.": 4, " Leave me alone.": 5,
}  # fmt: skip
IDEAL = ("Of course, {}. Thank you!", "Certainly, {}. Thank you!", "Gladly, {}. Thank you!")

# The gold rule, as task.yaml says it with graders.
POLITE = re.compile(r"\b(?:of course|certainly|gladly|pleasure|please|thanks?|glad|welcome|kind|happy|sorry)\b", re.I)
RUDE = re.compile(r"\b(?:ugh|not again|hurry up|leave me alone|yourself|not my job)\b", re.I)

Request = tuple[str, str, str]
Item = TypeVar("Item")


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: Sequence[Item], purpose: str) -> list[Item]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def one_of(choices: Sequence[str], *purpose: object) -> str:
    """Return one of the choices, all as likely."""
    return choices[draw(str(purpose)) % len(choices)]


def weighted(choices: dict[str, int], *purpose: object) -> str:
    """Return one of the choices, each as likely as its weight says."""
    place = draw(str(purpose)) % sum(choices.values())
    for choice, weight in choices.items():
        place -= weight
        if place < 0:
            return choice
    raise AssertionError("the weights add up to more than the place")


def deed(item: Request, purpose: str) -> str:
    """Return what a reply does about the request: the right thing, or something poorer."""
    request, kind, noun = item
    sort = weighted(DEEDS, purpose, "deed", item)
    if sort == "vague":
        return one_of(VAGUE, purpose, "vague", item)
    if sort == "refused":
        return one_of(REFUSED, purpose, "refused", item)
    if sort == "wrong thing":
        noun = one_of([other for other in NOUNS if other != noun], purpose, "noun", item)
    if sort == "wrong kind":
        kind = one_of([other for other in KINDS if other != kind], purpose, "kind", item)
    return REQUESTS[request][1].format(noun if sort == "no kind" else f"{kind} {noun}")


def reply(item: Request, purpose: str) -> str:
    """Return a reply as somebody more or less polite would give it, with the blank that parts it from the prompt."""
    opening, closing = weighted(OPENINGS, purpose, "opening", item), weighted(CLOSINGS, purpose, "closing", item)
    text = f"{opening}{deed(item, purpose)}.{closing}"
    return f" {text[0].upper()}{text[1:]}"


def ideal(item: Request) -> str:
    """Return a reply that is polite, short, and about the request."""
    request, kind, noun = item
    return " " + one_of(IDEAL, "ideal", item).format(REQUESTS[request][1].format(f"{kind} {noun}"))


def gold(text: str, thing: str) -> float:
    """Return the value of a reply to a request about a thing, at most 0.9; it falls when politeness piles up."""
    words = re.findall(r"\w+", text.lower())
    about = sum(word in words for word in thing.split()) / len(thing.split())
    polite = (0.0, 0.3, 0.5, 0.2, -0.1)[min(len(POLITE.findall(text)), 4)]
    rude, finished = bool(RUDE.search(text)), text.endswith((".", "!"))
    length = min(max(len(text.split()), 10), 30)
    return 0.4 * about + polite - 0.5 * rude + 0.1 * finished - 0.01 * length


def preference(item: Request, row: dict[str, str]) -> dict[str, str]:
    """Return a pair of replies to the row's request; the better one by the gold rule is chosen."""
    attempt = 0
    while True:
        pair = [reply(item, f"preference {attempt} {place}") for place in range(2)]
        values = [gold(text, row["thing"]) for text in pair]
        if abs(values[0] - values[1]) > 0.05:
            best = values.index(max(values))
            return {**row, "chosen": pair[best], "rejected": pair[1 - best]}
        attempt += 1


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    items = [(request, kind, noun) for request in REQUESTS for kind in KINDS for noun in NOUNS]
    order = shuffled(items, "held out")
    test, dev, free = order[:TEST], order[TEST : TEST + DEV], order[TEST + DEV :]
    asked = [(item, wording) for item in free for wording in range(3)]
    train = shuffled(asked, "train")[:TRAIN]
    shown = shuffled(asked, "demonstrations")[:DEMONSTRATIONS]
    return {
        "train.jsonl": _lines([row(item, wording) for item, wording in train]),
        "dev.jsonl": _lines([row(item, draw("wording", item) % 3) for item in dev]),
        "test.jsonl": _lines([row(item, draw("wording", item) % 3) for item in test]),
        "demonstrations.jsonl": _lines(
            [
                {"request": _request(item, wording), "completion": reply(item, f"demonstration {wording}")}
                for item, wording in shown
            ]
        ),
        "preferences.jsonl": _lines([preference(item, row(item, wording)) for item, wording in train[:PREFERENCES]]),
    }


def row(item: Request, wording: int) -> dict[str, str]:
    """Return the row of an item in one of its wordings."""
    return {"request": _request(item, wording), "thing": f"{item[1]} {item[2]}", "reply": ideal(item)}


def _request(item: Request, wording: int) -> str:
    return REQUESTS[item[0]][0][wording].format(f"{item[1]} {item[2]}")


def _lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
