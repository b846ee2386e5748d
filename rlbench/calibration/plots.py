"""The figures of the calibration page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rlbench.calibration.cells import Measured
from rlbench.calibration.real import RealAA
from rlbench.rendering import palette, svg
from rlbench.rendering.text import visible

WIDTH = 7.2
FAMILIES = ("normal", "heavy-tailed", "binary", "ceiling", "unpaired", "corpus ratio")
VERDICTS = ("regressed", "worse within margin", "inconclusive", "non-inferior", "equivalent", "improved")


def intervals(cells: Sequence[Measured], band: tuple[float, float]) -> str:
    """Type-I error (left) and coverage (right) by seeds; one line per design, coloured by family."""
    colours = dict(zip(FAMILIES, palette.ARMS, strict=False))
    with svg.style():
        figure = svg.new_figure(WIDTH, 3.3)
        errors, coverage = svg.place(figure, 0.5, 0.5, 2.95, 2.2), svg.place(figure, 4.1, 0.5, 2.95, 2.2)
        errors.axhspan(*band, color=palette.GRID, linewidth=0, alpha=0.7, zorder=0)
        coverage.axhspan(0.935, 1.0, color=palette.GRID, linewidth=0, alpha=0.7, zorder=0)
        for index, line in enumerate(_rows(cells)):
            colour = colours.get(line[0].family, palette.NEUTRAL)
            shift = 0.16 * ((index * 7) % 9 - 4) / 4
            if "rejected" in line[0].bands:
                _line(errors, line, lambda cell: cell.rate("rejected"), colour, shift)
            _line(coverage, line, lambda cell: 1 - cell.rate("missed"), colour, shift)
        errors.set_title("Type-I error of the test at .05", x=0)
        coverage.set_title("Coverage of the 95 % interval", x=0)
        errors.set_ylim(0, max(0.08, errors.get_ylim()[1]))
        coverage.set_ylim(min(0.9, coverage.get_ylim()[0]), 1.003)
        for axes in (errors, coverage):
            axes.axhline(0.05 if axes is errors else 0.95, color=palette.MUTED, linewidth=0.8, linestyle="--")
            axes.set_xlabel("seeds per arm", fontsize=8)
            axes.set_xticks(sorted({cell.seeds for cell in cells}))
            axes.grid(axis="y")
        _legend(figure, {name: colour for name, colour in colours.items() if any(c.family == name for c in cells)})
        return svg.text_of(figure)


def power(cells: Sequence[Measured]) -> str:
    """Simulated minus predicted power."""
    colours = dict(zip(("recipe", "population"), palette.ARMS, strict=False))
    with svg.style():
        figure = svg.new_figure(WIDTH, 2.9)
        axes = svg.place(figure, 0.65, 0.5, WIDTH - 0.9, 1.85)
        axes.axhspan(-0.03, 0.03, color=palette.GRID, linewidth=0, alpha=0.7, zorder=0)
        axes.axhline(0, color=palette.MUTED, linewidth=0.8, linestyle="--")
        predicted = sorted({float(cell.design["predicted"]) for cell in cells})
        for place, value in enumerate(predicted):
            here = [cell for cell in cells if float(cell.design["predicted"]) == value]
            for index, cell in enumerate(here):
                x = place + 0.7 * ((index + 0.5) / len(here) - 0.5)
                axes.plot([x], [cell.rate("rejected") - value], "o", color=colours[cell.family], markersize=4,
                          markeredgewidth=0)  # fmt: skip
        axes.set_xticks(range(len(predicted)), [f"{value:g}" for value in predicted])
        axes.set_xlabel("power that the planner predicts", fontsize=8)
        axes.set_ylim(-0.05, 0.05)
        axes.set_title("Simulated minus predicted power", x=0)
        axes.grid(axis="y")
        _legend(figure, colours)
        return svg.text_of(figure)


def verdicts(cells: Sequence[Measured]) -> str:
    """How often each verdict is given, by the true difference in margins."""
    colours = dict(zip(VERDICTS, (palette.ARMS[1], palette.ARMS[4], palette.GRID, palette.ARMS[5], palette.ARMS[2],
                                  palette.ARMS[0]), strict=True))  # fmt: skip
    chosen = [cell for cell in cells if cell.design["estimand"] == "recipe"]
    panels = _grouped(chosen, lambda cell: (cell.seeds, cell.design["sd"]))
    with svg.style():
        figure = svg.new_figure(WIDTH, 1.9 * ((len(panels) + 1) // 2) + 0.55)
        top = figure.get_size_inches()[1] - 0.55
        for index, panel in enumerate(panels):
            axes = svg.place(figure, 0.7 + 3.4 * (index % 2), top - 1.9 * (index // 2 + 1) + 0.5, 2.9, 1.1)
            for row, cell in enumerate(panel):
                start = 0.0
                for name in VERDICTS:
                    axes.barh(row, cell.rate(name), left=start, color=colours[name], height=0.72, linewidth=0)
                    start += cell.rate(name)
            axes.set_yticks(range(len(panel)), [cell.design["difference"] for cell in panel], fontsize=7.5)
            axes.set_ylim(len(panel) - 0.4, -0.6)
            axes.set_xlim(0, 1)
            axes.set_title(f"{panel[0].seeds} seeds, sd of a seed {panel[0].design['sd']} m", x=0, fontsize=9)
        figure.legend(handles=[Patch(color=colours[name], label=name) for name in VERDICTS], loc="upper left",
                      ncols=6, fontsize=7.5, bbox_to_anchor=(0.02, 1.0), columnspacing=1.0)  # fmt: skip
        return svg.text_of(figure)


def others(cells: Sequence[Measured]) -> str:
    """Type-I error of habits of others beside ours, by seeds; one row of panels per claim."""
    claims = _grouped(cells, lambda cell: cell.design["claim"])
    with svg.style():
        figure = svg.new_figure(WIDTH, 2.75 * len(claims) + 0.1)
        for row, claim in enumerate(claims):
            worlds = _grouped(claim, lambda cell: cell.design["world"])
            names = list(dict.fromkeys(cell.design["method"] for cell in claim))
            colours = dict(zip(names, (palette.INK, *palette.ARMS[1:]), strict=False))
            bottom = 2.75 * (len(claims) - 1 - row) + 0.5
            for place, world in enumerate(worlds):
                axes = svg.place(figure, 0.55 + 1.66 * place, bottom, 1.45, 1.35)
                axes.axhspan(0.04, 0.065 if claim[0].design["claim"] == "population" else 0.06, color=palette.GRID,
                             linewidth=0, zorder=0)  # fmt: skip
                for line in _grouped(world, lambda cell: cell.design["method"]):
                    _line(axes, line, lambda cell: max(cell.rate("rejected"), 1e-4), colours[line[0].design["method"]])
                axes.set_yscale("log")
                axes.set_ylim(1e-4, 1)
                ticks = (0.001, 0.01, 0.05, 0.2, 1)
                axes.set_yticks(ticks, [f"{tick:g}" if place == 0 else "" for tick in ticks])
                axes.minorticks_off()
                axes.set_xticks([3, 5, 10])
                axes.set_title(world[0].design["world"], x=0, fontsize=8)
                axes.grid(axis="y")
            handles = [Line2D([], [], color=colours[name], marker="o", markersize=4, label=name) for name in names]
            height = figure.get_size_inches()[1]
            figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.05, (bottom + 2.2) / height), ncols=2,
                          fontsize=7.5, title=f"Claim about the {claim[0].design['claim']}: type-I error by seeds",
                          title_fontproperties={"weight": "bold", "size": 9}, alignment="left")  # fmt: skip
        return svg.text_of(figure)


def real(found: RealAA) -> str:
    """The rate of false alarms with its interval, metric by metric."""
    rows = [row for row in found.rows if row.rate is not None and row.estimand == "recipe"]
    sizes = sorted({row.size for row in rows})
    names = list(dict.fromkeys(f"{row.task}: {row.metric}" for row in rows))
    widest = max([0.12, *(row.high + 0.01 for row in rows if row.high is not None)])
    with svg.style():
        figure = svg.new_figure(WIDTH, 0.26 * len(names) + 1.2)
        width = (WIDTH - 1.95) / max(1, len(sizes))
        for index, size in enumerate(sizes):
            axes = svg.place(figure, 1.85 + width * index, 0.5, width - 0.15, 0.26 * len(names))
            axes.axvline(0.05, color=palette.MUTED, linewidth=0.8, linestyle="--")
            for row in rows:
                if row.size == size and row.rate is not None and row.low is not None and row.high is not None:
                    y = names.index(f"{row.task}: {row.metric}") + (-0.16 if row.paired else 0.16)
                    colour = palette.ARMS[0] if row.paired else palette.ARMS[1]
                    axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.4)
                    axes.plot([row.rate], [y], "o", color=colour, markersize=4, markeredgewidth=0)
            shown = [visible(name.partition(": ")[2] if len(found.prompts) == 1 else name) for name in names]
            axes.set_yticks(range(len(names)), shown if index == 0 else [""] * len(names))
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlim(0, widest)
            axes.set_xticks([tick / 20 for tick in range(20) if tick / 20 < widest - 0.02])
            axes.set_title(f"{size} against {size} seeds", x=0, fontsize=9)
            axes.set_xlabel("false alarms at .05", fontsize=8)
            axes.grid(axis="x")
        _legend(figure, {"paired": palette.ARMS[0], "unpaired (Welch)": palette.ARMS[1]})
        return svg.text_of(figure)


def _line(
    axes: Axes, cells: Sequence[Measured], value: Callable[[Measured], float], colour: str, shift: float = 0.0
) -> None:
    ordered = sorted(cells, key=lambda cell: cell.seeds)
    axes.plot([cell.seeds + shift for cell in ordered], [value(cell) for cell in ordered], "o-", color=colour,
              markersize=2.8, linewidth=0.7, alpha=0.8, markeredgewidth=0)  # fmt: skip


def _rows(cells: Sequence[Measured]) -> list[list[Measured]]:
    return _grouped(cells, lambda cell: tuple(cell.design.values()))


def _grouped(cells: Sequence[Measured], key: Callable[[Measured], object]) -> list[list[Measured]]:
    """Cells with the same key together, in the order of their first appearance."""
    groups: dict[object, list[Measured]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return list(groups.values())


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    handles = [Line2D([], [], color=colour, marker="o", markersize=4, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.05, 1.0), ncols=6, fontsize=8,
                  columnspacing=1.4, handlelength=1.4)  # fmt: skip
