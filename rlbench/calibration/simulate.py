"""Runs the cells in worker processes; a cell's numbers depend on its name only."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

from tqdm import tqdm

from rlbench.calibration.cells import PUBLISHED, Cell, Measured
from rlbench.seeding import stream

AGAIN = 10


def measure(cells: Sequence[Cell], runs: int, workers: int | None = None) -> list[Measured]:
    """Try every cell `runs` times, in `workers` processes (one per core by default; with 1 in this process)."""
    run = partial(measure_cell, runs=runs)
    count = min(workers or os.cpu_count() or 1, len(cells))
    with tqdm(total=len(cells), unit="cell", disable=not sys.stderr.isatty(), leave=False) as bar:
        found = []
        for measured in map(run, cells) if count <= 1 else _in_processes(run, cells, count):
            found.append(measured)
            bar.update()
    return found


def measure_cell(cell: Cell, runs: int) -> Measured:
    """Try one cell `runs` times, from the stream of its name.

    From `PUBLISHED` runs on, a cell outside of its band is measured anew, with `AGAIN` times the runs and other random
    numbers, and that counts: among hundreds of cells chance alone pushes some over a border that they are close to.
    """
    measured = _measured(cell, runs, cell.name)
    again = runs >= PUBLISHED and bool(measured.outside)
    return _measured(cell, AGAIN * runs, f"{cell.name}/again") if again else measured


def _measured(cell: Cell, runs: int, name: str) -> Measured:
    counts = cell.trial.count(stream("calibration", name), runs)
    return Measured(cell.section, cell.family, cell.design, cell.seeds, cell.bands, cell.note, runs, dict(counts))


def _in_processes(run: partial[Measured], cells: Sequence[Cell], workers: int) -> Iterator[Measured]:
    with _one_thread_each(), ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(run, cells)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Numeric libraries of processes that start inside use one thread each; several would fight for the cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
