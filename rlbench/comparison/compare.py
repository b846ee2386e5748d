"""Compares any number of runs, score folders and saved baselines: comparison.json, and pandas frames of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.comparison.arms import Arm
from rlbench.comparison.matching import (
    Mismatch,
    circumstances,
    common_metrics,
    common_prompts,
    declared,
    on_prompts,
    only_some,
    pairs_of,
)
from rlbench.comparison.sources import read_sources
from rlbench.errors import InputError
from rlbench.records import Metric
from rlbench.stages.compare import Part, document, few_prompts, unscored, weakly_judged
from rlbench.stages.estimates import Design, TaskComparison
from rlbench.stages.findings import by_severity, finding
from rlbench.stages.sighting import Severity
from rlbench.statistics import Estimand
from rlbench.statistics.estimate import check_confidence

_SEVERITY: Mapping[str, Severity] = {
    "shared": "warning",
    "prompts": "warning",
    "missing seeds": "warning",
    "seeds": "info",
    "metric": "info",
    "task": "info",
    "arm": "info",
    "options": "info",
    "environment": "info",
}


@dataclass(frozen=True)
class Comparison:
    """A comparison: `document` is what comparison.json holds (see docs/comparison.md)."""

    document: Mapping[str, Any]

    @property
    def estimates(self) -> pd.DataFrame:
        """One row per pair, task and metric: `a`, `b`, `value` (b - a), `low`, `high`, `p_adjusted`, `verdict`, ..."""
        return pd.DataFrame(self.document["estimates"])

    @property
    def scores(self) -> pd.DataFrame:
        """One row per arm, task and metric: `value`, `low`, `high`, `by_seed`, ..."""
        return pd.DataFrame(self.document["scores"])

    @property
    def slices(self) -> pd.DataFrame:
        """One row per slice of the prompts and pair, on the primary metric; exploratory."""
        return pd.DataFrame(self.document["slices"])

    @property
    def mismatches(self) -> pd.DataFrame:
        """What did not match between the arms: `kind`, `task`, `arms`, `text`."""
        return pd.DataFrame(self.document["mismatches"], columns=["kind", "task", "arms", "text"])


@dataclass(frozen=True)
class Estimated:
    """Arms that have been matched: one part per task, and what did not match."""

    parts: list[Part]
    samples: list[pd.DataFrame | None]
    mismatches: list[Mismatch]


def compare(
    sources: Sequence[str | Path],
    *,
    estimand: Estimand | None = None,
    metrics: Sequence[str] | None = None,
    primary: str | None = None,
    margin: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    replicates: int = 10_000,
) -> Comparison:
    """Compare run folders, score folders and saved baselines, the baseline first; differences are later minus earlier.

    Args:
        sources: folders, or `FOLDER:ARM` for one arm of a run. One run: all its pairs. Several: arms of the same name,
            or every arm with every arm of the other sources if no name occurs twice.
        estimand: `checkpoints`, `recipe` or `population`; by default `recipe` if all arms have two seeds or more, else
            `checkpoints`.
        metrics: by default all that every arm was scored on in the same way.
        primary: the metric that claims are made on, for every task; the tasks' own by default.
        margin: the smallest difference that matters, by metric, declared before the runs; verdicts then use it.
        confidence: of all intervals.
        replicates: of the bootstrap, where prompts are resampled.

    Raises:
        InputError: a source is no such folder, or arms were scored on different data or in different ways.
        CorruptArtifact: bytes have changed since they were written.
    """
    texts = [str(source) for source in sources]
    if not texts:
        raise InputError("compare: expected at least one folder, got none")
    read = read_sources(texts)
    check_confidence(confidence)
    pairs, unpaired = pairs_of(read, [[arm.name.rpartition("/")[2] for arm in arms] for arms in read])
    if not pairs:
        raise InputError(
            f"compare: expected at least two arms, the baseline first, got only "
            f"{', '.join(arm.name for arms in read for arm in arms)}; name another folder"
        )
    estimated = estimate_arms(
        pairs, estimand=estimand, metrics=metrics, primary=primary, margin=margin or {}, confidence=confidence,
        replicates=replicates,
    )  # fmt: skip
    _check_margins(margin or {}, estimated.parts)
    estimated = replace(estimated, mismatches=[*unpaired, *estimated.mismatches])
    return Comparison(_document(texts, _in_pairs(pairs), estimated, margin or {}))


def estimate_arms(
    pairs: Sequence[tuple[Arm, Arm]],
    *,
    estimand: Estimand | None = None,
    metrics: Sequence[str] | None = None,
    primary: str | None = None,
    margin: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    replicates: int = 10_000,
) -> Estimated:
    """Match the arms of all pairs, task by task; arguments and errors are those of `compare`."""
    arms = _in_pairs(pairs)
    chosen = estimand or ("recipe" if all(len(arm.seeds) > 1 for arm in arms) else "checkpoints")
    parts, samples, mismatches = list[Part](), list[pd.DataFrame | None](), only_some(arms)
    for task in dict.fromkeys(task for arm in arms for task in arm.tasks):
        both = [(a, b) for a, b in pairs if task in a.tasks and task in b.tasks]
        if not both:
            continue
        here = _in_pairs(both)
        prompts, lacking = common_prompts(here, task)
        kept, main, unlike = common_metrics(here, task, metrics, primary)
        declarations = [(a, b, declared(a, b, task)) for a, b in both]
        mismatches += [*lacking, *unlike]
        mismatches += [each for a, b, pair in declarations for each in circumstances(a, b, task, pair)]
        scores = {arm.name: on_prompts(arm.tasks[task], prompts) for arm in here}
        tables = {name: each.tables for name, each in scores.items()}
        # A completion file cannot say, for example, how many tokens its texts had: what nobody measured is left out.
        kept = [metric for metric in kept if metric.name == main or _measured(metric, tables)]
        options = {name: dict(entry[1]) for name, entry in next(iter(scores.values())).graders.items()}
        design = Design(task, chosen, confidence, replicates, kept, main, margin or {}, options)
        parts.append((design, TaskComparison(design, tables, prompts, [pair for _, _, pair in declarations])))
        samples.append(next((each.samples for each in scores.values() if each.samples is not None), None))
    if not parts:
        raise InputError(
            f"compare: expected arms that answered the same task, got {', '.join(_tasks(arm) for arm in arms)}"
        )
    return Estimated(parts, samples, mismatches)


def _check_margins(margin: Mapping[str, float], parts: Sequence[Part]) -> None:
    directions = {metric.name: metric.higher_is_better for design, _ in parts for metric in design.metrics}
    for name in margin:
        if name not in directions:
            raise InputError(f"margin: expected a metric that is compared ({', '.join(directions)}), got {name!r}")
        if directions[name] is None:
            raise InputError(
                f"margin: {name!r} is a monitor without a better side; expected one of "
                f"{', '.join(known for known, better in directions.items() if better is not None)}"
            )


def _document(
    texts: Sequence[str], arms: Sequence[Arm], estimated: Estimated, margin: Mapping[str, float]
) -> dict[str, Any]:
    first = {task: scores for arm in reversed(arms) for task, scores in arm.tasks.items()}
    signature = "|".join(f"task:{name}@{each.data[:8]}|split:{each.split}" for name, each in first.items())
    of_files = all(arm.kind == "completions" for arm in arms)
    common = document(" vs ".join(_short(text) for text in texts), estimated.parts, signature, estimated.samples)
    seen = [
        *(
            finding("mismatch", _SEVERITY[row["kind"]], row["text"] + ".", None, row["task"])
            for row in estimated.mismatches
        ),
        *weakly_judged(estimated.parts),
        *few_prompts(estimated.parts),
        *unscored(common["scores"]),
    ]
    if of_files:
        seen = [row | {"seeds": []} for row in seen]  # a file has no seed
    return common | {
        "kind": "completions" if of_files else "arms",
        "seeds": None if of_files else sorted({seed for arm in arms for seed in arm.seeds}),
        "baseline": arms[0].name,
        "arms": [
            {
                "name": arm.name,
                "kind": arm.kind,
                "fingerprint": arm.fingerprint,
                "seeds": None if arm.kind == "completions" else list(arm.seeds),
                "tasks": list(arm.tasks),
            }
            for arm in arms
        ],
        "margin": dict(margin),
        "fingerprints": [],
        "budget": None,
        "mismatches": estimated.mismatches,
        "runs": [{**row, "arm": arm.name} for arm in arms for row in arm.runs],
        "findings": by_severity(seen),
    }


def _in_pairs(pairs: Sequence[tuple[Arm, Arm]]) -> list[Arm]:
    """The arms of all pairs in the order of their first appearance, baselines first."""
    found = {arm.name: arm for arm in [a for a, _ in pairs] + [b for _, b in pairs]}
    return list(found.values())


def _measured(metric: Metric, tables: Mapping[str, Mapping[int, Mapping[str, pd.DataFrame]]]) -> bool:
    return any(
        by_grader[metric.grader][list(metric.columns)].notna().any(axis=None)
        for by_seed in tables.values()
        for by_grader in by_seed.values()
    )


def _tasks(arm: Arm) -> str:
    return f"{arm.name}: {', '.join(arm.tasks)}"


def _short(text: str) -> str:
    return Path(text).resolve().name if Path(text).exists() else text.rpartition("/")[2]
