"""A new algorithm is one file and one entry point: here one of a package that is installed beside rlbench."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import zipfile

import pytest

pytestmark = pytest.mark.slow
RUN_SECONDS = 240

ALGORITHM = '''\
"""Sign-GRPO: only whether a completion is better than its group's mean, not by how much.

Written by somebody else.
"""

from functools import partial

import torch
from pydantic import Field

from rlbench.algorithms.algorithm import OnlineAlgorithm, Targets
from rlbench.algorithms.options import PolicyGradient, read_options
from rlbench.algorithms.terms import diagnostics, loss_mask, shaped_rewards, token_log_ratio, weighted
from rlbench.functional.advantages import group_advantages
from rlbench.functional.losses import clipped_surrogate
from rlbench.functional.masking import aggregation_weights


class SignGRPO(PolicyGradient):
    learning_rate: float = Field(default=1e-2, gt=0)


def sign_grpo(**options):
    axes = read_options(SignGRPO, "sign_grpo", options)

    def targets(rollouts):
        better = group_advantages(shaped_rewards(rollouts, axes), rollouts.group_size, "mean_only", 0.0)
        return Targets(torch.sign(better).unsqueeze(-1) * rollouts.mask, loss_mask(rollouts, axes))

    def loss(new, old):
        log_ratio = token_log_ratio(new, old)
        surrogate = clipped_surrogate(log_ratio, old.advantages, axes.clip_low, axes.clip_high)
        found = diagnostics(log_ratio, surrogate, torch.zeros_like(surrogate), new, old, axes)
        return weighted(surrogate, old), found

    weights = partial(aggregation_weights, aggregation=axes.aggregation)
    return OnlineAlgorithm("sign_grpo", 1, "nowhere yet", axes, targets, weights, loss, ("reference",))
'''
PROJECT = """\
[project]
name = "rlbench-sign-grpo"
version = "0.1"
dependencies = ["rlbench"]

[project.entry-points."rlbench.algorithms"]
sign_grpo = "sign_grpo:sign_grpo"
"""


def write_package(folder):
    """What its author writes: one module, and a pyproject.toml whose only special lines are the entry point."""
    folder.mkdir()
    (folder / "sign_grpo.py").write_text(ALGORITHM)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def wheel_of(package, folder):
    """The wheel that a build backend makes of it. Backends are not among rlbench's own dependencies."""
    import tomllib

    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    distribution = f"{project['name'].replace('-', '_')}-{project['version']}"
    entries = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in items.items())
        for group, items in project["entry-points"].items()
    )
    files = {
        "sign_grpo.py": (package / "sign_grpo.py").read_text(),
        f"{distribution}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        ),
        f"{distribution}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{distribution}.dist-info/entry_points.txt": entries,
    }
    record = "".join(f"{name},sha256={_digest(text)},{len(text.encode())}\n" for name, text in files.items())
    files[f"{distribution}.dist-info/RECORD"] = record + f"{distribution}.dist-info/RECORD,,\n"
    wheel = folder / f"{distribution}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which pip has installed the package."""
    root = tmp_path_factory.mktemp("plugin")
    wheel = wheel_of(write_package(root / "package"), root)
    target = root / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        pytest.skip("this environment has no pip")
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def path(installed):
    """Environment in which the package is importable."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))}


def test_it_is_listed_with_its_own_words(path, cli_process):
    result = cli_process("list", "algorithms", **path)
    assert result.code == 0, result.text
    (line,) = [line for line in result.out.splitlines() if line.startswith("sign_grpo ")]
    for words in ("nowhere yet", "rollouts", "reference", "only whether a completion"):
        assert words in line
    assert "sign_grpo" not in cli_process("list", "algorithms").out


def test_it_runs_beside_the_built_in_ones(path, write_experiment, tmp_path, fork_cli):
    file = write_experiment(
        tmp_path,
        algorithms=[{"name": "grpo", "learning_rate": 0.01}, {"name": "sign_grpo", "minibatches": 2}],
        seeds=[0],
        budget={"completions": 64},
    )
    process = fork_cli("run", file, "--out", tmp_path / "run", **path)
    out, err = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, out + err
    comparison = json.loads((tmp_path / "run" / "report" / "comparison.json").read_text())
    assert {run["arm"] for run in comparison["runs"]} == {"grpo", "sign_grpo"}
    assert {run["status"] for run in comparison["runs"]} == {"completed"}
    assert comparison["budget"]["passed"]
    (folder,) = (tmp_path / "run").glob("train/digits.sign_grpo.s0-*")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["completions"] == 64
    assert rows[-1]["optimizer_steps"] == 2 * 4
    assert rows[0]["grad_norm"] > 0


def test_its_options_are_checked_like_all_others(path, write_experiment, tmp_path, fork_cli):
    file = write_experiment(tmp_path, algorithms=[{"name": "sign_grpo", "clip_lwo": 0.1}])
    process = fork_cli("run", file, "--out", tmp_path / "run", **path)
    out, err = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 2
    assert "algorithm 'sign_grpo': unknown option 'clip_lwo'" in out + err
