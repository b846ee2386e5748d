"""How the runs of a comparison ended, and which are not there at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.rendering.text import label, visible


def unfinished_runs(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The recorded runs that diverged or failed."""
    return [run for run in comparison.get("runs") or () if run.get("status") != "completed"]


def declared_seeds(comparison: Mapping[str, Any]) -> dict[str, Sequence[int]]:
    """Arm -> the seeds it was declared with; those of the whole comparison where the arm does not name its own."""
    everywhere = comparison.get("seeds") or ()
    return {str(arm["name"]): arm.get("seeds") or everywhere for arm in comparison.get("arms") or ()}


def seed_words(comparison: Mapping[str, Any]) -> str:
    """`5`; `5 to 8 an arm` or `8 an arm, not the same` where the arms have different seeds; nothing without seeds."""
    if not comparison.get("seeds"):
        return ""
    sets = {frozenset(seeds) for seeds in declared_seeds(comparison).values()} or {frozenset(comparison["seeds"])}
    least, most = min(map(len, sets)), max(map(len, sets))
    if len(sets) == 1:
        return str(most)
    return f"{least} to {most} an arm" if least < most else f"{most} an arm, not the same"


def missing_runs(comparison: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(arm, task, seed) for which nothing is recorded: of every trained arm, on its own tasks, with its own seeds.

    An arm that does not name its tasks was meant to run on all that any arm ran on.
    """
    runs = comparison.get("runs") or ()
    if not runs:
        return []
    recorded = {(run["arm"], run["task"], run["seed"]) for run in runs}
    tasks, seeds = list(dict.fromkeys(run["task"] for run in runs)), declared_seeds(comparison)
    return [
        (arm["name"], task, seed)
        for arm in comparison.get("arms") or ()
        if arm.get("kind") == "algorithm"
        for task in arm.get("tasks") or tasks
        for seed in seeds[str(arm["name"])]
        if (arm["name"], task, seed) not in recorded
    ]


def status_words(run: Mapping[str, Any]) -> str:
    """`completed`, `diverged at step 31`, `failed`."""
    step = run.get("step")
    return visible(str(run.get("status"))) + (f" at step {step}" if step is not None else "")


def outcome_words(run: Mapping[str, Any]) -> str:
    """`DPO seed 2 on arithmetic diverged at step 31: loss is not finite`."""
    detail = visible(str(run.get("detail") or ""))
    words = f"{label(run['arm'])} seed {run['seed']} on {visible(str(run['task']))} {status_words(run)}"
    return f"{words}: {detail}" if detail else words
