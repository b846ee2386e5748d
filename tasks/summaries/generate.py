"""Writes this task's data files: `python tasks/summaries/generate.py`. The same files come out every time.

A fact is a kind of event, what it happened to, and a place; the news tell it with a day and a detail, three reference
headlines without. Choices are made by hashes of (seed, purpose, item), so that they depend on no library's random
numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

SEED = 0
TEST, DEV, TRAIN, DEMONSTRATIONS = 300, 200, 2000, 4000

# No two begin with the same letter, so that even a small policy can learn to copy them from the news; things likewise.
PLACES = (
    "Arles", "Bergen", "Cadiz", "Dover", "Essen", "Faro", "Ghent", "Hull", "Imola", "Jena", "Kiel", "Lyon", "Malmo",
    "Nitra", "Oslo", "Paris", "Riga", "Siena", "Turin", "Ulm", "Vaduz", "Wells", "York", "Zadar",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Thursday", "Friday", "Sunday")
BUILDINGS = ("bakery", "chapel", "factory", "garage", "hotel", "library", "mill", "palace", "school", "theatre")


@dataclass(frozen=True)
class Kind:
    """A kind of event: how the news tell it, what follows, three headlines, and what it can happen to."""

    news: str
    details: tuple[str, str]
    headlines: tuple[str, str, str]
    things: tuple[str, ...]


KINDS = {
    "fire": Kind(
        "A fire destroyed the {x}.",
        ("Nobody was hurt.", "It burned all night."),
        ("Fire destroys {x} in {place}", "{X} in {place} burns down", "{place} {x} lost in fire"),
        BUILDINGS,
    ),
    "opening": Kind(
        "The mayor opened a new {x}.",
        ("It cost a million.", "Many people came."),
        ("New {x} opens in {place}", "{place} opens new {x}", "Mayor opens {x} in {place}"),
        BUILDINGS,
    ),
    "flood": Kind(
        "Heavy rain flooded the {x}.",
        ("The roads are closed.", "Nobody was hurt."),
        ("Rain floods {x} in {place}", "{X} in {place} under water", "{place} {x} flooded"),
        BUILDINGS,
    ),
    "strike": Kind(
        "The {x} stopped work.",
        ("They want more pay.", "Talks have failed."),
        ("{X} strike in {place}", "{place} {x} stop work", "Strike of {x} hits {place}"),
        ("bakers", "cooks", "drivers", "farmers", "guards", "lawyers", "miners", "nurses", "pilots", "teachers"),
    ),
    "final": Kind(
        "Our team won the {x} final.",
        ("Thousands cheered.", "The score was close."),
        ("{place} wins {x} final", "{X} final goes to {place}", "{X} title for {place}"),
        ("boxing", "chess", "darts", "football", "golf", "hockey", "judo", "rowing", "sailing", "tennis"),
    ),
    "theft": Kind(
        "Thieves stole a {x} from a shop.",
        ("Police have no clue.", "The door was open."),
        ("Thieves steal {x} in {place}", "{place} shop loses {x}", "{X} stolen from {place} shop"),
        ("camera", "drum", "guitar", "harp", "lamp", "mirror", "piano", "ring", "statue", "watch"),
    ),
}
# Headlines that nobody should imitate.
VAGUE = ("News from {place}", "What a {day}", "You will not believe this", "Read this now", "{place} in the news")
HALF = ("Trouble in {place}", "The {x} in the news", "What happened to the {x}", "{place} on {day}")

# How the demonstrated headlines are made, each way with its weight.
WAYS = {"good": 30, "wrong place": 5, "wrong thing": 6, "wordy": 17, "lead": 13, "half": 15, "vague": 14}

Fact = tuple[str, str, str]
Story = tuple[str, str, str, str, int]
Item = TypeVar("Item")


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: Sequence[Item], purpose: str) -> list[Item]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def one_of(choices: Sequence[Item], purpose: str, *item: object) -> Item:
    """Return one of the choices, all as likely."""
    return choices[draw(purpose, *item) % len(choices)]


def filled(template: str, story: Story) -> str:
    """Return a template with what happened; `{X}` is the thing with a capital."""
    _, x, place, day, _ = story
    return template.format(x=x, X=x.capitalize(), place=place, day=day)


def news(story: Story) -> str:
    """Return what happened in two sentences, after the place and the day."""
    name, _, place, day, detail = story
    return f"{place}, {day}. {filled(KINDS[name].news, story)} {KINDS[name].details[detail]}"


def references(story: Story) -> list[str]:
    """Return three good headlines."""
    return [filled(headline, story) for headline in KINDS[story[0]].headlines]


def headline(story: Story, purpose: str = "demonstration") -> str:
    """Return a headline as an editor of changing care would write it, with the blank that parts it from the prompt."""
    ways = [way for way, weight in WAYS.items() for _ in range(weight)]
    name, x, place, day, detail = story
    kind, way = KINDS[name], one_of(ways, f"{purpose} way", story)
    if way == "wrong place":
        place = one_of([other for other in PLACES if other != place], f"{purpose} place", story)
    if way == "wrong thing":
        x = one_of([other for other in kind.things if other != x], f"{purpose} thing", story)
    said = (name, x, place, day, detail)
    if way == "lead":
        words = news(story).split()
        return " " + " ".join(words[: 4 + draw(f"{purpose} words", story) % 5])
    if way in ("vague", "half"):
        return " " + filled(one_of(VAGUE if way == "vague" else HALF, f"{purpose} {way}", story), said)
    text = one_of(references(said), f"{purpose} headline", story)
    if way == "wordy":
        added = (f" on {day}", f" and {kind.details[detail].lower().rstrip('.')}")
        text += one_of(added, f"{purpose} added", story)
    return " " + text


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    facts = [(name, x, place) for name, kind in KINDS.items() for x in kind.things for place in PLACES]
    order = shuffled(facts, "held out")
    test, dev, free = order[:TEST], order[TEST : TEST + DEV], order[TEST + DEV :]
    told = [(*fact, day, detail) for fact in free for day in DAYS for detail in range(2)]
    return {
        "train.jsonl": _lines([row(story) for story in shuffled(told, "train")[:TRAIN]]),
        "dev.jsonl": _lines([row(once(fact)) for fact in dev]),
        "test.jsonl": _lines([row(once(fact)) for fact in test]),
        "demonstrations.jsonl": _lines(
            [
                {"news": news(story), "completion": headline(story)}
                for story in shuffled(told, "demonstrations")[:DEMONSTRATIONS]
            ]
        ),
    }


def once(fact: Fact) -> Story:
    """Return a fact as it is told once, on one day and with one detail."""
    return (*fact, one_of(DAYS, "day", fact), draw("detail", fact) % 2)


def row(story: Story) -> dict[str, str | list[str]]:
    """Return the row of a story."""
    return {"news": news(story), "headlines": references(story)}


def _lines(rows: Sequence[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
