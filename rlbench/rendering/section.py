"""A section of a report: what the HTML and the Markdown page both walk through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rlbench.rendering.figures import Drawing
from rlbench.rendering.table import Table, Tone


@dataclass(frozen=True)
class Item:
    """A line of a list; `mark` says in a word what kind of line it is."""

    text: str
    mark: str = ""
    tone: Tone = ""
    subject: str = ""
    """Whom the line is about, shown before it."""


@dataclass(frozen=True)
class Section:
    """One section. `folded` tables and drawings hold detail: closed at first in HTML, left out in Markdown.

    `code` is shown as it is; `links` maps a label to a file name beside the page.
    """

    anchor: str
    title: str
    paragraphs: Sequence[str] = ()
    items: Sequence[Item] = ()
    drawings: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    folded_drawings: Sequence[Drawing] = ()
    code: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
