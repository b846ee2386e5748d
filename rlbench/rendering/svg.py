"""Figures as SVG text: the same input gives the same bytes, and the colours follow a light or a dark page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from rlbench.rendering import palette

RC: dict[Any, Any] = {
    "svg.hashsalt": "rlbench",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": palette.INK,
    "axes.labelcolor": palette.MUTED,
    "axes.edgecolor": palette.GRID,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "grid.color": palette.GRID,
    "grid.linewidth": 0.8,
    "xtick.color": palette.GRID,
    "ytick.color": palette.GRID,
    "xtick.labelcolor": palette.MUTED,
    "ytick.labelcolor": palette.INK,
    "xtick.labelsize": 8.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "legend.frameon": False,
    "path.simplify": True,
}


@contextmanager
def style() -> Iterator[None]:
    """The drawing settings, for everything that is built and saved inside."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window and no global state."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    return figure


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches from the lower left corner."""
    total_width, total_height = figure.get_size_inches()
    return figure.add_axes((left / total_width, bottom / total_height, width / total_width, height / total_height))


def width_of(axes: Axes) -> float:
    """The width of axes in inches, for text that stands beside them."""
    figure = axes.get_figure(root=True)
    return float(axes.get_position().width * figure.get_size_inches()[0]) if figure is not None else 1.0


def text_of(figure: Figure) -> str:
    """The figure as a standalone SVG document."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", lambda _: f"<style>{style_sheet()}</style>", text, count=1)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def style_sheet() -> str:
    """What a standalone file carries: joined lines, the reader's own font and the dark colours."""
    base = "svg *{stroke-linejoin:round;stroke-linecap:butt}svg text{font-family:system-ui,'DejaVu Sans',sans-serif}"
    return f"{base}@media screen and (prefers-color-scheme:dark){{{dark_rules()}}}"


def dark_rules() -> str:
    """Rules that swap every colour of the palette for its twin on dark paper."""
    return "".join(
        f'svg [style*="{kind}: {light}"]{{{kind}:{dark}}}'.replace("}", " !important}")
        for light, dark in palette.DARK.items()
        for kind in ("fill", "stroke")
    )


def inline(svg: str, name: str, description: str) -> str:
    """A saved figure as an element of an HTML page: scalable, named, and with ids that no other figure has."""
    body = svg[svg.index("<svg") :]
    opening, rest = body.split(">", 1)
    view = re.search(r'viewBox="([^"]*)"', opening)
    box = view.group(1) if view else "0 0 100 100"
    rest = re.sub(r"<style>.*?</style>", "", rest, count=1)
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = rest.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    width = box.split()[2]
    return (
        f'<svg class="figure" viewBox="{box}" style="max-width:{width}pt" role="img" aria-label="{description}">{rest}'
    )
