"""`rlbench run`: make what is missing and print the verdict."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rlbench.artifacts.run_folder import RunFolder
from rlbench.errors import Interrupted
from rlbench.execution.local import warm_up
from rlbench.rendering.terminal import render_terminal
from rlbench.spec import read_experiment


def run_experiment(
    experiment: Path, out: Path | None, data_dir: Path | None, workers: int | None, changes: list[str]
) -> int:
    """Run the experiment, print the verdict and where the report is; return the exit code."""
    spec, document = read_experiment(experiment, changes)
    warm_up()
    from rlbench.experiment import Plan
    from rlbench.running import Execution

    root = out or Path("runs") / spec.name
    command = ["rlbench", "run", str(experiment)]
    command += [f"--out={root}"] if out else []
    command += [f"--set={change}" for change in changes]
    command += ["--data-dir=DATA"] if data_dir else []
    plan = Plan(spec, RunFolder(root), data_dir, shlex.join(command), document)
    for warning in plan.resolved.warnings():
        print(f"rlbench: warning: arm {warning['arm']}: {warning['text']}", file=sys.stderr)
    execution = Execution(plan, workers)
    try:
        finished = execution.run()
    except KeyboardInterrupt:
        raise Interrupted("interrupted; what is finished is kept, run the same command again to go on") from None
    if not finished.made and not any(run["status"] == "failed" for run in finished.comparison["runs"]):
        print(f"Nothing to do: every part of {spec.name} is sealed in {root}.\n", file=sys.stderr)
    print(render_terminal(finished.comparison))
    budget = finished.comparison["budget"]
    if not budget["passed"]:
        print("BUDGET AUDIT FAILED:\n" + "\n".join(f"  {line}" for line in budget["failures"]))
    print(f"Report: {finished.report}")
    return finished.exit_code
