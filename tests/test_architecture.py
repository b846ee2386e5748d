"""The house stays as its plan says: file sizes, light start-up, documentation that matches the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from rlbench.registry import names
from rlbench.spec import Experiment

CHECKOUT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "transformers", "datasets", "sacrebleu", "matplotlib")


def test_no_file_is_longer_than_400_lines():
    long = {
        str(path.relative_to(CHECKOUT)): lines
        for folder in ("rlbench", "tests", "tasks")
        for path in (CHECKOUT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


@pytest.mark.parametrize("module", ["rlbench.cli.main", "rlbench.statistics", "rlbench.spec", "rlbench.tasks.task"])
def test_light_modules_do_not_import_heavy_libraries(module):
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def keys(model):
    """The names of all keys that hold a value, at every level."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation)
        else:
            yield name


def test_every_key_of_the_experiment_file_is_documented():
    text = (CHECKOUT / "docs" / "experiment.md").read_text()
    assert [key for key in keys(Experiment) if not re.search(rf"[`.]{key}\b", text)] == []


@pytest.mark.parametrize("kind", ["graders", "metrics"])
def test_every_grader_and_metric_is_documented(kind):
    text = (CHECKOUT / "docs" / "metrics.md").read_text()
    assert [name for name in names(kind) if f"`{name}`" not in text] == []


def test_committed_text_names_no_path_of_a_machine():
    found = []
    listed = subprocess.run(["git", "ls-files"], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout
    for name in listed.splitlines():
        path = CHECKOUT / name
        if path.suffix in (".py", ".md", ".yaml", ".toml", ".txt", "") and path.is_file():
            text = path.read_text(encoding="utf-8")
            found += [name for place in ("/wo" + "rk/", "/ro" + "ot/") if place in text]
    assert found == []
