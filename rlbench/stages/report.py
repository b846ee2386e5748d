"""Renders a comparison: one self-contained page, the same in Markdown with its figures, and the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.artifacts.call import Call
from rlbench.artifacts.files import read_json, read_jsonl, write_json
from rlbench.artifacts.sealing import MANIFEST
from rlbench.records import Outcome
from rlbench.rendering.figures import drawings
from rlbench.rendering.markdown import render_markdown
from rlbench.rendering.page import render_html
from rlbench.rendering.report import Report, RunRecord

VERSION = 4
FIGURES = "figures"
DOWNLOADS = {
    "comparison (JSON)": "comparison.json",
    "differences (CSV)": "estimates.csv",
    "scores (CSV)": "scores.csv",
    "slices (CSV)": "slices.csv",
}


def run(call: Call) -> Mapping[str, Any]:
    """Write the report of an experiment."""
    comparison = read_json(call.input("comparison") / "comparison.json")
    runs = []
    definitions: dict[str, Mapping[str, Any]] = {}
    environment: dict[str, str] = {}
    for row in comparison["runs"]:
        role = f"train/{row['task']}/{row['arm']}/{row['seed']}"
        outcome = Outcome(row["status"], row["detail"], row["step"])
        if role not in call.identity.inputs:
            runs.append(RunRecord(row["arm"], row["task"], row["seed"], outcome))
            continue
        folder = call.input(role)
        manifest = read_json(folder / MANIFEST)
        definitions[row["arm"]] = {"algorithm": manifest["config"]["algorithm"], **manifest["config"]["options"]}
        environment |= manifest["environment"] | {"device": manifest["device"]}
        usage = read_json(folder / "usage.json")
        curve = read_jsonl(folder / "metrics.jsonl")
        runs.append(RunRecord(row["arm"], row["task"], row["seed"], outcome, curve, usage))
    write_report(call.out, Report(comparison, runs, definitions, environment, call.circumstances.reproduce, DOWNLOADS))
    return {}


def write_report(folder: Path, report: Report) -> None:
    """Write index.html, report.md with its figures, comparison.json and the CSV files into `folder`."""
    drawn = drawings(report)
    (folder / FIGURES).mkdir()
    for drawing in drawn:
        (folder / FIGURES / f"{drawing.name}.svg").write_text(drawing.svg, encoding="utf-8")
    (folder / "index.html").write_text(render_html(report, drawn), encoding="utf-8")
    (folder / "report.md").write_text(render_markdown(report, drawn, FIGURES), encoding="utf-8")
    write_json(folder / "comparison.json", report.comparison)
    for key in ("estimates", "scores", "slices"):
        _frame(report.comparison.get(key, [])).to_csv(folder / f"{key}.csv", index=False)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame in which no text can be taken for a spreadsheet formula."""
    frame = pd.DataFrame(rows)
    for name in frame.columns:
        frame[name] = [_harmless(value) for value in frame[name]]
    return frame


def _harmless(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
