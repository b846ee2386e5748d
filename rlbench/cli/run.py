"""`rlbench run`: make what is missing and print the verdict."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rlbench.artifacts.run_folder import RunFolder
from rlbench.experiment import Plan
from rlbench.rendering.terminal import render_terminal
from rlbench.running import Execution
from rlbench.spec import read_experiment


def run_experiment(
    experiment: Path, out: Path | None, data_dir: Path | None, workers: int | None, changes: list[str]
) -> int:
    """Run the experiment, print the verdict and where the report is; return the exit code."""
    spec, _ = read_experiment(experiment, changes)
    root = out or Path("runs") / spec.name
    command = ["rlbench", "run", str(experiment)]
    command += [f"--out={root}"] if out else []
    command += [f"--set={change}" for change in changes]
    command += ["--data-dir=DATA"] if data_dir else []
    finished = Execution(Plan(spec, RunFolder(root), data_dir, shlex.join(command)), workers).run()
    if not finished.made:
        print(f"Nothing to do: every part of {spec.name} is sealed in {root}.\n", file=sys.stderr)
    print(render_terminal(finished.comparison))
    budget = finished.comparison["budget"]
    if not budget["passed"]:
        print("BUDGET AUDIT FAILED:\n" + "\n".join(f"  {line}" for line in budget["failures"]))
    print(f"Report: {finished.report}")
    return finished.exit_code
