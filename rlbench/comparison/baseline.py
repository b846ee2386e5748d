"""Saved baselines: the score tables, usage and identity of a run's arms, so that the run itself may be deleted.

STORE/NAME/                     sealed, never overwritten
  identity.json                 the arms without their tables
  noise.json                    the noise floor of every arm, task and metric
  scores/ARM-TASK-GRADER.parquet      rows of all seeds (numbers: places in identity.json); GRADER is a name
  samples/ARM-TASK.parquet      what is known of each prompt, where it is known
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.artifacts.files import explain_disk_errors, hash_json, read_json, write_json
from rlbench.artifacts.run_folder import environment
from rlbench.artifacts.sealing import MANIFEST, remove, seal, verify
from rlbench.artifacts.tables import read_table, write_table
from rlbench.comparison.arms import Arm, TaskScores
from rlbench.comparison.noise import PROCESS_METRICS, is_measured, noise_floor, process_values, seed_values
from rlbench.errors import CorruptArtifact, InputError
from rlbench.records import Metric
from rlbench.registry import load

STAGE = "baseline"
VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SEED = "seed"


def save_baseline(store: Path, name: str, arms: Sequence[Arm], source: str) -> Path:
    """Seal the arms as `store`/`name` and return the folder; `source` is what the user called them.

    Raises:
        InputError: the name is not one, or is taken, or the store cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"baseline {name!r}: expected a name of letters, digits, '.', '_' and '-', the first one a letter or digit"
        )
    folder = store / name
    if folder.exists():
        raise InputError(f"{folder}: exists already and is never overwritten; choose another name or remove it")
    identity = [_identity(arm) for arm in arms]
    draft = store / f".{name}.draft"
    try:
        remove(draft)
        (draft / "scores").mkdir(parents=True)
        (draft / "samples").mkdir()
    except OSError as error:
        raise InputError(f"{store}: cannot hold a baseline ({error}); choose another folder with --store") from error
    with explain_disk_errors(store):
        write_json(draft / "identity.json", identity)
        write_json(draft / "noise.json", noise_rows(arms))
        for place, arm in enumerate(arms):
            for number, scores in enumerate(arm.tasks.values()):
                _write_scores(draft, f"{place}-{number}", scores)
        fingerprint = hash_json({"stage": STAGE, "version": VERSION, "arms": identity})
        config = {"source": source, "arms": [arm.name for arm in arms]}
        manifest = {"stage": STAGE, "name": name, "fingerprint": fingerprint, "config": config}
        seal(draft, folder, manifest | {"versions": {"stage": VERSION}, "environment": environment()})
    return folder


def read_baseline(folder: Path) -> list[Arm]:
    """Read the arms that `save_baseline` wrote.

    Raises:
        InputError: it was written by a newer rlbench.
        CorruptArtifact: it is damaged.
    """
    read_manifest(folder)
    return [_arm(folder, place, identity) for place, identity in enumerate(read_json(folder / "identity.json"))]


def read_manifest(folder: Path) -> dict[str, Any]:
    """Check every byte of a baseline and return its manifest.

    Raises:
        InputError: it was written by a newer rlbench.
        CorruptArtifact: it is damaged or no baseline.
    """
    manifest = verify(folder)
    if manifest.get("stage") != STAGE:
        raise CorruptArtifact(f"{folder}: expected a saved baseline, got a folder of stage {manifest.get('stage')!r}")
    if manifest["versions"]["stage"] != VERSION:
        raise InputError(
            f"{folder}: expected a baseline of version {VERSION}, got {manifest['versions']['stage']}; save it "
            f"again with this rlbench"
        )
    return manifest


def find_source(text: str, store: Path) -> str:
    """What `read_source` takes for a name of a saved baseline, NAME:ARM included; a path as it is.

    Raises:
        InputError: the text is both a baseline's name and a path, or it could be a name but is neither.
    """
    if Path(text).exists():
        if (
            _NAME.fullmatch(text)
            and (store / text / MANIFEST).is_file()
            and (store / text).resolve() != Path(text).resolve()
        ):
            raise InputError(f"{text!r} is a saved baseline and a path; write ./{text} for the path or {store / text}")
        return text
    for name, arm in ((text, ""), text.rpartition(":")[::2]):
        if _NAME.fullmatch(name) and (store / name / MANIFEST).is_file():
            return f"{store / name}:{arm}" if arm else str(store / name)
    name = text.rpartition(":")[0] or text
    if _NAME.fullmatch(name) and not Path(name).exists():
        raise InputError(
            f"{text}: expected the folder of a finished run, a folder that `rlbench score` wrote, or a saved baseline; "
            f"there is none of them, and the baselines in {store} are: {', '.join(stored(store)) or 'none'}"
        )
    return text


def stored(store: Path) -> list[str]:
    """The names of the baselines in a store."""
    if not store.is_dir():
        return []
    return sorted(
        folder.name for folder in store.iterdir() if _NAME.fullmatch(folder.name) and (folder / MANIFEST).is_file()
    )


def noise_rows(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The noise floor of every arm, task and metric; of logarithms for quantities of training runs."""
    rows = []
    for arm in arms:
        for task, scores in arm.tasks.items():
            for name in scores.metrics:
                metric: Metric = load("metrics", name)
                if is_measured(scores, metric):
                    rows.append(_noise_row(arm, task, name, metric.unit, seed_values(scores, metric)))
            for process in PROCESS_METRICS.values():
                values = process_values(arm, task, process)
                if values:
                    logs = {seed: math.log(value) for seed, value in values.items()}
                    rows.append(_noise_row(arm, task, process.name, "log", logs))
    return rows


def _noise_row(arm: Arm, task: str, metric: str, unit: str, values: Mapping[int, float]) -> dict[str, Any]:
    noise = noise_floor(values)
    by_seed = {str(seed): value for seed, value in values.items()}
    found = {"arm": arm.name, "task": task, "metric": metric, "unit": unit, "by_seed": by_seed}
    return found | {"noise": noise.to_json() if noise else None}


def _identity(arm: Arm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "kind": arm.kind,
        "seeds": list(arm.seeds),
        "runs": [dict(row) for row in arm.runs],
        "usage": [{"task": task, "seed": seed, "spent": dict(usage)} for (task, seed), usage in arm.usage.items()],
        "shared": {task: dict(prints) for task, prints in arm.shared.items()},
        "environment": dict(arm.environment),
        "fingerprint": arm.fingerprint,
        "tasks": [
            {
                "task": scores.task,
                "split": scores.split,
                "data": scores.data,
                "graders": dict(scores.graders),
                "metrics": list(scores.metrics),
                "primary": scores.primary,
                "sample_ids": list(scores.sample_ids),
                "seeds": {str(seed): sorted(tables) for seed, tables in scores.tables.items()},
            }
            for scores in arm.tasks.values()
        ],
    }


def _write_scores(draft: Path, place: str, scores: TaskScores) -> None:
    if scores.samples is not None:
        _write(draft / "samples" / f"{place}.parquet", scores.samples)
    for grader in sorted({name for tables in scores.tables.values() for name in tables}):
        parts = [tables[grader].assign(**{_SEED: seed}) for seed, tables in scores.tables.items() if grader in tables]
        _write(draft / "scores" / f"{place}-{grader}.parquet", pd.concat(parts, ignore_index=True))


def _write(path: Path, frame: pd.DataFrame) -> None:
    write_table(path, {str(name): column.tolist() for name, column in frame.items()})


def _arm(folder: Path, place: int, identity: Mapping[str, Any]) -> Arm:
    tasks = [_task(folder, f"{place}-{number}", entry) for number, entry in enumerate(identity["tasks"])]
    return Arm(
        name=identity["name"],
        kind=identity["kind"],
        seeds=tuple(identity["seeds"]),
        tasks={scores.task: scores for scores in tasks},
        runs=tuple(identity["runs"]),
        usage={(entry["task"], entry["seed"]): entry["spent"] for entry in identity["usage"]},
        shared=identity["shared"],
        environment=identity["environment"],
        fingerprint=identity["fingerprint"],
    )


def _task(folder: Path, place: str, entry: Mapping[str, Any]) -> TaskScores:
    found = {
        grader: read_table(folder / "scores" / f"{place}-{grader}.parquet")
        for grader in sorted({name for names in entry["seeds"].values() for name in names})
    }
    tables = {
        int(seed): {name: _of_seed(found[name], int(seed)) for name in names} for seed, names in entry["seeds"].items()
    }
    samples = folder / "samples" / f"{place}.parquet"
    return TaskScores(
        task=entry["task"],
        split=entry["split"],
        data=entry["data"],
        graders=entry["graders"],
        metrics=tuple(entry["metrics"]),
        primary=entry["primary"],
        sample_ids=tuple(entry["sample_ids"]),
        tables=tables,
        samples=read_table(samples) if samples.is_file() else None,
    )


def _of_seed(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    return frame[frame[_SEED] == seed].drop(columns=_SEED).reset_index(drop=True)
