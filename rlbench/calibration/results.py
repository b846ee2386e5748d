"""calibration.json: what was simulated and what was found on real seeds; either may be there without the other."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy

import rlbench
from rlbench.artifacts.files import read_json
from rlbench.calibration.cells import Measured
from rlbench.calibration.real import RealAA
from rlbench.errors import InputError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Results:
    """All that a calibration page shows. `runs` is 0 and `cells` are empty before anything was simulated."""

    runs: int = 0
    short: bool = False
    versions: str = ""
    cells: tuple[Measured, ...] = ()
    real: RealAA | None = None

    @property
    def judged(self) -> list[Measured]:
        """Cells that have a band."""
        return [cell for cell in self.cells if cell.bands]

    @property
    def outside(self) -> list[Measured]:
        """Cells with a rate outside of its band."""
        return [cell for cell in self.judged if cell.outside]

    def simulated(self, cells: Sequence[Measured], runs: int, short: bool) -> Results:
        """The same with other simulations."""
        return replace(self, runs=runs, short=short, versions=_versions(), cells=tuple(cells))


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote; empty results if there is no such file.

    Raises:
        InputError: the file is no calibration.json.
    """
    if not path.is_file():
        return Results()
    try:
        found = read_json(path)
        cells = tuple(Measured.from_json(row) for row in found["cells"])
        real = RealAA.from_json(found["real"] | {"rows": found["real_rows"]}) if found["real"] else None
        return Results(found["runs"], found["short"], found["versions"], cells, real)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected a calibration.json that this version wrote, got something else ({error}); remove it or "
            "choose another --out"
        ) from error


def write_results(path: Path, results: Results) -> None:
    """Write calibration.json, one line per cell and per row of the real A/A, so that changes can be read."""
    real = results.real.to_json() if results.real else None
    head = {
        "schema_version": SCHEMA_VERSION,
        "runs": results.runs,
        "short": results.short,
        "versions": results.versions,
        "real": real and {key: value for key, value in real.items() if key != "rows"},
    }
    lines = [json.dumps(head, ensure_ascii=False)[:-1] + ","]
    lines += _lines("cells", [cell.to_json() for cell in results.cells], ",")
    lines += _lines("real_rows", real["rows"] if real else [], "}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(name: str, rows: Sequence[dict[str, Any]], end: str) -> list[str]:
    return [f'"{name}": [', ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows), f"]{end}"]


def _versions() -> str:
    versions = {"rlbench": rlbench.__version__, "numpy": np.__version__, "scipy": scipy.__version__}
    versions["Python"] = platform.python_version()
    return ", ".join(f"{name} {version}" for name, version in versions.items())
