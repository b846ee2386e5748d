"""Reasons why a candidate cannot pass, whatever the numbers say: what was judged is not all there is, or nothing new.

A doubt never hides a regression: the worse of two sides may be worse even in what is left of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rlbench.comparison.arms import Arm
from rlbench.metrics.table import PromptStatistics


@dataclass(frozen=True)
class Coverage:
    """How many completions of the judged seeds and prompts there are, and how many of them could not be scored."""

    completions: int
    unscored: int

    def __str__(self) -> str:
        return f"{self.unscored:,} of {self.completions:,}"

    @property
    def share(self) -> float:
        """The unscored share; 0 where there is nothing."""
        return self.unscored / self.completions if self.completions else 0.0


def coverage(statistics: Mapping[int, PromptStatistics]) -> Coverage:
    """Count the completions of some seeds."""
    unscored = sum(each.unscored for each in statistics.values())
    return Coverage(unscored + sum(each.scored for each in statistics.values()), unscored)


def unscored(old: Coverage, new: Coverage) -> list[str]:
    """The candidate's wrong completions may be the ones that nothing could be said of."""
    if new.share <= old.share:
        return []
    return [f"survivors only: {new} completions of the candidate could not be scored (of the baseline {old})"]


def lost_runs(new: Arm, task: str) -> list[str]:
    """Runs of the candidate that did not end well leave only the survivors."""
    finished = new.tasks[task].tables
    lost = [seed for seed in new.seeds if seed not in finished]
    if not lost:
        return []
    ends = {row["seed"]: row["status"] for row in new.runs if row["task"] == task}
    said = ", ".join(f"seed {seed} {ends.get(seed, 'not there')}" for seed in lost)
    return [f"survivors only: {len(lost)} of {len(new.seeds)} runs of the candidate did not finish ({said})"]


def unjudged_seeds(old: Collection[int], new: Collection[int]) -> list[str]:
    """Of paired seeds, those that only the candidate has say nothing, however bad they are."""
    alone = [seed for seed in new if seed not in old]
    if not alone:
        return []
    said = f"{'seed' if len(alone) == 1 else 'seeds'} {', '.join(map(str, alone))}"
    return [f"{said} of the candidate not judged: the baseline has nothing to compare with; train the baseline there"]


def missing_prompts(old: Arm, new: Arm, task: str) -> list[str]:
    """The prompts that the candidate left out may be the hard ones."""
    answered, asked = set(new.tasks[task].sample_ids), old.tasks[task].sample_ids
    missing = sum(name not in answered for name in asked)
    if not missing or not answered:  # without any answer there is nothing to judge, which is said elsewhere
        return []
    return [f"the candidate has no completions of {missing:,} of the baseline's {len(asked):,} prompts"]


def other_evaluation(old: Arm, new: Arm, task: str) -> list[str]:
    """Other decoding or fewer samples can hide what training did."""
    ours, theirs = (arm.shared.get(task, {}).get("evaluation") for arm in (old, new))
    if ours is None or theirs is None or ours == theirs:
        return []
    return ["the evaluation settings differ, so the difference is not that of the training alone"]


def same_run(old: Arm, new: Arm) -> bool:
    """Whether both sides are one run of an experiment, if their scores are the same too: it tests nothing.

    A run that was made again has the fingerprint of the same plan, and its scores may be the same, but it took other
    seconds. Completions of a file are no run: two checkpoints may answer alike.
    """
    names = [arm.name.partition("/")[2] for arm in (old, new)]
    return (
        old.kind != "completions"
        and bool(old.fingerprint)
        and (old.fingerprint, names[0], old.seeds) == (new.fingerprint, names[1], new.seeds)
        and old.usage == new.usage
    )
