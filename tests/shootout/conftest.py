"""The published experiments through the command line, as a user runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlbench.artifacts.locking import lock

CHECKOUT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 3600


@pytest.fixture(scope="session")
def shoot():
    """`shoot(experiment, out, *options)`: run it and return its comparison."""

    def run(experiment, out, *options):
        command = [str(Path(sys.executable).with_name("rlbench")), "run", str(experiment), "--out", str(out), *options]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert str(out / "report" / "index.html") in done.stdout
        return json.loads((out / "report" / "comparison.json").read_text())

    return run


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory, shoot):
    """The run folder and the comparison of the quickstart, made once for all workers. Tests only read it."""
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "quickstart"
    with lock(shared / ".lock", wait_seconds=WAIT_SECONDS):
        published = shared / "run" / "report" / "comparison.json"
        if not published.exists():
            shoot("reports/quickstart/experiment.yaml", shared / "run")
    return shared / "run", json.loads(published.read_text())
