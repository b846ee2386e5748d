"""Preference pairs: which of the completions of one prompt are compared, and pairs with the labels they got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from rlbench.algorithms.options import Pairing
from rlbench.records import Chat, Message


@dataclass(frozen=True)
class LabelledPair:
    """Two completions of a prompt with what is known of their label."""

    prompt: str
    chosen: str
    rejected: str
    chosen_gold: float | None
    """The gold reward of each; None where the label is somebody's preference."""
    rejected_gold: float | None
    flipped: bool
    """Whether the label was turned round on purpose, so that `chosen` is the worse one."""
    part: str
    """`train` or `held_out`."""

    def turned(self) -> LabelledPair:
        """The pair with a wrong label."""
        return replace(
            self,
            chosen=self.rejected,
            rejected=self.chosen,
            chosen_gold=self.rejected_gold,
            rejected_gold=self.chosen_gold,
            flipped=not self.flipped,
        )

    def to_json(self) -> dict[str, Any]:
        """The pair as a JSON object; a chat as its messages."""
        row = asdict(self)
        if isinstance(self.prompt, Chat):
            row["prompt"] = [asdict(message) for message in self.prompt.messages]
        return row

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> LabelledPair:
        """Restore what `to_json` returned."""
        prompt = row["prompt"]
        if isinstance(prompt, list):
            prompt = Chat([Message(**message) for message in prompt])
        return LabelledPair(**{**row, "prompt": prompt})


def draw_pairs(
    rewards: Sequence[float], group_size: int, random: np.random.Generator, pairing: Pairing = "rank"
) -> list[tuple[int, int]]:
    """Pair the completions of each prompt with each other; equal rewards give no pair.

    `rank` pairs the best with the worst, the second best with the second worst, and so on. Every completion is used at
    most once, so that with a 0/1 reward a prompt with c correct of G completions yields min(c, G − c) pairs.
    `best_worst` is the first of these pairs alone, `random` one pair drawn from all of unequal reward, `all` all those.

    Args:
        rewards: one per completion, those of one prompt next to each other.
        group_size: completions per prompt.
        random: breaks ties in the ranking, and draws.
        pairing: how many pairs a prompt gives, and which.

    Returns:
        (chosen, rejected) indices into `rewards`.
    """
    pairs = []
    for start in range(0, len(rewards), group_size):
        order = (start + random.permutation(group_size)).tolist()
        ranked = sorted(order, key=lambda index: -rewards[index])
        if pairing in ("rank", "best_worst"):
            rivals = [(ranked[place], ranked[-1 - place]) for place in range(group_size // 2)]
            rivals = rivals[:1] if pairing == "best_worst" else rivals
        else:
            rivals = [(better, worse) for place, better in enumerate(ranked) for worse in ranked[place + 1 :]]
        unequal = [(chosen, rejected) for chosen, rejected in rivals if rewards[chosen] > rewards[rejected]]
        if pairing == "random" and unequal:
            unequal = [unequal[int(random.integers(len(unequal)))]]
        pairs += unequal
    return pairs
