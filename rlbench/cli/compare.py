"""`rlbench compare`: compare what was scored, wherever it lies."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlbench.artifacts.files import explain_disk_errors, make_folder
from rlbench.artifacts.run_folder import environment
from rlbench.artifacts.sealing import remove, seal
from rlbench.comparison import compare
from rlbench.comparison.baseline import find_source
from rlbench.errors import InputError
from rlbench.rendering.report import Report
from rlbench.rendering.slice_text import render_slices
from rlbench.rendering.terminal import render_terminal
from rlbench.stages.report import DOWNLOADS, write_report
from rlbench.statistics import Estimand


def compare_sources(
    sources: Sequence[str],
    out: Path | None,
    estimand: Estimand | None,
    metrics: Sequence[str] | None,
    primary: str | None,
    margins: Sequence[str],
    confidence: float,
    replicates: int,
    slices: bool,
    store: Path,
) -> None:
    """Compare the sources, print the result and, if asked, write comparison.json and the report."""
    if out is not None and out.exists():
        raise InputError(f"{out}: exists already and is never overwritten; choose another --out")
    declared = [_margin(text) for text in margins]
    twice = [name for name, count in Counter(name for name, _ in declared).items() if count > 1]
    if twice:
        raise InputError(f"--margin: {twice[0]} is given twice; declare one margin for each metric")
    comparison = compare(
        [find_source(source, store) for source in sources],
        estimand=estimand,
        metrics=metrics,
        primary=primary,
        margin=dict(declared),
        confidence=confidence,
        replicates=replicates,
    ).document
    print(render_terminal(comparison))
    if slices:
        print(render_slices(comparison["slices"]))
    if out is None:
        return
    options = [*(("--estimand", estimand) if estimand else ()), *(("--primary", primary) if primary else ())]
    options += [word for name in metrics or () for word in ("--metric", name)]
    options += [word for margin in margins for word in ("--margin", margin)]
    options += ["--confidence", f"{confidence:g}"] if confidence != 0.95 else []
    options += ["--replicates", str(replicates)] if replicates != 10_000 else []
    options += ["--store", str(store)] if store != Path("baselines") else []
    reproduce = shlex.join(["rlbench", "compare", *sources, *options, "--out", str(out)])
    with explain_disk_errors(out):
        make_folder(out.parent)
        draft = out.parent / f".{out.name}.draft"
        remove(draft)
        draft.mkdir()
        write_report(draft, Report(comparison, environment=environment(), reproduce=reproduce, downloads=DOWNLOADS))
        inputs = {arm["name"]: arm["fingerprint"] for arm in comparison["arms"]}
        seal(draft, out, {"stage": "compare", "name": out.name, "inputs": inputs})
    print(f"Report: {out / 'index.html'}")


def _margin(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not name or not 0 <= number < float("inf"):
        raise InputError(f"--margin {text}: expected METRIC=NUMBER of zero or more, for example correctness=0.02")
    return name, number
