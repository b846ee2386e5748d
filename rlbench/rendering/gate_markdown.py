"""The verdict of a regression gate as Markdown, for the job summary of a CI run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlbench.rendering.gate_text import Line, gate_heading, gate_lines, gate_mismatches, gate_sentence
from rlbench.rendering.markdown import escaped

_AUTOLINK = re.compile(r"(www)(\.)", re.IGNORECASE)
_SIGNS = {"pass": "✅", "regressed": "❌", "inconclusive": "❔"}


def render_gate_markdown(regression: Mapping[str, Any]) -> str:
    """Heading, sentence, table of verdicts, remarks and mismatches. Names show as they are and do nothing else."""
    lines = gate_lines(regression)
    sign = _SIGNS[regression["verdict"]]
    parts = [f"## {sign} rlbench regress: {regression['verdict']}", "", _shown(gate_sentence(regression)), ""]
    parts += [_shown(gate_heading(regression)), ""]
    parts += [_row("verdict", "task", "arm", "metric", "baseline → candidate", "difference", "margin", "p, Holm")]
    parts += [_row(*["---"] * 8), *(_line(line) for line in lines), ""]
    remarks = [
        f"- {_shown(line.metric)} on {_shown(line.task)}: {_shown(text)}" for line in lines for text in line.remarks
    ]
    if remarks:
        parts += ["**Remarks**", "", *remarks, ""]
    if mismatches := gate_mismatches(regression):
        parts += ["**What does not match**", "", *(f"- {_shown(text)}" for text in mismatches), ""]
    parts.append(
        "The difference is candidate minus baseline with its 90 % interval. It passes where the interval lies within "
        "the margin, and has regressed where the Holm-adjusted p of staying within it is at most .05."
    )
    return "\n".join(parts) + "\n"


def _line(line: Line) -> str:
    verdict = line.verdict if line.passed else f"**{line.verdict}**"
    cells = (line.task, line.arm, line.metric, line.levels, line.difference, line.margin, line.chance)
    return _row(verdict, *map(_shown, cells))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(text: str) -> str:
    """Escaped, and without the links that GitHub makes of bare words."""
    return _AUTOLINK.sub("\\1\u2060\\2", escaped(text))
