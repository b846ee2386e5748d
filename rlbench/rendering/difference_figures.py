"""The forest plot of paired differences: interval, simultaneous interval and adjusted p of every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.pair import Pair, pairs
from rlbench.rendering.text import label, shortened, visible

WIDTH = 7.2
ROW = 0.29
SYMBOL = {"decided": "D", "survivors only": "x"}


def difference_panel(comparison: Mapping[str, Any], task: str, metric: Mapping[str, Any]) -> str | None:
    """One row a pair, the difference b - a as recorded; None where there is no pair."""
    chosen = [p for p in pairs(comparison) if p.task == task and p.metric["name"] == metric["name"]]
    if not chosen:
        return None
    height = ROW * len(chosen)
    with svg.style():
        figure = svg.new_figure(WIDTH, height + 0.95)
        names = [_pair_name(pair) for pair in chosen]
        left = min(3.0, 0.3 + 0.082 * max(len(name) for name in names))
        axes = svg.place(figure, left, 0.6, WIDTH - left - 2.3, height)
        colours = palette.arm_colours(comparison)
        for row, pair in enumerate(chosen):
            _draw(axes, row, pair, colours)
        _frame(axes, names, metric)
        return svg.text_of(figure)


def _pair_name(pair: Pair) -> str:
    return f"{shortened(label(pair.b), 16)} − {shortened(label(pair.a), 16)}"


def _frame(axes: Axes, names: Sequence[str], metric: Mapping[str, Any]) -> None:
    unit, better = str(metric.get("unit") or ""), metric.get("higher_is_better")
    axes.axvline(0, color=palette.INK, linewidth=1)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), list(names))
    axes.margins(x=0.05)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    words = f"difference of {visible(str(metric['name']))}, {visible(quantity.difference_unit(unit)) or 'as measured'}"
    axes.set_xlabel(words, fontsize=8)
    put = axes.get_yaxis_transform()
    if better is not None:
        left, right = ("second", "first") if better else ("first", "second")
        up = len(names) - 0.5 + 0.5 / ROW
        axes.text(0.0, up, f"← {left} is better", transform=put, ha="left", color=palette.MUTED, fontsize=8)
        axes.text(1.0, up, f"{right} is better →", transform=put, ha="right", color=palette.MUTED, fontsize=8)
    right_edge = 1 + 2.1 / svg.width_of(axes)
    axes.text(
        right_edge, -0.85, "adjusted p", transform=put, ha="right", va="center", color=palette.MUTED, fontsize=7.5
    )


def _draw(axes: Axes, row: int, pair: Pair, colours: Mapping[str, str]) -> None:
    factor, estimate = quantity.scale(pair.unit), pair.estimate
    colour = colours.get(pair.ahead, palette.NEUTRAL) if pair.standing == "decided" else palette.MUTED
    if pair.standing == "decided" and colour == palette.NEUTRAL:
        colour = palette.INK
    if row % 2 == 0:
        axes.axhspan(row - 0.5, row + 0.5, color=palette.BAND, linewidth=0, zorder=0)
    for low, high, width in (("simultaneous_low", "simultaneous_high", 1.0), ("low", "high", 3.2)):
        if quantity.known(estimate.get(low)) and quantity.known(estimate.get(high)):
            ends = [factor * estimate[low], factor * estimate[high]]
            axes.plot(ends, [row, row], color=colour, linewidth=width, solid_capstyle="butt", zorder=3)
            if width == 1.0:
                axes.plot(ends, [row, row], "|", color=colour, markersize=6, markeredgewidth=1, zorder=3)
    if quantity.known(estimate.get("value")):
        mark = SYMBOL.get(pair.standing, "o")
        edge = 1.6 if mark == "x" else 0.0
        axes.plot([factor * estimate["value"]], [row], mark, color=colour, markersize=6, markeredgewidth=edge, zorder=4)
    _write(axes, row, pair)


def _write(axes: Axes, row: int, pair: Pair) -> None:
    estimate, put = pair.estimate, axes.get_yaxis_transform()
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    shown = quantity.with_interval(value, low, high, pair.unit, signed=True)
    last = "survivors" if pair.standing == "survivors only" else quantity.probability(estimate.get("p_adjusted"))
    weight = "bold" if pair.standing == "decided" else "normal"
    ink = palette.INK if pair.standing == "decided" else palette.MUTED
    width = svg.width_of(axes)
    axes.text(1 + 0.1 / width, row, shown, transform=put, ha="left", va="center", color=ink, fontsize=8.5)
    axes.text(
        1 + 2.1 / width, row, last, transform=put, ha="right", va="center", color=ink, fontsize=8.5, fontweight=weight
    )
