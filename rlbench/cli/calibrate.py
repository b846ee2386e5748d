"""`rlbench calibrate`: measures type-I error, coverage and power of what is offered, and writes the page about it."""

from __future__ import annotations

import sys
from pathlib import Path

from rlbench.errors import InputError

FEWEST_RUNS = 100


def calibrate(runs: int, short: bool, workers: int | None, out: Path, experiment: Path | None, arm: str | None) -> int:
    """Simulate, or with an experiment split its seeds; write calibration.md, its figures and calibration.json.

    Args:
        runs: simulated experiments per design.
        short: only a few designs.
        workers: processes; one per core by default.
        out: the folder of calibration.md; figures and calibration.json go to its folder `calibration`.
        experiment: a finished run whose seeds are split into two arms (real A/A); nothing is simulated then.
        arm: which arm of it; may be left out if only one was trained.

    Returns:
        The exit code: 1 if a simulated rate is outside of its band, else 0.

    Raises:
        InputError: too few runs, no such experiment or arm, or a folder that cannot be written.
    """
    if runs < FEWEST_RUNS:
        raise InputError(f"--runs: expected at least {FEWEST_RUNS}, got {runs}; 10,000 are published")
    if arm is not None and experiment is None:
        raise InputError(f"--arm {arm}: expected --experiment beside it; name the run whose arm is to be split")

    from rlbench.artifacts.files import explain_disk_errors, make_folder
    from rlbench.calibration.results import read_results, write_results

    folder = out / "calibration"
    make_folder(folder)
    results = read_results(folder / "calibration.json")
    if experiment is not None:
        from dataclasses import replace

        from rlbench.calibration.real import real_aa

        results = replace(results, real=real_aa(experiment, arm))
    else:
        from rlbench.calibration.grid import grid, short_grid
        from rlbench.calibration.simulate import measure

        results = results.simulated(measure(short_grid() if short else grid(), runs, workers), runs, short)

    from rlbench.calibration.page import figures, render

    with explain_disk_errors(out):
        write_results(folder / "calibration.json", results)
        for name, text in figures(results).items():
            (folder / name).write_text(text, encoding="utf-8")
        (out / "calibration.md").write_text(render(results), encoding="utf-8")
    for cell in results.outside:
        for event in cell.outside:
            design = ", ".join(filter(None, cell.design.values()))
            text = f"{cell.section}, {design}, {cell.seeds} seeds: {event} {cell.rate(event):.3f}"
            print(f"outside: {text}", file=sys.stderr)
    print(f"{len(results.judged)} designs, {len(results.outside)} outside of their bands: {out / 'calibration.md'}")
    return 1 if results.outside else 0
