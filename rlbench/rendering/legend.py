"""The legend above the panels of a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rlbench.rendering import palette
from rlbench.rendering.text import label, shortened


def draw_arm_legend(
    figure: Figure, comparison: Mapping[str, Any], arms: Iterable[str], extra: Iterable[Line2D] = ()
) -> None:
    """Name the arms by colour and marker, each once, and then what `extra` explains."""
    colours, markers = palette.arm_colours(comparison), palette.arm_markers(comparison)
    handles = [
        Line2D(
            [],
            [],
            color=colours.get(arm, palette.NEUTRAL),
            marker=markers.get(arm, "o"),
            label=shortened(label(arm)),
            markersize=5,
        )
        for arm in dict.fromkeys(arms)
    ]
    handles += extra
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.07, 1.0),
        ncols=min(len(handles), 6),
        fontsize=8.5,
        handlelength=1.6,
        columnspacing=1.6,
    )
