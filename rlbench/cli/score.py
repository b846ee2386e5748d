"""`rlbench score`: judge completions from files."""

from __future__ import annotations

import math
from pathlib import Path

from rlbench.stages.completions import score_completions
from rlbench.tasks.task import load_task

REASONS = 3
"""Reasons that are printed for what a grader left unscored, the most frequent ones."""


def score_file(file: Path, task: str, split: str, out: Path, metrics: list[str] | None, data_dir: Path | None) -> None:
    """Score the file and print one line per metric."""
    scored = score_completions(file, load_task(task, data_dir), split, out, metrics)
    for name, (metric, value, count, unscored) in scored.values.items():
        if math.isnan(value):
            print(f"{name:22} not scored ({unscored} completions)")
            continue
        shown = f"{100 * value:.2f} %" if metric.unit == "fraction" else f"{value:.4g} {metric.unit}"
        total = value * count
        whole = metric.unit == "fraction" and metric.completions_needed == 1 and abs(total - round(total)) < 1e-6
        of = f"{round(total)}/{count}" if whole else f"{count} completions"
        print(f"{name:22} {shown:>16}   {of}" + (f", {unscored} unscored" if unscored else ""))
    for grader, reasons in scored.unscored.items():
        for reason, count in list(reasons.items())[:REASONS]:
            print(f"{grader} left {count} unscored: {reason}")
        if len(reasons) > REASONS:
            print(f"{grader} left others unscored for {len(reasons) - REASONS} more reasons; see its table")
    print(f"{'Scores' if scored.made else 'Nothing to do, the scores are there already'}: {scored.folder}/scores")
