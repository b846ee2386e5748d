"""`rlbench regress`: judge a candidate against a baseline by a gate."""

from __future__ import annotations

import json as json_text
import os
import sys
from pathlib import Path
from typing import Any

from rlbench.artifacts.files import explain_disk_errors, make_folder, write_json
from rlbench.artifacts.run_folder import environment
from rlbench.artifacts.sealing import remove, seal
from rlbench.comparison.baseline import find_source
from rlbench.comparison.gate import read_gate, template
from rlbench.comparison.regression import judge
from rlbench.comparison.sources import read_source
from rlbench.errors import InputError
from rlbench.rendering.gate_junit import render_gate_junit
from rlbench.rendering.gate_markdown import render_gate_markdown
from rlbench.rendering.gate_text import render_gate

JOB_SUMMARY = "GITHUB_STEP_SUMMARY"


def regress(
    baseline: str,
    candidate: str | None,
    gate: Path | None,
    out: Path | None,
    junit: Path | None,
    summary: Path | None,
    json: Path | None,
    store: Path,
) -> int:
    """Print the verdicts, write what was asked for, and return the exit code: 0 pass, 1 regressed, 3 inconclusive.

    Without a gate a template for one is printed instead, for which no candidate is needed.

    Raises:
        InputError: a folder, name or gate is wrong, no gate or candidate was given, or a file cannot be written.
    """
    if out is not None and out.exists():
        raise InputError(f"{out}: exists already and is never overwritten; choose another --out")
    checked = read_gate(gate) if gate else None
    old = read_source(find_source(baseline, store))
    if checked is None:
        print(template(old), end="")
        sys.stdout.flush()
        raise InputError(
            "regress: expected --gate gate.yaml: a margin has to be declared before the candidate is looked at; a "
            "template for the baseline is printed above: keep what you can tolerate"
        )
    if candidate is None:
        raise InputError("regress: expected --candidate: the run, score folder or saved baseline to judge")
    new = read_source(find_source(candidate, store))
    sources = {"baseline": baseline, "candidate": candidate, "gate": str(gate)}
    regression = judge(old, new, checked) | {"sources": sources}
    print(render_gate(regression), end="")
    markdown = render_gate_markdown(regression)
    if out is not None:
        _seal(out, regression, markdown)
        print(f"\nWritten: {out / 'regression.json'}")
    if json is not None:
        text = json_text.dumps(regression, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        _write("--json", json, text)
    if junit is not None:
        _write("--junit", junit, render_gate_junit(regression))
    if summary is not None:
        _write("--summary", summary, markdown)
    if job := os.environ.get(JOB_SUMMARY):
        _write(f"${JOB_SUMMARY}", Path(job), markdown, append=True)
    return int(regression["exit_code"])


def _seal(out: Path, regression: dict[str, Any], markdown: str) -> None:
    with explain_disk_errors(out):
        make_folder(out.parent)
        draft = out.parent / f".{out.name}.draft"
        remove(draft)
        draft.mkdir()
        write_json(draft / "regression.json", regression)
        (draft / "summary.md").write_text(markdown, encoding="utf-8")
        (draft / "junit.xml").write_text(render_gate_junit(regression), encoding="utf-8")
        inputs = {side: sorted({arm["fingerprint"] for arm in regression[side]}) for side in ("baseline", "candidate")}
        seal(draft, out, {"stage": "regress", "name": out.name, "inputs": inputs, "environment": environment()})


def _write(option: str, path: Path, text: str, *, append: bool = False) -> None:
    try:
        with path.open("a" if append else "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be written: {error.strerror}; name a file in a folder") from error
