"""Scores with their intervals and one dot a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.pair import arms, metrics, scores
from rlbench.rendering.text import label, shortened, visible

WIDTH = 7.2
ROW = 0.34


def primary_panel(comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any]) -> str:
    """One row an arm on a primary metric, with the numbers written beside."""
    names = arms(comparison)
    height = ROW * len(names)
    with svg.style():
        figure = svg.new_figure(WIDTH, height + 0.85)
        left = _label_width(names)
        axes = svg.place(figure, left, 0.45, WIDTH - left - 1.75, height)
        _draw(axes, comparison, task, metric, names, write=True)
        axes.set_yticks(range(len(names)), [shortened(label(name)) for name in names])
        return svg.text_of(figure)


def secondary_panels(comparison: Mapping[str, Any], task: str) -> str | None:
    """Small panels, two a row, for every metric of the task that is not primary; None where there is none."""
    chosen = [metric for (owner, _), metric in metrics(comparison).items() if owner == task and not metric["primary"]]
    if not chosen:
        return None
    names = arms(comparison)
    rows, height, step = math.ceil(len(chosen) / 2), ROW * 0.72 * len(names), ROW * 0.72 * len(names) + 0.85
    with svg.style():
        figure = svg.new_figure(WIDTH, rows * step + 0.1)
        left = _label_width(names)
        width = (WIDTH - left - 0.55) / 2
        for index, metric in enumerate(chosen):
            across, down = index % 2, index // 2
            bottom = (rows - 1 - down) * step + 0.5
            axes = svg.place(figure, left + across * (width + 0.4), bottom, width, height)
            _draw(axes, comparison, task, metric, names, write=False)
            axes.set_yticks(range(len(names)), [shortened(label(name)) for name in names] if across == 0 else [])
        return svg.text_of(figure)


def _label_width(names: Sequence[str]) -> float:
    return min(2.4, 0.35 + 0.085 * max((len(shortened(label(name))) for name in names), default=4))


def _draw(
    axes: Axes, comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any], names: Sequence[str], write: bool
) -> None:
    unit, by_name = str(metric.get("unit") or ""), scores(comparison)
    colours, factor = palette.arm_colours(comparison), quantity.scale(unit)
    for row, name in enumerate(names):
        score = by_name.get((name, task, metric["name"]), {})
        if row % 2 == 0:
            axes.axhspan(row - 0.5, row + 0.5, color=palette.BAND, linewidth=0, zorder=0)
        _draw_score(axes, row, score, colours[name], factor, 1.0 if write else 0.75)
        if write:
            _write(axes, row, score, unit)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.margins(x=0.06)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6 if write else 4))
    axes.set_title(f"{visible(str(metric['name']))}", x=0)
    axes.set_xlabel(axis_words(metric), fontsize=8)


def axis_words(metric: Mapping[str, Any]) -> str:
    """The unit and the direction of a metric, for an axis."""
    unit = visible(quantity.level_unit(str(metric.get("unit") or "")))
    better = metric.get("higher_is_better")
    direction = "no good direction" if better is None else "higher is better →" if better else "← lower is better"
    return f"{unit}, {direction}" if unit else direction


def _draw_score(axes: Axes, row: int, score: Mapping[str, Any], colour: str, factor: float, size: float) -> None:
    dots = [factor * value for value in score.get("by_seed") or () if quantity.known(value)]
    axes.plot(dots, [row + 0.24] * len(dots), "o", color=colour, markersize=3.4 * size, alpha=0.55, markeredgewidth=0)
    low, high, value = score.get("low"), score.get("high"), score.get("value")
    if quantity.known(low) and quantity.known(high):
        axes.plot(
            [factor * low, factor * high], [row - 0.04] * 2, color=colour, linewidth=3.2 * size, solid_capstyle="butt"
        )
    if quantity.known(value):
        axes.plot([factor * value], [row - 0.04], "D", color=colour, markersize=6.2 * size, markeredgewidth=0)


def _write(axes: Axes, row: int, score: Mapping[str, Any], unit: str) -> None:
    value, low, high = score.get("value"), score.get("low"), score.get("high")
    places, put = quantity.decimals([value, low, high], unit), axes.get_yaxis_transform()
    shown = quantity.number(value, unit, places)
    width = svg.width_of(axes)
    axes.text(1 + 0.52 / width, row, shown, transform=put, ha="right", va="center", fontweight="bold", fontsize=9)
    axes.text(
        1 + 0.6 / width,
        row,
        quantity.interval(low, high, unit, places),
        transform=put,
        ha="left",
        va="center",
        color=palette.MUTED,
        fontsize=8.5,
    )
