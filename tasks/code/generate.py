"""Writes this task's data files: `python tasks/code/generate.py`. The same files come out every time.

A spec is one step or two in words ("double, then add 3"); the reference program is their composition. Specs whose
programs agree on every input of the pool are one item, whatever their words. Choices are made by sorting on a hash of
(seed, purpose, item), so that they depend on no library's random numbers.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any

SEED = 0
TEST, DEV, TRAIN = 200, 100, 400
WRONG = 0.35
POOL, FEWEST_TESTS, MOST_TESTS = 48, 4, 6
LONGEST_SPEC, LONGEST_PROGRAM = 46, 50
ARGUMENTS = {"int": "x", "str": "s", "list": "xs"}
DIGITS, FACTORS, PLACES = tuple("123456789"), tuple("23456789"), tuple("1234")
LETTERS = tuple("ABCDE")
PAIRS = tuple(a + b for a in LETTERS for b in LETTERS if a != b)
ONE = ("",)
WORDS = {("times", "2"): "double", ("times", "3"): "triple", ("divide", "2"): "halve", ("repeat", "2"): "twice"}

# How tightly an expression binds: a step puts brackets round what binds less than it needs.
ANY, SUM, PRODUCT, SIGN, POWER, ATOM = range(6)


@dataclass(frozen=True)
class Kind:
    """A kind of step: its words, its expression of an operand {e} and a parameter {k}, and what it is confused with."""

    takes: str
    gives: str
    expression: str
    needs: int
    binds: int
    words: tuple[str, ...]
    values: tuple[str, ...] = ONE
    confused: tuple[str, ...] = ()


Step = tuple[str, str]
Steps = tuple[Step, ...]


def _places(kind: str) -> dict[str, Kind]:
    """Steps that strings and lists share."""
    mark = {"str": "string", "list": "list"}[kind]

    def step(expression: str, words: str, values: tuple[str, ...], *confused: str) -> Kind:
        names = tuple(f"{mark} {name}" for name in confused)
        return Kind(kind, kind, expression, ATOM, ATOM, tuple(words.split("|")), values, names)

    return {
        f"{mark} reverse": step("{e}[::-1]", "reverse|turn around", ONE, "every second"),
        f"{mark} every second": step("{e}[::2]", "every second|skip every other", ONE, "reverse"),
        f"{mark} first": step("{e}[:{k}]", "first {k}|keep the first {k}", PLACES, "last", "skip"),
        f"{mark} last": step("{e}[-{k}:]", "last {k}|keep the last {k}", PLACES, "first", "skip"),
        f"{mark} skip": step("{e}[{k}:]", "drop the first {k}|skip {k}", PLACES, "first", "cut"),
        f"{mark} cut": step("{e}[:-{k}]", "drop the last {k}|cut {k} off", PLACES, "skip", "last"),
        f"{mark} length": Kind(kind, "int", "len({e})", ANY, ATOM, ("length", "how many")),
    }


KINDS = {
    "add": Kind("int", "int", "{e}+{k}", SUM, SUM, ("add {k}", "plus {k}", "increase by {k}"), DIGITS, ("subtract",)),
    "subtract": Kind(
        "int", "int", "{e}-{k}", SUM, SUM, ("subtract {k}", "minus {k}", "reduce by {k}"), DIGITS, ("add",)
    ),
    "times": Kind("int", "int", "{e}*{k}", PRODUCT, PRODUCT, ("multiply by {k}", "times {k}"), FACTORS, ("add",)),
    "modulo": Kind("int", "int", "{e}%{k}", PRODUCT, PRODUCT, ("modulo {k}", "remainder by {k}"), FACTORS, ("divide",)),
    "divide": Kind("int", "int", "{e}//{k}", PRODUCT, PRODUCT, ("floor divide by {k}",), FACTORS, ("modulo", "times")),
    "square": Kind("int", "int", "{e}**2", ATOM, POWER, ("square", "multiply by itself")),
    "negate": Kind("int", "int", "-{e}", POWER, SIGN, ("negate", "flip the sign"), ONE, ("absolute",)),
    "absolute": Kind("int", "int", "abs({e})", ANY, ATOM, ("absolute value", "drop the sign"), ONE, ("negate",)),
    "least": Kind("int", "int", "max({e},{k})", ANY, ATOM, ("at least {k}", "floor at {k}"), DIGITS, ("most",)),
    "most": Kind("int", "int", "min({e},{k})", ANY, ATOM, ("at most {k}", "cap at {k}"), DIGITS, ("least",)),
    **_places("str"),
    "upper": Kind("str", "str", "{e}.upper()", ATOM, ATOM, ("uppercase", "capitals"), ONE, ("lower",)),
    "lower": Kind("str", "str", "{e}.lower()", ATOM, ATOM, ("lowercase", "small letters"), ONE, ("upper",)),
    "repeat": Kind("str", "str", "{e}*{k}", PRODUCT, PRODUCT, ("repeat {k} times",), ("2", "3", "4")),
    "append": Kind("str", "str", "{e}+'{k}'", SUM, SUM, ("append {k}", "end with {k}"), LETTERS, ("prepend",)),
    "prepend": Kind("str", "str", "'{k}'+{e}", SUM, SUM, ("prepend {k}", "start with {k}"), LETTERS, ("append",)),
    "replace": Kind(
        "str", "str", "{e}.replace('{k[0]}','{k[1]}')", ATOM, ATOM, ("{k[0]} to {k[1]}", "{k[0]} becomes {k[1]}"), PAIRS
    ),
    "remove": Kind("str", "str", "{e}.replace('{k}','')", ATOM, ATOM, ("remove {k}", "delete each {k}"), LETTERS),
    "count": Kind("str", "int", "{e}.count('{k}')", ATOM, ATOM, ("count {k}", "number of {k}"), LETTERS),
    **_places("list"),
    "sort": Kind("list", "list", "sorted({e})", ANY, ATOM, ("sort", "ascending order"), ONE, ("list reverse",)),
    "add each": Kind(
        "list", "list", "[x+{k} for x in {e}]", ANY, ATOM, ("add {k} to each", "each plus {k}"), DIGITS, ("times each",)
    ),
    "times each": Kind("list", "list", "[x*{k} for x in {e}]", ANY, ATOM, ("each times {k}",), FACTORS, ("add each",)),
    "over": Kind(
        "list", "list", "[x for x in {e} if x>{k}]", ANY, ATOM, ("keep over {k}", "only above {k}"), DIGITS, ("under",)
    ),
    "under": Kind(
        "list", "list", "[x for x in {e} if x<{k}]", ANY, ATOM, ("keep under {k}", "only below {k}"), DIGITS, ("over",)
    ),
    "even": Kind("list", "list", "[x for x in {e} if x%2==0]", ANY, ATOM, ("keep even", "only even"), ONE, ("odd",)),
    "odd": Kind("list", "list", "[x for x in {e} if x%2]", ANY, ATOM, ("keep odd", "only odd"), ONE, ("even",)),
    "sum": Kind("list", "int", "sum({e})", ANY, ATOM, ("sum", "total"), ONE, ("list length", "largest")),
    "largest": Kind("list", "int", "max({e})", ANY, ATOM, ("largest", "maximum"), ONE, ("smallest",)),
    "smallest": Kind("list", "int", "min({e})", ANY, ATOM, ("smallest", "minimum"), ONE, ("largest",)),
    "spread": Kind("list", "int", "max({e})-min({e})", ANY, SUM, ("largest minus smallest",), ONE, ("largest", "sum")),
}


def draw(purpose: str, *item: object) -> int:
    """Return a number below 2**64 that is fixed for a purpose and an item."""
    text = repr((SEED, purpose, *item))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def shuffled(items: list[Any], purpose: str) -> list[Any]:
    """Return the items in the fixed order of a purpose."""
    return sorted(items, key=lambda item: draw(purpose, item))


def fits(steps: Steps) -> bool:
    """Whether every step takes what the one before it gives."""
    return all(KINDS[a[0]].gives == KINDS[b[0]].takes for a, b in pairwise(steps))


def argument(steps: Steps) -> str:
    """Return the type of the function's argument."""
    return KINDS[steps[0][0]].takes


def expression(steps: Steps, brackets: bool = True) -> str:
    """Return the composition of the steps as Python, or carelessly without the brackets that it needs."""
    text, binds = ARGUMENTS[argument(steps)], ATOM
    for name, k in steps:
        kind = KINDS[name]
        operand = f"({text})" if brackets and binds < kind.needs else text
        text, binds = kind.expression.format(e=operand, k=k), kind.binds
    return text


def program(kind: str, body: str) -> str:
    """Return the function with a body."""
    return f"def solve({ARGUMENTS[kind]}):\n    return {body}"


def wordings(steps: Steps) -> list[str]:
    """Return every way to ask for the steps."""
    said = []
    for step in steps:
        words = [*KINDS[step[0]].words, *([WORDS[step]] if step in WORDS else [])]
        said.append([text.format(k=step[1]) for text in words])
    return [f"solve({ARGUMENTS[argument(steps)]}): {', then '.join(words)}" for words in product(*said)]


def spec(steps: Steps, purpose: str) -> str:
    """Return the spec of the steps, in words drawn for a purpose."""
    every = wordings(steps)
    return every[draw("words", purpose, steps) % len(every)]


def neighbours(steps: Steps) -> list[str]:
    """Return expressions that somebody careless would write: a wrong constant or step, a step lost, out of order, …"""
    found: list[Steps] = []
    for place, (name, k) in enumerate(steps):
        kind = KINDS[name]
        others = [(name, other) for other in _near(k)]
        others += [(other, k if KINDS[other].values != ONE else "") for other in kind.confused]
        found += [(*steps[:place], other, *steps[place + 1 :]) for other in others]
        found.append((*steps[:place], *steps[place + 1 :]))
    found.append(steps[::-1])
    allowed = [other for other in found if other and fits(other) and argument(other) == argument(steps)]
    right = expression(steps)
    texts = [expression(steps, brackets=False), *map(expression, allowed)]
    return [text for text in dict.fromkeys(texts) if text != right]


def _near(k: str) -> list[str]:
    """Return the parameters that `k` is mistaken for: one more, one less, the next letter, the other way round."""
    if k.isdigit():
        return [str(near) for near in (int(k) - 1, int(k) + 1) if near > 0]
    if len(k) == 1:
        return [LETTERS[(LETTERS.index(k) + shift) % len(LETTERS)] for shift in (1, 4)]
    return [k[::-1]] if k else []


@cache
def pool(kind: str) -> list[Any]:
    """Return the inputs that functions are told apart by."""

    def number(low: int, high: int, *item: object) -> int:
        return low + draw("number", kind, *item) % (high - low + 1)

    if kind == "int":
        return sorted(range(-15, 33), key=lambda value: draw("pool", value))
    if kind == "list":
        return [[number(-6, 14, row, place) for place in range(number(3, 8, row))] for row in range(POOL)]
    letters = "AABBCCDDEEabcde"
    return [
        "".join(letters[number(0, len(letters) - 1, row, place)] for place in range(number(3, 9, row)))
        for row in range(POOL)
    ]


@cache
def behaviour(kind: str, body: str) -> tuple[str, ...]:
    """Return what a function gives for every input of the pool, as text; empty where it raises or is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            function = eval(f"lambda {ARGUMENTS[kind]}: {body}")
    except SyntaxError:
        return ("",) * POOL
    results = []
    for value in pool(kind):
        try:
            results.append(repr(function(value)))
        except (ArithmeticError, IndexError, TypeError, ValueError):
            results.append("")
    return tuple(results)


class Functions:
    """The functions of one type of argument: a spec for each, and tests that tell it from all others."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        steps = [(name, k) for name, step in KINDS.items() for k in step.values]
        single: list[Steps] = [(step,) for step in steps if KINDS[step[0]].takes == kind]
        double = [(*first, second) for first in single for second in steps if fits((*first, second))]
        self.items: dict[tuple[str, ...], Steps] = {}
        for item in [*shuffled(single, "same"), *shuffled(double, "same")]:
            self.items.setdefault(behaviour(kind, expression(item)), item)
        unchanged = behaviour(kind, ARGUMENTS[kind])
        self.behaviours = {*self.items, unchanged}
        self.items.pop(unchanged, None)
        for item in self.items.values():
            self.behaviours |= {behaviour(kind, text) for text in neighbours(item)}
        self.giving: list[dict[str, set[int]]] = [defaultdict(set) for _ in pool(kind)]
        for number, results in enumerate(sorted(self.behaviours)):
            for place, result in enumerate(results):
                self.giving[place][result].add(number)

    def tests(self, item: Steps) -> list[str]:
        """Return asserts that hold for the item's program and for no other behaviour, or none if that takes many."""
        inputs, results = pool(self.kind), behaviour(self.kind, expression(item))
        free = [place for place in shuffled(list(range(len(inputs))), f"tests of {item}") if results[place]]
        chosen: list[int] = []
        alike = set(range(len(self.behaviours)))
        while free and (len(alike) > 1 or len(chosen) < FEWEST_TESTS):
            shown = {results[place] for place in chosen}
            best = min(free, key=lambda at: (len(alike & self.giving[at][results[at]]), results[at] in shown))
            alike &= self.giving[best][results[best]]
            free.remove(best)
            chosen.append(best)
        if len(alike) > 1 or len(chosen) > MOST_TESTS or len({results[place] for place in chosen}) < 3:
            return []
        return [f"assert solve({inputs[place]!r}) == {results[place]}" for place in sorted(chosen)]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Return the items that are short enough and have tests."""
        rows = []
        for item in self.items.values():
            text = program(self.kind, expression(item))
            short = len(text) <= LONGEST_PROGRAM and max(map(len, wordings(item))) <= LONGEST_SPEC
            if short and (tests := self.tests(item)):
                rows.append({"steps": item, "tests": tests, "program": text})
        return rows


@cache
def functions(kind: str) -> Functions:
    """Return the functions of a type of argument, made once."""
    return Functions(kind)


def wrong_program(steps: Steps) -> str:
    """Return a plausible program that is not the asked one: mostly a careless expression, at times a slip of syntax."""
    kind, right = argument(steps), expression(steps)
    others = [text for text in neighbours(steps) if behaviour(kind, text) != behaviour(kind, right)]
    careless = [program(kind, text) for text in others]
    careless = [text for text in careless if len(text) <= LONGEST_PROGRAM]
    slips = [program(kind, right).replace("return ", ""), program(kind, right).replace(":\n", "\n")]
    if right.endswith((")", "]")):
        slips.append(program(kind, right[:-1]))
    chosen = slips if not careless or draw("slip", steps) % 6 == 0 else careless
    return chosen[draw("wrong", steps) % len(chosen)]


def files() -> dict[str, str]:
    """Return the text of every data file by name."""
    rows = {row["steps"]: row for kind in ARGUMENTS for row in functions(kind).rows}
    held_out = shuffled(list(rows), "held out")
    free = held_out[TEST + DEV :]
    wrong = set(shuffled(free, "wrong")[: round(WRONG * len(free))])
    demonstrations = [
        {
            "spec": spec(item, "demonstrations"),
            "completion": wrong_program(item) if item in wrong else rows[item]["program"],
        }
        for item in shuffled(free, "demonstrations")
    ]

    def split(name: str, items: list[Steps]) -> str:
        return _lines([{"spec": spec(item, name)} | {k: rows[item][k] for k in ("tests", "program")} for item in items])

    return {
        "train.jsonl": split("train", shuffled(free, "train")[:TRAIN]),
        "dev.jsonl": split("dev", held_out[TEST : TEST + DEV]),
        "test.jsonl": split("test", held_out[:TEST]),
        "demonstrations.jsonl": _lines(demonstrations),
    }


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    for name, text in files().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8", newline="\n")
