"""How often a reward model is right on held-out pairs, and whether it is as sure as it is right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from rlbench.rendering import palette, quantity, svg

WIDTH, HEIGHT = 7.2, 3.3


def reward_model_panels(comparison: Mapping[str, Any], task: str) -> str | None:
    """Calibration on the left; on the right the accuracy of the ensemble and of each member, with intervals.

    None where no reward model was trained.
    """
    model = next((row for row in comparison.get("reward_models") or () if row["task"] == task), None)
    if model is None:
        return None
    members = model.get("members") or ()
    with svg.style():
        figure = svg.new_figure(WIDTH, HEIGHT)
        _calibration(svg.place(figure, 0.62, 0.5, 2.85, 2.4), model.get("calibration") or ())
        rows = [("all members" if len(members) > 1 else "reward model", model)]
        rows += [(f"member {place}", member) for place, member in enumerate(members)] if len(members) > 1 else []
        height = min(2.4, 0.34 * len(rows))
        _accuracies(svg.place(figure, 4.72, 2.9 - height, 2.2, height), rows)
        return svg.text_of(figure)


def _calibration(axes: Axes, bins: Sequence[Mapping[str, Any]]) -> None:
    axes.plot([50, 100], [50, 100], color=palette.MUTED, linewidth=1, linestyle="--", zorder=1)
    most = max((row["count"] for row in bins), default=1)
    for row in bins:
        across, size = 100 * float(row["predicted"]), 3.0 + 6.0 * math.sqrt(row["count"] / most)
        axes.plot([across] * 2, [100 * row["low"], 100 * row["high"]], color=palette.ARMS[0], linewidth=1.4, zorder=2)
        axes.plot([across], [100 * row["observed"]], "o", color=palette.ARMS[0], markersize=size, markeredgewidth=0)
    axes.set_title("calibration; larger: more pairs", fontsize=8.5, pad=5)
    axes.set_xlabel("predicted: how sure of its choice, %", fontsize=8)
    axes.set_ylabel("observed: how often right, %", fontsize=8)
    axes.set_xlim(49, 101)
    axes.set_ylim(-3, 103)
    axes.grid(axis="both")
    axes.tick_params(axis="y", labelcolor=palette.MUTED)


def _accuracies(axes: Axes, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    for row, (_, share) in enumerate(rows):
        value = share.get("accuracy", share.get("value"))
        ends, colour = [100 * share["low"], 100 * share["high"]], palette.ARMS[0] if row == 0 else palette.MUTED
        axes.plot(ends, [row, row], color=colour, linewidth=3.2 if row == 0 else 2, solid_capstyle="butt")
        if quantity.known(value):
            axes.plot([100 * value], [row], "D", color=colour, markersize=6 if row == 0 else 4.5, markeredgewidth=0)
    axes.axvline(50, color=palette.INK, linewidth=1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_title("accuracy on held-out pairs", fontsize=8.5, pad=5)
    axes.set_xlabel("%; the line at 50 is guessing", fontsize=8)
    axes.margins(x=0.08)
    axes.grid(axis="x")
