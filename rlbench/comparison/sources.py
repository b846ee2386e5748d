"""Reads arms from folders: the run of an experiment, what `rlbench score` wrote, a saved baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.artifacts.files import read_json
from rlbench.artifacts.run_folder import EXPERIMENT, RunFolder, open_run
from rlbench.artifacts.sealing import MANIFEST, verify
from rlbench.artifacts.tables import read_table
from rlbench.comparison.arms import Arm, TaskScores
from rlbench.comparison.baseline import STAGE as BASELINE
from rlbench.comparison.baseline import read_baseline
from rlbench.errors import InputError
from rlbench.stages.samples import read_samples


def read_source(text: str) -> list[Arm]:
    """Read all arms of `text`: a run folder, a score folder or a saved baseline; `FOLDER:ARM` is one arm of it.

    Raises:
        InputError: there is nothing of that kind, the run is not finished, or it has no such arm.
        CorruptArtifact: bytes have changed since they were written.
    """
    folder, name = folder_and_arm(text)
    arms = _read_folder(folder)
    if not name:
        return arms
    chosen = [arm for arm in arms if arm.name == name]
    if not chosen:
        raise InputError(f"{text}: expected one of its arms, {', '.join(arm.name for arm in arms)}, got {name!r}")
    return chosen


def folder_and_arm(text: str) -> tuple[Path, str]:
    """Split `FOLDER:ARM`; the arm is empty where `text` is a folder."""
    folder, _, arm = text.rpartition(":")
    return (Path(folder), arm) if folder and not Path(text).exists() else (Path(text), "")


def read_sources(texts: Sequence[str]) -> list[list[Arm]]:
    """Read several sources and give arms of different sources different names.

    A source with one arm gives it the folder's name; of several sources, one with several arms gives `FOLDER/ARM`.

    Raises:
        InputError: as `read_source`, and where a source is given twice.
    """
    sources = [read_source(text) for text in texts]
    given = Counter(
        (folder_and_arm(text)[0].resolve(), arm.name) for text, arms in zip(texts, sources, strict=True) for arm in arms
    )
    (folder, name), count = max(given.items(), key=lambda entry: entry[1])
    if count > 1:
        raise InputError(f"compare: the same folder is given twice: {folder}, arm {name}; name every arm once")
    if len(sources) == 1:
        return sources
    labels = _labels(texts)
    return [
        [replace(arm, name=label if arm.kind == "completions" else f"{label}/{arm.name}") for arm in arms]
        for label, arms in zip(labels, sources, strict=True)
    ]


def _read_folder(folder: Path) -> list[Arm]:
    if (folder / EXPERIMENT).is_file():
        return _read_run(open_run(folder))
    if not (folder / MANIFEST).is_file():
        above = f"; did you mean {folder.parent}?" if (folder.parent / MANIFEST).is_file() else ""
        raise InputError(
            f"{folder}: expected the folder of a finished run, a folder that `rlbench score` wrote, or a saved "
            f"baseline; there is none of them{above}"
        )
    manifest = verify(folder)
    if manifest.get("stage") == BASELINE:
        return read_baseline(folder)
    if manifest.get("stage") == "score" and "sample_ids" in manifest["config"]:
        return [_read_scores(folder, manifest)]
    raise InputError(
        f"{folder}: expected a run folder, a folder that `rlbench score` wrote, or a saved baseline, got a folder of "
        f"stage {manifest.get('stage')!r}; give the run that it belongs to"
    )


def _read_scores(folder: Path, manifest: Mapping[str, Any]) -> Arm:
    config = manifest["config"]
    tables = {name: read_table(folder / "scores" / f"{name}.parquet") for name in config["graders"]}
    scores = TaskScores(
        task=config["task"],
        split=config["split"],
        data=config["task_fingerprint"],
        graders=config["graders"],
        metrics=tuple(config["metrics"]),
        primary=config["primary"],
        sample_ids=tuple(config["sample_ids"]),
        tables={0: tables},
        samples=read_samples(folder),
    )
    name = folder.resolve().name
    environment = manifest.get("environment", {})
    return Arm(
        name, "completions", (0,), {scores.task: scores}, environment=environment, fingerprint=manifest["fingerprint"]
    )


def _read_run(run: RunFolder) -> list[Arm]:
    place = next((part for part in run.parts() if part.stage == "compare"), None)
    if place is None or not (run.root / place.folder).is_dir():
        raise InputError(f"{run.root}: the run is not finished; `rlbench run` goes on where it stopped")
    manifest = run.check(place)
    config = manifest["config"]
    folders = {role: run.root / entry["folder"] for role, entry in manifest["inputs"].items()}
    arms = []
    for name in config["arms"]:
        rows = tuple(row for row in config["runs"] if row["arm"] == name)
        trained = {
            (row["task"], int(row["seed"])): folders[f"train/{row['task']}/{name}/{row['seed']}"]
            for row in rows
            if row["status"] == "completed"
        }
        manifests = [read_json(folder / MANIFEST) for folder in trained.values()]
        arms.append(
            Arm(
                name,
                "algorithm" if rows else "shared",
                tuple(config["seeds"]),
                {task: _read_task(task, plan, name, folders) for task, plan in config["tasks"].items()},
                rows,
                {key: read_json(folder / "usage.json") for key, folder in trained.items()},
                {task: plan["shared"] for task, plan in config["tasks"].items()},
                _common([made["environment"] | {"device": made["device"]} for made in manifests]),
                next(({"algorithm": m["config"]["algorithm"], **m["config"]["options"]} for m in manifests), {}),
                place.fingerprint,
            )
        )
    return arms


def _read_task(task: str, plan: Mapping[str, Any], arm: str, folders: Mapping[str, Path]) -> TaskScores:
    start = f"score/{task}/{arm}/"
    found = {int(role.removeprefix(start)): folder for role, folder in folders.items() if role.startswith(start)}
    manifests = {seed: verify(folder) for seed, folder in sorted(found.items())}
    names = list(plan["graders"])
    tables = {
        seed: {name: read_table(found[seed] / "scores" / f"{name}.parquet") for name in names} for seed in manifests
    }
    first = next(iter(manifests.values()), {"config": {"data": ""}, "versions": {}})
    any_table = next((next(iter(each.values())) for each in tables.values()), pd.DataFrame({"sample_id": []}))
    return TaskScores(
        task=task,
        split=plan["split"],
        data=first["config"]["data"],
        graders={name: [first["versions"].get(f"grader {name}"), plan["graders"][name]] for name in names},
        metrics=tuple(plan["metrics"]),
        primary=plan["primary"],
        sample_ids=tuple(dict.fromkeys(any_table["sample_id"])),
        tables=tables,
        samples=next((read_samples(found[seed]) for seed in manifests), None),
    )


def _common(environments: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What produced the runs; where they differ, all values."""
    keys = dict.fromkeys(key for each in environments for key in each)
    return {key: ", ".join(sorted({str(each[key]) for each in environments if key in each})) for key in keys}


def _labels(texts: Sequence[str]) -> list[str]:
    """Short names of the sources: the last parts of their folders' paths, as many as tell them apart."""
    folders = [folder_and_arm(text)[0].resolve() for text in texts]
    labels = []
    for folder in folders:
        others = {other for other in folders if other != folder}
        parts = next(
            count
            for count in range(1, len(folder.parts) + 1)
            if all(other.parts[-count:] != folder.parts[-count:] for other in others)
        )
        labels.append("/".join(folder.parts[-parts:]))
    return labels
