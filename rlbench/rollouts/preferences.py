"""Preference pairs from the rewards of several completions of one prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rank_pairs(rewards: Sequence[float], group_size: int, random: np.random.Generator) -> list[tuple[int, int]]:
    """Pair the best completion of each prompt with its worst, the second best with the second worst, and so on.

    Every completion is used at most once and ties give no pair, so with a 0/1 reward a prompt with c correct of G
    completions yields min(c, G − c) pairs.

    Args:
        rewards: one per completion, those of one prompt next to each other.
        group_size: completions per prompt.
        random: breaks ties in the ranking.

    Returns:
        (chosen, rejected) indices into `rewards`.
    """
    pairs = []
    for start in range(0, len(rewards), group_size):
        order = (start + random.permutation(group_size)).tolist()
        ranked = sorted(order, key=lambda index: -rewards[index])
        for place in range(group_size // 2):
            chosen, rejected = ranked[place], ranked[-1 - place]
            if rewards[chosen] > rewards[rejected]:
                pairs.append((chosen, rejected))
    return pairs
