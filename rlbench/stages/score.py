"""Judges sampled completions. Writes `scores/<grader>.parquet`: `sample_id`, `completion_index`, the grader's columns,
its stamps (columns of text that say how it was judged) and `reason`. A completion that could not be scored has missing
values and says why. `samples.parquet` beside them says what is known of each prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlbench.artifacts.call import Call
from rlbench.artifacts.tables import read_table, write_table
from rlbench.errors import InputError
from rlbench.records import Candidate, Grader, Judgement, Sample, Scored, Unscored
from rlbench.stages.rewards import scoring_grader
from rlbench.stages.samples import write_samples
from rlbench.tasks.task import load_task

VERSION = 2
_MEASURED = ("tokens", "truncated", "logprob", "sft_logprob")


def run(call: Call) -> Mapping[str, Any]:
    """Apply every grader of the experiment to the completions of one sample folder."""
    config = call.config
    task = load_task(call.circumstances.task_paths[config["task"]], call.circumstances.data_dir)
    candidates = _candidates(call.input("sample"), {s.sample_id: s for s in task.samples(config["split"])})
    for name, options in config["graders"].items():
        write_scores(call.out, scoring_grader(call, name, options), candidates)
    write_samples(call.out, list({each.sample.sample_id: each.sample for each in candidates}.values()))
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
    columns |= _stamps(grader, judgements)
    columns["reason"] = [judgement.reason for judgement in judgements]
    write_table(folder / "scores" / f"{grader.name}.parquet", columns)


def _stamps(grader: Grader, judgements: Sequence[Judgement]) -> dict[str, list[str | None]]:
    """Every stamp that occurs as a column of text, missing where a completion does not carry it."""
    stamps = [judgement.stamps if isinstance(judgement, Scored) else {} for judgement in judgements]
    names = sorted({name for each in stamps for name in each})
    taken = {"sample_id", "completion_index", "reason", *grader.columns} & set(names)
    if taken:
        raise InputError(
            f"grader {grader.name!r}: expected stamps with names of their own, got {', '.join(sorted(taken))}, which "
            f"name other columns; report it to its author"
        )
    return {name: [each.get(name) for each in stamps] for name in names}


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
