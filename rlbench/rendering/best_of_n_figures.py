"""What proxy and gold reward are worth when the proxy chooses the best of n completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.curve_figures import ROLES_HEIGHT, WIDTH, place_role
from rlbench.rendering.legend import draw_arm_legend
from rlbench.rendering.rewards import Curve, best_of_n_curves, rewards_of

APART = 0.02
"""Of the width, between neighbouring arms."""


def best_of_n_panels(comparison: Mapping[str, Any], task: str) -> str | None:
    """Proxy and gold against n, a line with its interval for every arm; None where nobody measured it."""
    rewards, curves = rewards_of(comparison, task), best_of_n_curves(comparison, task)
    if rewards is None or not curves:
        return None
    colours, markers = palette.arm_colours(comparison), palette.arm_markers(comparison)
    ticks = _ticks(max(int(curve[-1]["n"]) for curve in curves.values()))
    with svg.style():
        figure = svg.new_figure(WIDTH, ROLES_HEIGHT)
        for index, (role, name) in enumerate(rewards.named()):
            panel = place_role(figure, index, role, name)
            for place, (arm, curve) in enumerate(curves.items()):
                aside = ticks[-1] ** (APART * (place - (len(curves) - 1) / 2))
                _draw(panel, curve, role, (colours.get(arm, palette.NEUTRAL), markers.get(arm, "o")), aside, ticks)
            _frame(panel, ticks)
            if not index:
                panel.set_ylabel("expected reward", fontsize=8)
        draw_arm_legend(figure, comparison, curves)
        return svg.text_of(figure)


def _ticks(most: int) -> list[int]:
    """Powers of two, and the end unless one of them is close to it."""
    return [*(2**power for power in range(most.bit_length()) if 2**power < most / 1.3), most]


def _draw(axes: Axes, curve: Curve, role: str, style: tuple[str, str], aside: float, ticks: Sequence[int]) -> None:
    """A line through every n, moved aside so that arms do not hide each other, with intervals at the ticks."""
    colour, marker = style
    axes.plot([aside * row["n"] for row in curve], [row[role] for row in curve], color=colour, linewidth=1.1, zorder=3)
    for row in curve:
        if row["n"] in ticks:
            across, low, high = aside * row["n"], row.get(f"{role}_low"), row.get(f"{role}_high")
            axes.plot([across], [row[role]], marker, color=colour, markersize=4.5, markeredgewidth=0, zorder=4)
            if quantity.known(low) and quantity.known(high):
                axes.plot([across] * 2, [low, high], color=colour, linewidth=1.1, alpha=0.6, zorder=2)


def _frame(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_major_formatter(FixedFormatter([str(tick) for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("n, of which the proxy chooses the best", fontsize=8)
    axes.grid(axis="both")
    axes.tick_params(axis="y", labelcolor=palette.MUTED)
