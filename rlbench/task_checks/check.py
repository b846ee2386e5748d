"""What one check of a task says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "not checked"]
SHOWN = 3


@dataclass(frozen=True)
class Check:
    """One line of `rlbench tasks check`; `not checked` is no success, and the detail says why."""

    name: str
    status: Status
    detail: str


def verdict(name: str, problems: Sequence[str], total: int, detail: str) -> Check:
    """Return a check that failed if any of `total` things has a problem, and says `detail` otherwise."""
    if not problems:
        return Check(name, "ok", detail)
    more = "; ..." if len(problems) > SHOWN else ""
    return Check(name, "failed", f"{len(problems)} of {total}: {'; '.join(problems[:SHOWN])}{more}")


def short(text: str, length: int = 60) -> str:
    """Return a text in quotes, its end left out if it is long."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")
