"""Judges sampled completions. Writes `scores/<grader>.parquet`: `sample_id`, `completion_index`, the grader's columns
and `reason`. A completion that could not be scored has missing values and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlbench.artifacts.call import Call
from rlbench.artifacts.tables import read_table, write_table
from rlbench.graders.roles import load_grader
from rlbench.records import Candidate, Grader, Sample, Unscored
from rlbench.tasks.task import load_task

VERSION = 1
_MEASURED = ("tokens", "truncated", "logprob", "sft_logprob")


def run(call: Call) -> Mapping[str, Any]:
    """Apply every grader of the experiment to the completions of one sample folder."""
    config = call.config
    task = load_task(call.circumstances.task_paths[config["task"]], call.circumstances.data_dir)
    candidates = _candidates(call.input("sample"), {s.sample_id: s for s in task.samples(config["split"])})
    for name, options in config["graders"].items():
        write_scores(call.out, load_grader(name, options), candidates)
    return {"completions": len(candidates)}


def write_scores(folder: Path, grader: Grader, candidates: Sequence[Candidate]) -> None:
    """Judge the candidates and write the grader's table under `folder`/scores."""
    judgements = grader.grade(candidates)
    columns: dict[str, list[Any]] = {
        "sample_id": [candidate.sample.sample_id for candidate in candidates],
        "completion_index": [candidate.completion_index for candidate in candidates],
    }
    for column in grader.columns:
        columns[column] = [
            float("nan") if isinstance(judgement, Unscored) else float(judgement.values[column])
            for judgement in judgements
        ]
    columns["reason"] = [judgement.reason for judgement in judgements]
    write_table(folder / "scores" / f"{grader.name}.parquet", columns)


def _candidates(folder: Path, samples: Mapping[str, Sample]) -> list[Candidate]:
    references: dict[str, dict[str, float]] = {}
    if (folder / "references.parquet").exists():
        for row in read_table(folder / "references.parquet").to_dict("records"):
            measured = {str(name): float(value) for name, value in row.items() if name != "sample_id"}
            references[row["sample_id"]] = measured
    found = []
    for row in read_table(folder / "completions.parquet").to_dict("records"):
        measured = {name: float(row[name]) for name in _MEASURED} | references.get(row["sample_id"], {})
        found.append(Candidate(samples[row["sample_id"]], row["completion"], int(row["completion_index"]), measured))
    return found
