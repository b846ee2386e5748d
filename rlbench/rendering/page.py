"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from rlbench.rendering import quantity, svg
from rlbench.rendering.figures import Drawing
from rlbench.rendering.findings import pointer
from rlbench.rendering.outcome import missing_runs, seed_words, unfinished_runs
from rlbench.rendering.pair import primary_metrics, tasks
from rlbench.rendering.report import Report
from rlbench.rendering.section import Item
from rlbench.rendering.sections import sections, verdict_items
from rlbench.rendering.text import label, plural, visible
from rlbench.rendering.verdict import is_ranked, lead_sentence


def render_html(report: Report, drawn: Sequence[Drawing]) -> str:
    """The whole page, with the figures of `drawings`.

    It loads nothing, and only the script whose hash its policy names may run.
    """
    environment = Environment(
        loader=PackageLoader("rlbench.rendering", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["figure"] = _figure
    environment.filters["is_file_name"] = is_file_name
    script = _template("page.js")
    return environment.get_template("page.html.j2").render(
        title=str(report.comparison.get("name") or "comparison"),
        policy=Markup(content_policy(script)),
        style=Markup(
            _template("page.css") + f"@media screen and (prefers-color-scheme: dark) {{{svg.dark_rules()}}}\n"
        ),
        script=Markup(script),
        data=Markup(embedded_json(embedded_data(report))),
        lead=lead_sentence(report.comparison),
        ranked=is_ranked(report.comparison),
        facts=facts(report.comparison),
        checks=checks(report.comparison),
        pointer=pointer(report.comparison),
        verdicts=verdict_items(report),
        sections=sections(report, drawn),
    )


def _template(name: str) -> str:
    return (resources.files("rlbench.rendering") / "templates" / name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Applied to everything the template prints: only text that we made ourselves keeps its invisible characters."""
    if isinstance(value, Markup):
        return value
    return "\n".join(map(visible, value.split("\n"))) if isinstance(value, str) else value


def _figure(drawing: Drawing) -> Markup:
    return Markup(svg.inline(drawing.svg, drawing.name, str(escape(drawing.title))))


def is_file_name(target: str) -> bool:
    """Whether a link may lead there: a plain relative path below the page."""
    return re.fullmatch(r"(?!/)(?!.*\.\.)[A-Za-z0-9._/-]+", target) is not None


def content_policy(script: str) -> str:
    """Nothing may be loaded; style may be inline; the one script is named by its hash."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded_data(report: Report) -> dict[str, Any]:
    """The numbers of the page, without the curves."""
    runs = [
        {"arm": run.arm, "task": run.task, "seed": run.seed, "status": run.outcome.status, "usage": run.usage}
        for run in report.runs
    ]
    return {"comparison": report.comparison, "definitions": report.definitions, "runs": runs}


def embedded_json(data: Any) -> str:
    """JSON that cannot end the element it stands in; a number that is not finite becomes null."""
    text = json.dumps(_finite(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str)
    return re.sub(r"[<>&\u2028\u2029]|[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def facts(comparison: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was compared, in a few names and values."""
    arms = comparison.get("arms") or ()
    primary = dict.fromkeys(
        str(metric["name"]) for task in tasks(comparison) for metric in primary_metrics(comparison, task)
    )
    found = [
        ("Arms", ", ".join(label(arm["name"]) for arm in arms)),
        ("Tasks", ", ".join(tasks(comparison))),
        ("Primary metric", ", ".join(primary)),
        ("Seeds", seed_words(comparison)),
        ("Claim", str(comparison.get("estimand_text") or comparison.get("estimand") or "")),
        ("Intervals", quantity.percent(float(comparison.get("confidence") or 0.95))),
    ]
    return [(name, value) for name, value in found if value]


def checks(comparison: Mapping[str, Any]) -> list[Item]:
    """Whether the comparison is fair, in words and colour."""
    found, budget, runs = [], comparison.get("budget"), comparison.get("runs") or ()
    if budget:
        passed = budget.get("passed", True)
        found.append(Item("Budgets match" if passed else "Budget audit failed", "", "good" if passed else "bad"))
    if runs:
        lost = len(unfinished_runs(comparison)) + len(missing_runs(comparison))
        total = len(runs) + len(missing_runs(comparison))
        words = f"{total - lost} of {plural(total, 'run')} finished"
        found.append(Item(words, "", "bad" if lost else "good"))
    if prints := comparison.get("fingerprints"):
        matched = all(row.get("match") for row in prints)
        found.append(Item("Inputs match" if matched else "Inputs differ", "", "good" if matched else "bad"))
    return found
