"""The report in short as Markdown, with its figures beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rlbench.rendering.figures import Drawing
from rlbench.rendering.findings import pointer
from rlbench.rendering.page import checks, facts, is_file_name
from rlbench.rendering.report import Report
from rlbench.rendering.section import Item, Section
from rlbench.rendering.sections import sections, verdict_items
from rlbench.rendering.table import Cell, Table
from rlbench.rendering.text import visible
from rlbench.rendering.verdict import lead_sentence

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render_markdown(report: Report, drawn: Sequence[Drawing], folder: str) -> str:
    """The same sections as the page without its folded detail.

    The figures `drawn` are linked as `<folder>/<name>.svg`, relative to the Markdown file.
    """
    comparison = report.comparison
    name = str(comparison.get("name") or "comparison")
    lines = [f"# {escaped(name)}", "", f"**{escaped(lead_sentence(comparison))}**", ""]
    found = [f"{key}: {escaped(value)}" for key, value in facts(comparison)]
    lines += [" · ".join([*found, *(f"{_sign(item)} {item.text}" for item in checks(comparison))]), ""]
    lines += [*(f"- {escaped(item.text)}" for item in verdict_items(report)), ""]
    lines += [f"[{escaped(item.text)}](#findings)\n" for item in pointer(comparison)]
    for section in sections(report, drawn):
        lines += _section(section, folder)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def escaped(text: str) -> str:
    """`text` as Markdown that shows it and does nothing else."""
    shown = "".join(ENTITIES.get(character, character) for character in visible(text))
    shown = re.sub(r"([\\`*_|~$#])", r"\\\1", shown)
    return shown.replace("](", "]\\(").replace("://", ":\u2060//").replace("![", "!\\[")


def _sign(item: Item) -> str:
    return "✗" if item.tone == "bad" else "✓"


def _item(item: Item) -> str:
    parts = [escaped(item.mark), f"**{escaped(item.subject)}**" if item.subject else "", escaped(item.text)]
    return "- " + ": ".join(part for part in parts if part)


def _section(section: Section, folder: str) -> Iterator[str]:
    yield from (f"## {section.title}", "")
    for paragraph in section.paragraphs:
        yield from (escaped(paragraph), "")
    yield from map(_item, section.items)
    yield ""
    for drawing in section.drawings:
        yield from (f"![{_bracketed(drawing.title)}](<{folder}/{drawing.name}.svg>)", "")
    for table in section.tables:
        yield from _table(table, named=len(section.tables) > 1)
    if section.code:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", section.code)), default=0))
        yield from (fence, section.code, fence, "")
    for name, target in section.links.items():
        yield f"- [{_bracketed(name)}](<{target}>)" if is_file_name(target) else f"- {escaped(name)}: {escaped(target)}"
    yield ""


def _bracketed(text: str) -> str:
    return escaped(text).replace("[", "\\[").replace("]", "\\]")


def _table(table: Table, named: bool) -> Iterator[str]:
    if named:
        yield from (f"### {escaped(table.title)}", "")
    yield _row([escaped(column.title) for column in table.columns])
    yield _row(["---:" if column.numeric else "---" for column in table.columns])
    for row in table.rows:
        yield _row([_cell(cell) for cell in row])
    yield from ("", escaped(table.note), "")


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.tone == "best" and cell.text else escaped(cell.text)
    return "<br>".join(word for word in (text, escaped(cell.detail), escaped(cell.extra)) if word)
