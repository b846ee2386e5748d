"""The forest plot of slices: differences between arms in every group of prompts, under those of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.legend import draw_arm_legend
from rlbench.rendering.slice_lines import Line, Row, slice_lines
from rlbench.rendering.text import label, shortened, visible

WIDTH = 7.2
LEAST, EACH = 0.2, 0.09
"""Height of a line, and what every further arm adds to it, in inches."""


def slice_panel(comparison: Mapping[str, Any], task: str) -> str | None:
    """One line a group of prompts, the slices under headings; None where the task has no slices."""
    lines = slice_lines(comparison, task)
    if not lines:
        return None
    arms = list(dict.fromkeys(arm for line in lines for arm in line.rows))
    step = LEAST + EACH * (len(arms) - 1)
    places, headings, height = _places(lines, step)
    names = [_name(line) for line in lines]
    alpha = round(1 - float(comparison.get("confidence") or 0.95), 12)
    with svg.style():
        top = 0.35 if len(arms) > 1 else 0.1
        figure = svg.new_figure(WIDTH, height + 0.6 + top)
        left = min(2.8, 0.35 + 0.078 * max(map(len, [*names, *headings.values()])))
        axes = svg.place(figure, left, 0.6, WIDTH - left - 0.25, height)
        for place, line in zip(places, lines, strict=True):
            axes.axhspan(place - 0.47 * step, place + 0.47 * step, color=palette.BAND, linewidth=0, zorder=0)
            for index, arm in enumerate(arms):
                if arm in line.rows:
                    aside = EACH * (index - (len(arms) - 1) / 2)
                    _draw(axes, place + aside, line.rows[arm], _style(comparison, arm), alpha)
        _frame(axes, list(zip(places, names, strict=True)), headings)
        axes.set_ylim(height, 0)
        axes.set_xlabel(_axis_words(lines), fontsize=8)
        if len(arms) > 1:
            draw_arm_legend(figure, comparison, arms)
        return svg.text_of(figure)


def _places(lines: Sequence[Line], step: float) -> tuple[list[float], dict[float, str], float]:
    """The middle of every line and of the heading over every slice, and where they end, in inches from the top."""
    places: list[float] = []
    headings: dict[float, str] = {}
    end, before = 0.0, ""
    for line in lines:
        if line.slice != before:
            headings[end + LEAST / 2] = shortened(visible(line.slice), 28)
            end, before = end + LEAST, line.slice
        places.append(end + step / 2)
        end += step
    return places, headings, end


def _name(line: Line) -> str:
    return f"{shortened(visible(line.group), 26) if line.slice else 'all prompts'} ({line.prompts:,})"


def _style(comparison: Mapping[str, Any], arm: str) -> tuple[str, str]:
    colour = palette.arm_colours(comparison).get(arm, palette.NEUTRAL)
    return colour, palette.arm_markers(comparison).get(arm, "o")


def _draw(axes: Axes, height: float, row: Row, style: tuple[str, str], alpha: float) -> None:
    """The interval and the value: filled where it is decided, hollow where it is not, nothing where it is unknown."""
    (colour, marker), factor = style, quantity.scale(str(row.get("unit") or ""))
    value, low, high, p_value = (row.get(name) for name in ("value", "low", "high", "p_adjusted"))
    if quantity.known(low) and quantity.known(high):
        axes.plot([factor * low, factor * high], [height] * 2, color=colour, linewidth=1.6, zorder=3)
    if quantity.known(value):
        decided = quantity.known(p_value) and p_value < alpha
        ink = colour if decided else palette.BAND
        axes.plot(
            [factor * value], [height], marker, markersize=5, color=ink, markeredgecolor=colour, markeredgewidth=1.2,
            zorder=4,
        )  # fmt: skip


def _frame(axes: Axes, names: Sequence[tuple[float, str]], headings: Mapping[float, str]) -> None:
    axes.axvline(0, color=palette.INK, linewidth=1)
    ticks = sorted([*names, *headings.items()])
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    for tick, (place, _) in zip(axes.get_yticklabels(), ticks, strict=True):
        tick.set_fontweight("bold" if place in headings else "normal")
    axes.margins(x=0.05)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _axis_words(lines: Sequence[Line]) -> str:
    rows = [row for line in lines for row in line.rows.values()]
    earlier = {str(row["a"]) for row in rows}
    unit, better = str(rows[0].get("unit") or ""), rows[0].get("higher_is_better")
    origin = label(earlier.pop()) if len(earlier) == 1 else "the earlier arm"
    words = f"{visible(str(rows[0]['metric']))}: difference from {shortened(origin)}"
    direction = "" if better is None else ", higher is better" if better else ", lower is better"
    return f"{words}, {visible(quantity.difference_unit(unit)) or 'as measured'}{direction}"
