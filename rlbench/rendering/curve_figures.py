"""Learning curves: every seed a thin line through what was measured, nothing smoothed.

Where training maximised a proxy, proxy and gold reward stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rlbench.rendering import palette, quantity, svg
from rlbench.rendering.legend import draw_arm_legend
from rlbench.rendering.report import Report, RunRecord
from rlbench.rendering.rewards import rewards_of
from rlbench.rendering.text import shortened

WIDTH = 7.2
ROLES_HEIGHT = 3.2
REWARDS = {"dev_reward": "reward on the dev split", "reward_mean": "training reward, mean of the batch"}
GOLD = {"dev_reward": "dev_gold", "reward_mean": "gold_mean"}
AXES = {"completions": "completions", "seconds": "seconds", "kl_nats": "KL to the SFT policy, nats"}
FEW = 60


def learning_curves(report: Report, task: str) -> str | None:
    """Reward against completions and against seconds, or proxy and gold against completions.

    None where no curve was recorded.
    """
    runs = [run for run in report.runs if run.task == task and run.curve]
    reward = reward_name(runs)
    if both := _proxy_and_gold(report, task, runs, "completions", reward):
        return both
    shown = [name for name in ("completions", "seconds") if any(points(run, name, reward) for run in runs)]
    if not shown:
        return None
    with svg.style():
        figure = svg.new_figure(WIDTH, 3.0)
        for index, name in enumerate(shown):
            panel = svg.place(figure, 0.62 + index * 3.42, 0.42, 3.1, 2.2)
            draw_lines(panel, report, runs, name, reward)
            panel.set_xlabel(AXES[name], fontsize=8)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            if index:
                panel.tick_params(labelleft=False)
            else:
                panel.set_ylabel(REWARDS[reward], fontsize=8)
        draw_legend(figure, report, runs)
        return svg.text_of(figure)


def reward_frontier(report: Report, task: str) -> str | None:
    """Reward against the KL paid for it, one path a seed with a mark at its end; None where KL was not recorded.

    Where training maximised a proxy, proxy and gold stand side by side.
    """
    runs = [run for run in report.runs if run.task == task and run.curve]
    reward = reward_name(runs)
    if all(len(points(run, "kl_nats", reward)) < 2 for run in runs):
        reward = "reward_mean"  # a path needs two points, and a short run has only one evaluation with its KL
    if not any(points(run, "kl_nats", reward) for run in runs):
        return None
    if both := _proxy_and_gold(report, task, runs, "kl_nats", reward, paths=True):
        return both
    with svg.style():
        figure = svg.new_figure(WIDTH, 3.3)
        panel = svg.place(figure, 0.62, 0.42, WIDTH - 0.85, 2.5)
        draw_lines(panel, report, runs, "kl_nats", reward, last_only=True)
        panel.set_xlabel(AXES["kl_nats"], fontsize=8)
        panel.set_ylabel(REWARDS[reward], fontsize=8)
        draw_legend(figure, report, runs)
        return svg.text_of(figure)


def _proxy_and_gold(
    report: Report, task: str, runs: Sequence[RunRecord], across: str, reward: str, paths: bool = False
) -> str | None:
    """The two rewards of a task in a panel each; None where it has but one, or nobody recorded the other."""
    rewards, gold = rewards_of(report.comparison, task), GOLD[reward]
    if rewards is None or not any(points(run, across, gold) for run in runs):
        return None
    with svg.style():
        figure = svg.new_figure(WIDTH, ROLES_HEIGHT)
        for index, ((role, name), column) in enumerate(zip(rewards.named(), (reward, gold), strict=True)):
            panel = place_role(figure, index, role, name)
            draw_lines(panel, report, runs, across, column, last_only=paths)
            panel.set_xlabel(AXES[across], fontsize=8)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            if not index:
                panel.set_ylabel(REWARDS[reward], fontsize=8)
        draw_legend(figure, report, runs)
        return svg.text_of(figure)


def place_role(figure: Figure, index: int, role: str, name: str) -> Axes:
    """One of two panels side by side, with scales of their own; `name` is the reward in this role."""
    panel = svg.place(figure, 0.62 + index * 3.5, 0.42, 2.85, ROLES_HEIGHT - 1.05)
    panel.set_title(f"{role}: {shortened(name, 36)}", fontsize=8.5, pad=5)
    return panel


def reward_name(runs: Sequence[RunRecord]) -> str:
    """The reward that is drawn: on the dev split where every run has it, else the training reward."""
    has_dev = [any(quantity.known(row.get("dev_reward")) for row in run.curve) for run in runs]
    return "dev_reward" if has_dev and all(has_dev) else "reward_mean"


def points(run: RunRecord, across: str, up: str) -> list[tuple[float, float]]:
    """The rows of a curve in which both values were measured."""
    rows = [(row.get(across), row.get(up)) for row in run.curve]
    return [(float(x), float(y)) for x, y in rows if quantity.known(x) and quantity.known(y)]


def draw_lines(
    axes: Axes,
    report: Report,
    runs: Sequence[RunRecord],
    across: str,
    up: str,
    last_only: bool = False,
    dots: bool = True,
) -> None:
    """Draw every run as a line in the colour of its arm; a cross marks the end of one that did not finish.

    `last_only` makes paths with a mark at their end; otherwise short lines show a dot per measurement, if `dots`.
    """
    colours, markers = palette.arm_colours(report.comparison), palette.arm_markers(report.comparison)
    for run in runs:
        line = points(run, across, up)
        if not line:
            continue
        colour, marker = colours.get(run.arm, palette.NEUTRAL), markers.get(run.arm, "o")
        xs, ys = zip(*line, strict=True)
        dotted = dots and len(line) <= FEW and not last_only
        axes.plot(
            xs,
            ys,
            color=colour,
            linewidth=0.9,
            alpha=0.55 if last_only else 0.85,
            marker=marker if dotted else None,
            markersize=2.6,
            markeredgewidth=0,
        )
        end = "x" if run.outcome.status != "completed" else marker if last_only else None
        if end:
            axes.plot(
                xs[-1:], ys[-1:], end, color=colour, markersize=7, markeredgewidth=2 if end == "x" else 0, zorder=5
            )
    axes.grid(axis="both")
    axes.tick_params(axis="y", labelcolor=palette.MUTED)


def draw_legend(figure: Figure, report: Report, runs: Sequence[RunRecord]) -> None:
    """Name the arms above the panels."""
    lost = Line2D([], [], color=palette.MUTED, marker="x", linestyle="", markeredgewidth=2, label="did not finish")
    extra = [lost] if any(run.outcome.status != "completed" for run in runs) else []
    draw_arm_legend(figure, report.comparison, [run.arm for run in runs], extra)
