"""The checks as text for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlbench.conformance.axis import TOLERANCE, Check, Difference, Value, worst

HEADER = ("axis", "ours", "theirs", "verdict", "evidence")
SENTENCES = {
    "agrees": "conforms to our definitions",
    "differs": "differs from our definitions",
    "cannot tell": "cannot be judged against our definitions",
}


def render(trainer: str, version: str, checks: Sequence[Check]) -> str:
    """One table per algorithm, then the verdict over all of them."""
    blocks = [_block(trainer, version, check) for check in checks]
    blocks.append(f"{trainer} {version} {SENTENCES[worst(checks)]}.")
    return "\n\n".join(blocks) + "\n"


def _block(trainer: str, version: str, check: Check) -> str:
    rows = [HEADER, *((a.name, _shown(a.ours), _shown(a.theirs), a.verdict, a.evidence) for a in check.axes)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"{check.algorithm}: {trainer} {version}{_options(check.options)} against ours{_options(check.ours)}"]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True)]
        lines.append(("  " + "  ".join([*cells, row[4]])).rstrip())
    lines.append(f"  against ours: {_difference(check.against_ours)}")
    lines.append(f"  explained:    {_difference(check.explained)}{_explanation(check)}")
    if check.not_alike:
        lines.append(f"  cannot be set alike in ours: {', '.join(dict.fromkeys(check.not_alike))}")
    lines += [f"  note: {note}" for note in check.notes]
    return "\n".join(lines)


def _shown(value: Value) -> str:
    if value is None:
        return "?"
    return value if isinstance(value, str) else f"{value:g}"


def _options(options: Mapping[str, Any]) -> str:
    if not options:
        return " (defaults)"
    return " (" + ", ".join(f"{name}={value}" for name, value in options.items()) + ")"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "not computed"
    return f"loss {found.loss:.1e}, gradient {found.gradient:.1e} (relative)"


def _explanation(check: Check) -> str:
    if check.explained is not None and check.explained.negligible:
        return " with our axes set to what was measured"
    return f"; the axes do not explain their numbers to {TOLERANCE:g}: cannot tell"
