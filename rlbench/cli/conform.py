"""`rlbench conform`: what an installed trainer computes, axis by axis, against our definitions."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlbench.errors import InputError
from rlbench.yaml_file import parse_yaml


def check_trainer(
    trainer: str, algorithm: str | None, changes: Sequence[str], ours: Sequence[str], out: Path | None
) -> int:
    """Print the tables, write the JSON file if asked for, and return the exit code.

    Raises:
        InputError: a name or option is wrong, or the trainer is not installed.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the libraries are imported; nothing comes from the hub
    from rlbench.conformance.axis import EXIT_CODES, to_json, worst
    from rlbench.conformance.table import render
    from rlbench.conformance.trainers import conform

    version, checks = conform(trainer, algorithm, _settings("--set", changes), _settings("--ours", ours))
    print(render(trainer, version, checks), end="")
    if out is not None:
        try:
            out.write_text(json.dumps(to_json(trainer, version, checks), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"--json {out} cannot be written: {error.strerror}; name a file in a folder") from error
    return EXIT_CODES[worst(checks)]


def _settings(option: str, changes: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs with YAML values."""
    found = {}
    for change in changes:
        name, sign, value = change.partition("=")
        if not sign or not name:
            raise InputError(f"{option} {change!r}: expected KEY=VALUE, for example {option} beta=0.04")
        found[name.strip()] = _value(parse_yaml(value, f"{option} {name}").data if value.strip() else None)
    return found


def _value(value: Any) -> Any:
    """YAML takes 1e-4 for a text, because it has no point."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value
