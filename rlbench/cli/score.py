"""`rlbench score` and `rlbench compare`: judge completions from files, and compare the results."""

from __future__ import annotations

import math
from pathlib import Path

from rlbench.artifacts.files import explain_disk_errors, make_folder
from rlbench.artifacts.run_folder import environment
from rlbench.artifacts.sealing import remove, seal, verify
from rlbench.errors import InputError
from rlbench.rendering.report import Report
from rlbench.rendering.terminal import render_terminal
from rlbench.stages.compare import check_comparable, compare_folders
from rlbench.stages.completions import score_completions
from rlbench.stages.report import DOWNLOADS, write_report
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


def compare_scores(folders: list[Path], out: Path | None) -> None:
    """Compare score folders, print the result and, if asked, write comparison.json and the report."""
    if len(folders) < 2:
        raise InputError("compare: expected at least two score folders, the baseline first, got one")
    names = _names(folders)
    manifests = {}
    for name, folder in zip(names, folders, strict=True):
        manifest = verify(folder)
        if manifest.get("stage") != "score" or "sample_ids" not in manifest["config"]:
            raise InputError(f"{folder}: expected a folder that `rlbench score` wrote")
        manifests[name] = manifest
    comparison = compare_folders(folders, names, check_comparable(manifests))
    print(render_terminal(comparison))
    if out is None:
        return
    if out.exists():
        raise InputError(f"{out}: exists already and is never overwritten; choose another --out")
    with explain_disk_errors(out):
        make_folder(out.parent)
        draft = out.parent / f".{out.name}.draft"
        remove(draft)
        draft.mkdir()
        reproduce = " ".join(["rlbench compare", *map(str, folders), "--out", str(out)])
        write_report(draft, Report(comparison, environment=environment(), reproduce=reproduce, downloads=DOWNLOADS))
        inputs = {name: manifest["fingerprint"] for name, manifest in manifests.items()}
        seal(draft, out, {"stage": "compare", "name": out.name, "inputs": inputs})
    print(f"Report: {out / 'index.html'}")


def _names(folders: list[Path]) -> list[str]:
    """Short names for the arms: the folders' own, or their paths where those are equal."""
    short = [folder.resolve().name for folder in folders]
    if len(set(short)) == len(short):
        return short
    paths = [str(folder) for folder in folders]
    if len(set(paths)) < len(paths):
        raise InputError("compare: the same folder is given twice")
    return paths
