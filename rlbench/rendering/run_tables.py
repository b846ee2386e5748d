"""Tables of the runs: how fast they were and how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlbench.rendering import quantity
from rlbench.rendering.outcome import missing_runs, status_words, unfinished_runs
from rlbench.rendering.report import Report, RunRecord
from rlbench.rendering.table import Cell, Column, Table, numeric, plain
from rlbench.rendering.text import label, visible


def throughput_table(report: Report) -> Table | None:
    """Seconds, tokens per second of every phase and peak memory: the mean over the seeds of an arm on a task."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for run in _metered(report):
        groups.setdefault((run.arm, run.task), []).append(run)
    phases = _phases(report)
    rows = [
        [Cell(label(arm)), Cell(visible(task)), _count(len(runs)), *_speed(runs, phases)]
        for (arm, task), runs in groups.items()
    ]
    columns = [*plain("arm", "task"), *numeric("seeds"), *_speed_columns(phases)]
    note = "Mean over the seeds that finished; the range is shown where seeds differ. Tokens per second of a phase."
    return Table("Throughput", columns, rows, note) if rows else None


def throughput_runs_table(report: Report) -> Table | None:
    """The same for every run."""
    phases = _phases(report)
    rows = [
        [Cell(label(run.arm)), Cell(visible(run.task)), _count(run.seed), *_speed([run], phases)]
        for run in _metered(report)
    ]
    columns = [*plain("arm", "task"), *numeric("seed"), *_speed_columns(phases)]
    return Table("Every run", columns, rows) if rows else None


def _metered(report: Report) -> list[RunRecord]:
    return [run for run in report.runs if run.usage and run.outcome.status == "completed"]


def _phases(report: Report) -> list[str]:
    return list(dict.fromkeys(name for run in _metered(report) for name in run.usage.get("phases") or ()))


def _speed_columns(phases: Sequence[str]) -> list[Column]:
    return numeric("seconds", "peak memory", *(f"{visible(name)}, tokens/s" for name in phases))


def _speed(runs: Sequence[RunRecord], phases: Sequence[str]) -> list[Cell]:
    cells = [
        _mean([run.usage.get("seconds") for run in runs], quantity.duration),
        _mean([run.usage.get("peak_memory_bytes") for run in runs], quantity.memory),
    ]
    return [*cells, *(_mean([_tokens_per_second(run, name) for run in runs], quantity.count) for name in phases)]


def _tokens_per_second(run: RunRecord, name: str) -> float | None:
    phase = (run.usage.get("phases") or {}).get(name) or {}
    tokens, seconds = phase.get("tokens"), phase.get("seconds")
    return tokens / seconds if quantity.known(tokens) and quantity.known(seconds) and seconds > 0 else None


def _mean(values: Sequence[Any], write: Any) -> Cell:
    measured = [float(value) for value in values if quantity.known(value)]
    if not measured:
        return Cell(quantity.MISSING, tone="muted")
    mean, first, last = sum(measured) / len(measured), write(min(measured)), write(max(measured))
    return Cell(write(mean), f"{first} to {last}" if first != last else "", sort=mean)


def _count(value: int) -> Cell:
    return Cell(quantity.count(value), sort=value)


def outcome_table(report: Report) -> Table | None:
    """The runs that did not finish or are not there; None where all are complete."""
    comparison = report.comparison
    rows = [
        [
            Cell(label(run["arm"])),
            Cell(visible(str(run["task"]))),
            _count(run["seed"]),
            Cell(f"✗ {status_words(run)}", tone="bad"),
            Cell(visible(str(run.get("detail") or "")) or "no detail was recorded"),
        ]
        for run in unfinished_runs(comparison)
    ]
    rows += [
        [Cell(label(arm)), Cell(visible(task)), _count(seed), Cell("✗ missing", tone="bad"), Cell("never recorded")]
        for arm, task, seed in missing_runs(comparison)
    ]
    columns = [*plain("arm", "task"), *numeric("seed"), *plain("outcome", "detail")]
    return Table("Runs that did not finish", columns, rows) if rows else None
