"""What proxy and gold reward are worth when the proxy chooses the best of n completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.curve_figures import WIDTH, place_role
from rlbench.rendering.legend import draw_arm_legend
from rlbench.rendering.rewards import Curve, best_of_n_curves, rewards_of

HEIGHT = 3.2


def best_of_n_panels(comparison: Mapping[str, Any], task: str) -> str | None:
    """Proxy and gold against n, a line with its interval for every arm; None where nobody measured it."""
    rewards, curves = rewards_of(comparison, task), best_of_n_curves(comparison, task)
    if rewards is None or not curves:
        return None
    with svg.style():
        figure = svg.new_figure(WIDTH, HEIGHT)
        for index, (role, name) in enumerate(rewards.named()):
            panel = place_role(figure, index, role, name)
            for arm, curve in curves.items():
                _draw(panel, curve, role, arm, comparison)
            _frame(panel, max(int(curve[-1]["n"]) for curve in curves.values()))
            if not index:
                panel.set_ylabel("expected reward", fontsize=8)
        draw_arm_legend(figure, comparison, curves)
        return svg.text_of(figure)


def _draw(axes: Axes, curve: Curve, role: str, arm: str, comparison: Mapping[str, Any]) -> None:
    colour = palette.arm_colours(comparison).get(arm, palette.NEUTRAL)
    marker = palette.arm_markers(comparison).get(arm, "o")
    numbers, values = [int(row["n"]) for row in curve], [float(row[role]) for row in curve]
    axes.plot(numbers, values, color=colour, linewidth=1.3, marker=marker, markersize=4, markeredgewidth=0, zorder=3)
    known = [row for row in curve if quantity.known(row.get(f"{role}_low")) and quantity.known(row.get(f"{role}_high"))]
    low, high = ([float(row[f"{role}_{end}"]) for row in known] for end in ("low", "high"))
    axes.fill_between([int(row["n"]) for row in known], low, high, color=colour, alpha=0.13, linewidth=0, zorder=2)


def _frame(axes: Axes, most: int) -> None:
    """A logarithmic axis of n with its powers of two and its end."""
    powers = [2**power for power in range(most.bit_length()) if 2**power == most or 2**power < most / 1.3]
    ticks = sorted({*powers, most})
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([str(tick) for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("n, of which the proxy chooses the best", fontsize=8)
    axes.grid(axis="both")
    axes.tick_params(axis="y", labelcolor=palette.MUTED)
