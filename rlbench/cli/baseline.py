"""`rlbench baseline save|show`: keep what a gate compares with, and look at its noise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rlbench.artifacts.files import read_json
from rlbench.comparison.baseline import find_source, read_manifest, save_baseline, stored
from rlbench.comparison.sources import read_source
from rlbench.errors import CorruptArtifact, InputError, RlbenchError
from rlbench.rendering.text import plural, visible


def save(name: str, source: str, store: Path) -> None:
    """Copy the arms of a run, score folder or other baseline to the store, with their noise, and print it."""
    folder = save_baseline(store, name, read_source(find_source(source, store)), source)
    print(_described(folder))
    print(f"Saved: {folder}")


def show(name: str | None, store: Path) -> None:
    """Print one baseline with its noise floor, or one line for each of the store.

    Raises:
        InputError: there is none of that name.
        CorruptArtifact: it is damaged, or one of the store is.
    """
    known = stored(store)
    if name is None:
        if not known:
            print(f"No baseline in {store}; `rlbench baseline save NAME RUN` keeps one")
        unusable = []
        for each in known:
            try:
                config = read_manifest(store / each)["config"]
                print(f"{each:24}  {visible(', '.join(config['arms']))}  (from {visible(config['source'])})")
            except RlbenchError as error:
                unusable.append(each)
                print(f"{each:24}  cannot be used: {visible(str(error))}")
        if unusable:
            raise CorruptArtifact(f"{store}: {', '.join(unusable)} cannot be used; save again, or remove the folder")
        return
    if name not in known:
        raise InputError(
            f"baseline {name!r}: expected one of {', '.join(known) or 'none'} in {store}; correct the name"
        )
    read_manifest(store / name)
    print(_described(store / name))


def _described(folder: Path) -> str:
    rows = read_json(folder / "noise.json")
    lines = ["Noise of identical runs; a margin below ± (90 %, as many new seeds) will usually not pass"]
    for arm, task in dict.fromkeys((row["arm"], row["task"]) for row in rows):
        mine = [row for row in rows if (row["arm"], row["task"]) == (arm, task)]
        seeds = max(len(row["by_seed"]) for row in mine)
        lines += ["", f"{visible(arm)} on {visible(task)}, {plural(seeds, 'seed')}"]
        lines.append(f"  {'metric':24} {'mean':>11} {'sd over seeds':>14} {'± (90 %)':>11}   A/A splits: false alarms")
        lines += [_line(row) for row in mine]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    name, noise = visible(row["metric"]), row["noise"]
    if noise is None:
        return (
            f"  {name:24} {next(iter(row['by_seed'].values()), float('nan')):>11.4g}   one seed: its noise is not known"
        )
    split = "too few seeds"
    if noise["splits"]:
        split = f"{100 * noise['split_false_alarms']:.0f} % of {noise['splits']} splits"
    mean, sd, width = f"{noise['mean']:.4g}", f"{noise['seed_sd']:.3g}", f"{noise['half_width']:.3g}"
    if row["unit"] == "log":  # of ratios, as near as makes no difference shares
        mean, sd, width = (
            f"{math.exp(noise['mean']):,.4g}",
            f"{100 * noise['seed_sd']:.3g} %",
            f"{100 * noise['half_width']:.3g} %",
        )
    return f"  {name:24} {mean:>11} {sd:>14} {width:>11}   {split}"
