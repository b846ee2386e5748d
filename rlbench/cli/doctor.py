"""`rlbench doctor`: what this machine offers."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from rlbench.artifacts.run_folder import environment
from rlbench.errors import InputError
from rlbench.registry import names
from rlbench.sandbox.judge import try_tier
from rlbench.sandbox.tiers import TIERS

EXTRAS = {"hub": "datasets", "trl": "trl"}


def diagnose(data_dir: Path | None) -> None:
    """Print versions, devices, memory, disk, data and extras.

    Raises:
        InputError: the data folder that was named does not exist.
    """
    import torch

    for name, version in environment().items():
        _line(name, version)
    _line("cores", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    _line("memory", f"{pages * size / 2**30:.1f} GiB")
    _line("free disk here", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB")
    _line("cpu capability", torch.backends.cpu.get_cpu_capability())
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            _line(f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    else:
        _line("cuda", "none; device: auto will use the CPU")
    for extra, module in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        _line(f"extra {extra}", "installed" if found else f"missing; pip install 'rlbench[{extra}]'")
    for tier in TIERS:
        problem = try_tier(tier)
        _line(f"sandbox {tier}", problem or "holds: all probes of the self-test were refused")
    for kind in ("algorithms", "graders", "metrics"):
        _line(kind, ", ".join(names(kind)))
    if data_dir is None:
        _line("data folder", "none; set RLBENCH_DATA_DIR or --data-dir to use local copies of public data")
    elif data_dir.is_dir():
        _line("data folder", ", ".join(sorted(path.name for path in data_dir.iterdir() if path.is_dir())))
    else:
        raise InputError(f"data folder {data_dir} does not exist; check --data-dir and RLBENCH_DATA_DIR")


def _line(name: str, value: str) -> None:
    print(f"{name:16} {value}")
