"""A bounded memory of what was answered, by content: the same question is asked once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

REMEMBERED = 65_536
"""Answers that a memory keeps unless told otherwise."""

Answer = TypeVar("Answer")


class Memory(Generic[Answer]):
    """Answers by key; those asked for longest ago are forgotten first.

    Args:
        kept: how many answers are remembered.
        lasting: says of an answer that it is worth remembering; others are asked for again every time.
    """

    def __init__(self, kept: int = REMEMBERED, lasting: Callable[[Answer], bool] = lambda _: True) -> None:
        self._kept = kept
        self._lasting = lasting
        self._answers: dict[bytes, Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def answers(self, keys: Sequence[bytes], ask: Callable[[list[int]], Sequence[Answer]]) -> list[Answer]:
        """Return one answer per key, in order, from memory where possible.

        Args:
            keys: what is asked about, as `key` makes them.
            ask: called at most once, with the positions in `keys` at which each new key stands first; returns one
                answer per position. What it raises is passed on, and nothing is remembered then.
        """
        known = {key: self._answers[key] for key in keys if key in self._answers}
        new: dict[bytes, int] = {}
        for position, each in enumerate(keys):
            if each not in known:
                new.setdefault(each, position)
        if new:
            known |= zip(new, ask(list(new.values())), strict=True)
        for each, answer in known.items():
            self._answers.pop(each, None)  # what is asked about again becomes the youngest
            if self._lasting(answer):
                self._answers[each] = answer
        while len(self._answers) > self._kept:
            del self._answers[next(iter(self._answers))]
        return [known[key] for key in keys]


def key(*parts: object) -> bytes:
    """Return the key of a question: a hash of the `repr` of its parts, which must tell all of their content."""
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()
