"""Scores completions that anybody produced: reads a JSON Lines file and writes a sealed score folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbench.artifacts.files import explain_disk_errors, hash_json, make_folder
from rlbench.artifacts.run_folder import environment
from rlbench.artifacts.sealing import remove, seal, verify
from rlbench.artifacts.tables import read_table
from rlbench.errors import CorruptArtifact, InputError
from rlbench.graders.roles import in_role, load_grader
from rlbench.metrics.table import prompt_statistics
from rlbench.records import Candidate, Grader, Metric, Sample
from rlbench.registry import load
from rlbench.stages.rewards import GOLD, REWARD
from rlbench.stages.samples import write_samples
from rlbench.stages.score import VERSION, write_scores
from rlbench.tasks.task import Task
from rlbench.yaml_file import blame, read_yaml

_KEYS = ("completion", "sample_id", "completion_index")


@dataclass(frozen=True)
class Scored:
    """A sealed score folder and the value of each metric, with how many completions it covers."""

    folder: Path
    values: Mapping[str, tuple[Metric, float, int, int]]
    """name -> (metric, value, scored, unscored)"""
    unscored: Mapping[str, Mapping[str, int]]
    """grader -> reason -> how many completions it could not score, the most frequent first"""
    made: bool


def read_completions(file: Path, samples: Sequence[Sample], *, every_sample: bool = True) -> list[Candidate]:
    """Read `{"completion": ...}` rows: one per sample in order, or any number with `sample_id`.

    Args:
        file: JSON Lines.
        samples: that the completions answer.
        every_sample: whether rows with `sample_id` must cover all samples.

    Raises:
        InputError: a row is malformed, names no sample, or samples are left without a completion.
    """
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}; expected JSON Lines") from error
    rows = [
        (f"{file}:{number}", _row(line, f"{file}:{number}")) for number, line in enumerate(lines, 1) if line.strip()
    ]
    named = [("sample_id" in row) for _, row in rows]
    if any(named) and not all(named):
        where = rows[named.index(False)][0]
        raise InputError(f"{where}: expected sample_id, as in other rows; give it in every row or in none")
    if any(named):
        found = _by_name(rows, samples)
        return _covering(found, samples, file) if every_sample else found
    if len(rows) != len(samples):
        last = rows[min(len(rows), len(samples) + 1) - 1][0] if rows else file
        raise InputError(
            f"{last}: expected {len(samples)} rows, one per sample in order, got {len(rows)}; give as many as there "
            f"are samples, or give every row a sample_id"
        )
    return [Candidate(sample, row["completion"]) for sample, (_, row) in zip(samples, rows, strict=True)]


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON ({error}); expected an object with 'completion'") from error
    if not isinstance(row, dict) or not isinstance(row.get("completion"), str):
        raise InputError(f"{where}: expected a JSON object with a text under 'completion', got {line[:60]!r}")
    if "sample_id" in row and not isinstance(row["sample_id"], str):
        raise InputError(f"{where}: sample_id: expected a text, got {row['sample_id']!r}")
    index = row.get("completion_index", 0)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 2**31:
        raise InputError(f"{where}: completion_index: expected a number from 0, got {index!r}")
    return {key: row[key] for key in _KEYS if key in row}


def _by_name(rows: Sequence[tuple[str, dict[str, Any]]], samples: Sequence[Sample]) -> list[Candidate]:
    known = {sample.sample_id: sample for sample in samples}
    found: dict[tuple[str, int], Candidate] = {}
    drawn: dict[str, int] = {}
    for where, row in rows:
        name = row["sample_id"]
        if name not in known:
            raise InputError(f"{where}: sample {name!r} does not exist in this split (first: {samples[0].sample_id!r})")
        index = row.get("completion_index", drawn.get(name, 0))
        drawn[name] = index + 1
        if (name, index) in found:
            raise InputError(f"{where}: completion {index} of sample {name!r} is given twice")
        found[name, index] = Candidate(known[name], row["completion"], index)
    order = {sample.sample_id: place for place, sample in enumerate(samples)}
    return [found[key] for key in sorted(found, key=lambda key: (order[key[0]], key[1]))]


def _covering(candidates: list[Candidate], samples: Sequence[Sample], file: Path) -> list[Candidate]:
    answered = {candidate.sample.sample_id for candidate in candidates}
    missing = [sample.sample_id for sample in samples if sample.sample_id not in answered]
    if missing:
        raise InputError(
            f"{file}: expected a completion for each of {len(samples)} samples, got none for {len(missing)} "
            f"(first: {missing[0]!r}); missing is never counted as wrong"
        )
    return candidates


def score_completions(file: Path, task: Task, split: str, out: Path, metrics: Sequence[str] | None) -> Scored:
    """Judge the completions in `file` with the graders that the metrics need and seal the result as `out`.

    Raises:
        InputError: the file is malformed, a name does not exist, or `out` holds something else.
        CorruptArtifact: `out` is a score folder whose bytes have changed.
    """
    samples = task.samples(split)
    candidates = read_completions(file, samples)
    twice = sorted({name for name in metrics or () if (metrics or ()).count(name) > 1})
    if twice:
        raise InputError(f"--metric: given twice: {', '.join(twice)}; name every metric once")
    chosen = list[Metric]()
    for index, name in enumerate(metrics or task.metrics):
        with blame(None if metrics else read_yaml(task.folder / "task.yaml"), "metrics", index):
            chosen.append(load("metrics", name))
    if metrics is None:  # what needs a model cannot be had from a file
        chosen = [metric for metric in chosen if metric.grader != "likelihood"]
    _check_enough(file, candidates, chosen)
    names = sorted({metric.grader for metric in chosen})
    graders = {name: _grader(task, name) for name in names}
    sample_ids = [sample.sample_id for sample in samples]
    config = {
        "task": task.name,
        "split": split,
        "task_fingerprint": task.fingerprint(split),
        "graders": {name: [grader.version, dict(grader.options)] for name, grader in graders.items()},
        "metrics": [metric.name for metric in chosen],
        "primary": task.primary if task.primary in [metric.name for metric in chosen] else chosen[0].name,
        "sample_ids": sample_ids,
        "completions": hash_json([[c.sample.sample_id, c.completion_index, c.completion] for c in candidates]),
    } | ({"slices": groups} if (groups := task.slices_fingerprint(split)) else {})
    fingerprint = hash_json({"stage": "score", "version": VERSION, "config": config})
    made = _is_new(out, fingerprint)
    if made:
        with explain_disk_errors(out):
            make_folder(out.parent)
            draft = out.parent / f".{out.name}.draft"
            remove(draft)
            draft.mkdir()
            for grader in graders.values():
                write_scores(draft, grader, candidates)
            write_samples(draft, samples)
            _values(draft, chosen, sample_ids)  # what cannot be summarised is not sealed
            if out.exists():
                out.rmdir()
            manifest = {"stage": "score", "name": out.name, "fingerprint": fingerprint, "config": config}
            seal(draft, out, manifest | {"environment": environment()})
    return Scored(out, _values(out, chosen, sample_ids), _unscored(out, graders.values()), made)


def _grader(task: Task, name: str) -> Grader:
    """The grader of a metric, or the one that plays a role on the task."""
    role = {REWARD: task.reward, GOLD: task.gold}.get(name)
    if role is None:
        return load_grader(name, task.graders.get(name, {}))
    grader, column = role
    return in_role(name, load_grader(grader, task.graders.get(grader, {})), column)


def _check_enough(file: Path, candidates: Sequence[Candidate], metrics: Sequence[Metric]) -> None:
    """Refuse metrics that need more completions of a prompt than the file has, before anything is judged."""
    counts = Counter(candidate.sample.sample_id for candidate in candidates)
    fewest = min(counts, key=counts.__getitem__)
    for metric in metrics:
        if counts[fewest] < metric.completions_needed:
            raise InputError(
                f"{file}: metric {metric.name!r} needs at least {metric.completions_needed} completions of every "
                f"sample, got {counts[fewest]} for {fewest!r}; give more rows with its sample_id, or choose a metric "
                f"that needs no more"
            )


def _is_new(out: Path, fingerprint: str) -> bool:
    """Whether `out` has to be made; False if it holds this very result already."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return True
    try:
        found = verify(out).get("fingerprint")
    except CorruptArtifact as error:
        raise CorruptArtifact(f"{error}; choose another --out or remove that folder") from error
    if found != fingerprint:
        raise InputError(f"{out}: holds the scores of something else and is never overwritten; choose another --out")
    return False


def _unscored(folder: Path, graders: Iterable[Grader]) -> dict[str, dict[str, int]]:
    found = {}
    for grader in graders:
        table = read_table(folder / "scores" / f"{grader.name}.parquet")
        reasons = table.loc[table[list(grader.columns)].isna().all(axis=1), "reason"]
        if len(reasons):
            found[grader.name] = dict(Counter(reasons).most_common())
    return found


def _values(folder: Path, metrics: Sequence[Metric], sample_ids: Sequence[str]) -> dict[str, Any]:
    found = {}
    for metric in metrics:
        counted = prompt_statistics(read_table(folder / "scores" / f"{metric.grader}.parquet"), metric, sample_ids)
        value = float(metric.aggregate(counted.sums.sum(axis=0)))
        found[metric.name] = (metric, value, counted.scored, counted.unscored)
    return found
