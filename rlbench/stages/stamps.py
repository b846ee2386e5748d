"""Stamps: columns of text beside the scores that say how a completion was judged (see `Scored.stamps`).

`sandbox` names the tier that confined a program; `none` means that it ran bare, and such rows are never compared.
`judged` is `weak` where the tests ran in the program's own process, so that it could have forged the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from rlbench.errors import InputError

Tables = Mapping[str, Mapping[int, Mapping[str, pd.DataFrame]]]
"""arm -> seed -> grader -> rows."""

SANDBOX, UNCONFINED = "sandbox", "none"
JUDGED, WEAK = "judged", "weak"


@dataclass(frozen=True)
class Stamped:
    """How many completions of an arm carry a stamp, and in which seeds."""

    arm: str
    grader: str
    seeds: Sequence[int]
    count: int
    completions: int


def stamped(tables: Tables, column: str, value: str) -> list[Stamped]:
    """Count the rows whose stamp `column` is `value`, by arm and grader; those without such rows are left out."""
    found = []
    for arm, by_seed in tables.items():
        for grader in sorted({grader for by_grader in by_seed.values() for grader in by_grader}):
            counts = {seed: _count(by_grader[grader], column, value) for seed, by_grader in by_seed.items()}
            total = sum(len(by_grader[grader]) for by_grader in by_seed.values())
            seeds = [seed for seed, count in sorted(counts.items()) if count]
            if seeds:
                found.append(Stamped(arm, grader, seeds, sum(counts.values()), total))
    return found


def _count(table: pd.DataFrame, column: str, value: str) -> int:
    return int((table[column] == value).sum()) if column in table else 0


def refuse_unconfined(tables: Tables) -> None:
    """Refuse completions that were judged outside a sandbox.

    Raises:
        InputError: which arms hold such rows, and how many.
    """
    found = stamped(tables, SANDBOX, UNCONFINED)
    if found:
        arms = "; ".join(f"{each.arm}: {each.count} of {each.completions} by {each.grader}" for each in found)
        raise InputError(
            f"expected completions that were judged in a sandbox, got some whose code was run without one (unsafe): "
            f"{arms}; such programs can forge their verdicts, so judge them again in a sandbox"
        )


def tiers(tables: Tables) -> dict[str, str]:
    """The tiers of the sandbox that occur, by grader, for example `A` or `A+B`; graders without any are left out."""
    found: dict[str, set[str]] = {}
    for by_seed in tables.values():
        for by_grader in by_seed.values():
            for grader, table in by_grader.items():
                if SANDBOX in table:
                    found.setdefault(grader, set()).update(table[SANDBOX].dropna())
    return {grader: "+".join(sorted(names)) for grader, names in found.items() if names}
