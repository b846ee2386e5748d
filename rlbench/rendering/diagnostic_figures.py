"""Training diagnostics as small multiples: one panel each, every seed a thin line through what was measured."""

from __future__ import annotations

from matplotlib.ticker import MaxNLocator

from rlbench.rendering import svg
from rlbench.rendering.curve_figures import WIDTH, draw_legend, draw_lines, points
from rlbench.rendering.report import Report

PANELS = {
    "kl_nats": "KL to SFT, nats a completion",
    "entropy": "entropy, nats per token",
    "clip_fraction": "clip fraction",
    "zero_variance_groups": "groups of equal rewards",
    "truncated_fraction": "truncated fraction",
    "length_mean": "mean length, tokens",
}
SHARES = frozenset({"clip_fraction", "zero_variance_groups", "truncated_fraction"})
ACROSS = 3
HEIGHT, STEP = 1.25, 1.85


def diagnostic_panels(report: Report, task: str) -> str | None:
    """What was logged against completions; None where nothing was. A panel without any value is left out."""
    runs = [run for run in report.runs if run.task == task and run.curve]
    names = [name for name in PANELS if any(points(run, "completions", name) for run in runs)]
    if not names:
        return None
    rows = -(-len(names) // ACROSS)
    with svg.style():
        figure = svg.new_figure(WIDTH, rows * STEP + 0.45)
        for place, name in enumerate(names):
            row, column = divmod(place, ACROSS)
            panel = svg.place(figure, 0.5 + column * 2.34, 0.45 + (rows - 1 - row) * STEP, 1.76, HEIGHT)
            draw_lines(panel, report, runs, "completions", name, dots=False)
            panel.set_title(PANELS[name], fontsize=8.5, pad=5)
            panel.xaxis.set_major_locator(MaxNLocator(3))
            panel.yaxis.set_major_locator(MaxNLocator(4))
            panel.tick_params(axis="y", labelsize=8)
            if name in SHARES:
                panel.set_ylim(-0.04, 1.04)
                panel.set_yticks([0.0, 0.5, 1.0])
            if place + ACROSS >= len(names):
                panel.set_xlabel("completions", fontsize=8)
        draw_legend(figure, report, runs)
        return svg.text_of(figure)
