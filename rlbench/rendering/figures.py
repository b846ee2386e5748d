"""All figures of a report, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rlbench.rendering.best_of_n_figures import best_of_n_panels
from rlbench.rendering.curve_figures import learning_curves, reward_frontier
from rlbench.rendering.diagnostic_figures import diagnostic_panels
from rlbench.rendering.difference_figures import difference_panel
from rlbench.rendering.interval_figures import primary_panel, secondary_panels
from rlbench.rendering.pair import primary_metrics, tasks
from rlbench.rendering.report import Report
from rlbench.rendering.reward_model_figures import reward_model_panels
from rlbench.rendering.rewards import rewards_of
from rlbench.rendering.slice_figures import slice_panel
from rlbench.rendering.text import slug, visible
from rlbench.rendering.throughput_figures import phase_bars

Topic = Literal[
    "intervals",
    "secondary",
    "differences",
    "slices",
    "best-of-n",
    "reward-model",
    "curves",
    "frontier",
    "diagnostics",
    "phases",
]


@dataclass(frozen=True)
class Drawing:
    """One figure. `name` is a safe file name without ending; `title` says in words what is drawn."""

    name: str
    topic: Topic
    title: str
    svg: str


def drawings(report: Report) -> list[Drawing]:
    """The figures in the order of the report, each with its title. The same report gives the same bytes.

    Drawing takes most of the time of a report, so every page is made from one call.
    """
    found: dict[str, Drawing] = {}
    for topic, title, parts, svg in _all(report):
        if svg is not None:
            stem = "-".join([topic, *(slug(part) for part in parts)])
            name, copy = stem, 2
            while name in found:
                name, copy = f"{stem}-{copy}", copy + 1
            found[name] = Drawing(name, topic, title, svg)
    return list(found.values())


def _all(report: Report) -> Iterator[tuple[Topic, str, tuple[str, ...], str | None]]:
    comparison = report.comparison
    for task in tasks(comparison):
        shown = visible(task)
        for metric in primary_metrics(comparison, task):
            name = str(metric["name"])
            title = f"{shown}: {visible(name)} of every arm, with its interval"
            yield "intervals", title, (task, name), primary_panel(comparison, task, metric)
            title = f"{shown}: differences of {visible(name)} between all pairs of arms"
            yield "differences", title, (task, name), difference_panel(comparison, task, metric)
        yield "slices", f"{shown}: differences by slice", (task,), slice_panel(comparison, task)
        yield "secondary", f"{shown}: the other metrics", (task,), secondary_panels(comparison, task)
        title = f"{shown}: what the best of n completions is worth when the proxy chooses it"
        yield "best-of-n", title, (task,), best_of_n_panels(comparison, task)
        title = f"{shown}: how often the reward model is right, and how sure it is"
        yield "reward-model", title, (task,), reward_model_panels(comparison, task)
        both = "" if rewards_of(comparison, task) is None else ", proxy and gold"
        yield "curves", f"{shown}: learning curves of every seed{both}", (task,), learning_curves(report, task)
        yield "frontier", f"{shown}: reward against KL{both}", (task,), reward_frontier(report, task)
        yield "diagnostics", f"{shown}: diagnostics of every seed", (task,), diagnostic_panels(report, task)
        yield "phases", f"{shown}: where the seconds went", (task,), phase_bars(report, task)
