"""A table of finished text: what the HTML and the Markdown page both show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Tone = Literal["", "good", "bad", "warning", "best", "muted"]


@dataclass(frozen=True)
class Cell:
    """`text` and, smaller, `detail` and `extra`; `sort` is what a sortable column compares (None: the text)."""

    text: str
    detail: str = ""
    extra: str = ""
    sort: float | None = None
    tone: Tone = ""
    code: bool = False


@dataclass(frozen=True)
class Column:
    """A column's title, in a few words what it means, and whether it holds numbers."""

    title: str
    numeric: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """Rows have one cell a column; the first column names the row."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def without_constant(self, title: str) -> Table:
        """The table without the column of this title where all its rows say the same; used for the only task."""
        places = [index for index, column in enumerate(self.columns) if column.title == title]
        if not places or len({row[places[0]].text for row in self.rows}) > 1:
            return self
        keep = [index for index in range(len(self.columns)) if index != places[0]]
        rows = [[row[index] for index in keep] for row in self.rows]
        return replace(self, columns=[self.columns[index] for index in keep], rows=rows)


def numeric(*titles: str) -> list[Column]:
    """Columns of numbers."""
    return [Column(title, numeric=True) for title in titles]


def plain(*titles: str) -> list[Column]:
    """Columns of text."""
    return [Column(title) for title in titles]
