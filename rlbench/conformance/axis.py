"""Records of a conformance check: one axis, the numeric comparison, the check of one algorithm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["agrees", "differs", "cannot tell"]
Value = str | float | None
"""What was measured: a name or a number; None where no probe could tell."""

SCHEMA_VERSION = 1
TOLERANCE = 1e-5
"""Largest relative difference of a loss or a gradient that counts as equal."""
EXIT_CODES: Mapping[Verdict, int] = {"agrees": 0, "differs": 1, "cannot tell": 3}


def rounded(value: float) -> float:
    """Six significant digits: what a probe can tell in float32."""
    return float(f"{value:.6g}")


@dataclass(frozen=True)
class Axis:
    """One axis on which implementations differ: our definition, what was measured, and why we say so."""

    name: str
    ours: Value
    theirs: Value
    verdict: Verdict
    evidence: str


def axis(name: str, ours: Value, theirs: Value, evidence: str = "") -> Axis:
    """Judge an axis. Numbers agree within one in a thousand: a probe locates a clip or a weight that well."""
    if theirs is None or ours is None:
        return Axis(name, ours, theirs, "cannot tell", evidence)
    if isinstance(ours, str) or isinstance(theirs, str):
        same = ours == theirs
    else:
        same = abs(ours - theirs) <= 1e-3 * max(abs(ours), abs(theirs))
    return Axis(name, ours, theirs, "agrees" if same else "differs", evidence)


@dataclass(frozen=True)
class Difference:
    """Relative differences of two losses and of their gradients with respect to all parameters of the tiny model."""

    loss: float
    gradient: float

    @property
    def negligible(self) -> bool:
        """Whether both are at most `TOLERANCE`."""
        return self.loss <= TOLERANCE and self.gradient <= TOLERANCE


@dataclass(frozen=True)
class Check:
    """What was found out about one algorithm of a trainer.

    `against_ours` compares their setting with our definition on the same model and data; `explained` compares it
    with our algorithm after its axes were set to what was measured, None where that cannot be computed.
    `not_alike` names the axes of ours that cannot be set to what was measured. `notes` say what else was seen; they
    do not count.
    """

    algorithm: str
    options: Mapping[str, Any]
    ours: Mapping[str, Any]
    axes: tuple[Axis, ...]
    against_ours: Difference | None
    explained: Difference | None
    not_alike: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """A measured difference stays one, whatever else could not be told."""
        if any(axis.verdict == "differs" for axis in self.axes):
            return "differs"
        unexplained = self.explained is None or not self.explained.negligible
        return "cannot tell" if unexplained or any(axis.verdict == "cannot tell" for axis in self.axes) else "agrees"

    def __getitem__(self, name: str) -> Axis:
        """The axis of that name."""
        return next(axis for axis in self.axes if axis.name == name)


def worst(checks: Iterable[Check]) -> Verdict:
    """The verdict over several algorithms: differs before cannot tell before agrees."""
    found = {check.verdict for check in checks}
    order: tuple[Verdict, ...] = ("differs", "cannot tell", "agrees")
    return next((verdict for verdict in order if verdict in found), "agrees")


def to_json(trainer: str, version: str, checks: Iterable[Check]) -> dict[str, Any]:
    """The checks as plain data, with the version of the schema and of the trainer."""
    checks = list(checks)
    return {
        "schema_version": SCHEMA_VERSION,
        "trainer": trainer,
        "trainer_version": version,
        "verdict": worst(checks),
        "checks": [asdict(check) | {"verdict": check.verdict} for check in checks],
    }


def from_json(data: Mapping[str, Any]) -> list[Check]:
    """What `to_json` was given."""
    return [
        Check(
            row["algorithm"],
            row["options"],
            row["ours"],
            tuple(Axis(**one) for one in row["axes"]),
            Difference(**row["against_ours"]) if row["against_ours"] else None,
            Difference(**row["explained"]) if row["explained"] else None,
            tuple(row["not_alike"]),
            tuple(row["notes"]),
        )
        for row in data["checks"]
    ]
