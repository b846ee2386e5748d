"""Where the seconds of a run went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.report import Report, RunRecord
from rlbench.rendering.text import label, shortened, visible

WIDTH = 7.2
ROW = 0.34
SHADES = (0.95, 0.7, 0.5, 0.33, 0.2, 0.1)


def phase_bars(report: Report, task: str) -> str | None:
    """Seconds by phase, the mean over the seeds of an arm; None where no phases were metered."""
    totals = {arm: phase_seconds(runs) for arm, runs in runs_of(report, task).items()}
    totals = {arm: phases for arm, phases in totals.items() if phases}
    if not totals:
        return None
    names = list(dict.fromkeys(phase for phases in totals.values() for phase in phases))
    shade = {name: SHADES[index % len(SHADES)] for index, name in enumerate(names)}
    with svg.style():
        figure = svg.new_figure(WIDTH, ROW * len(totals) + 0.85)
        left = min(2.4, 0.35 + 0.085 * max(len(shortened(label(arm))) for arm in totals))
        axes = svg.place(figure, left, 0.42, WIDTH - left - 0.95, ROW * len(totals))
        for row, phases in enumerate(totals.values()):
            start = 0.0
            for name in names:
                axes.barh(
                    row,
                    phases.get(name, 0.0),
                    left=start,
                    height=0.62,
                    color=palette.INK,
                    alpha=shade[name],
                    linewidth=0,
                    label=visible(name) if row == 0 else None,
                )
                start += phases.get(name, 0.0)
            axes.annotate(
                quantity.duration(start), (start, row), (6, 0), textcoords="offset points", va="center", fontsize=8.5
            )
        axes.set_ylim(len(totals) - 0.5, -0.5)
        axes.set_yticks(range(len(totals)), [shortened(label(arm)) for arm in totals])
        axes.set_xlabel("seconds, mean over seeds", fontsize=8)
        figure.legend(loc="upper left", bbox_to_anchor=(0.07, 1.0), ncols=6, fontsize=8.5, handlelength=1.0)
        return svg.text_of(figure)


def runs_of(report: Report, task: str) -> dict[str, list[RunRecord]]:
    """Arm -> its runs on a task, in the recorded order."""
    found: dict[str, list[RunRecord]] = {}
    for run in report.runs:
        if run.task == task:
            found.setdefault(run.arm, []).append(run)
    return found


def phase_seconds(runs: Sequence[RunRecord]) -> dict[str, float]:
    """Phase -> mean seconds over the runs that finished and metered it."""
    spent: dict[str, list[float]] = {}
    for run in runs:
        phases: Mapping[str, Mapping[str, float]] = run.usage.get("phases") or {}
        if run.outcome.status == "completed":
            for name, phase in phases.items():
                if quantity.known(phase.get("seconds")):
                    spent.setdefault(name, []).append(float(phase["seconds"]))
    return {name: sum(seconds) / len(seconds) for name, seconds in spent.items()}
