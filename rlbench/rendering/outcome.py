"""How the runs of a comparison ended, and which are not there at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlbench.rendering.text import label, visible


def unfinished_runs(comparison: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The recorded runs that diverged or failed."""
    return [run for run in comparison.get("runs") or () if run.get("status") != "completed"]


def missing_runs(comparison: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(arm, task, seed) of the grid of trained arms, tasks and seeds for which nothing is recorded."""
    runs = comparison.get("runs") or ()
    if not runs:
        return []
    recorded = {(run["arm"], run["task"], run["seed"]) for run in runs}
    trained = [arm["name"] for arm in comparison.get("arms") or () if arm.get("kind") == "algorithm"]
    tasks = dict.fromkeys(run["task"] for run in runs)
    grid = [(arm, task, seed) for arm in trained for task in tasks for seed in comparison.get("seeds") or ()]
    return [cell for cell in grid if cell not in recorded]


def status_words(run: Mapping[str, Any]) -> str:
    """`completed`, `diverged at step 31`, `failed`."""
    step = run.get("step")
    return visible(str(run.get("status"))) + (f" at step {step}" if step is not None else "")


def outcome_words(run: Mapping[str, Any]) -> str:
    """`DPO seed 2 on arithmetic diverged at step 31: loss is not finite`."""
    detail = visible(str(run.get("detail") or ""))
    words = f"{label(run['arm'])} seed {run['seed']} on {visible(str(run['task']))} {status_words(run)}"
    return f"{words}: {detail}" if detail else words
