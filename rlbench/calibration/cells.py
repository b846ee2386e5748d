"""A cell of the calibration table: one design, tried many times, with the band that its rates must lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import binom

from rlbench.calibration.trials import Trial

PUBLISHED = 10_000
"""From this many runs on, measured rates are judged as they are; with fewer, chance has its say."""

_SLACK = 0.001


@dataclass(frozen=True)
class Band:
    """What is accepted of a rate, both ends included."""

    low: float
    high: float

    def holds(self, count: int, runs: int) -> bool:
        """Whether the rate `count` / `runs` is accepted.

        With fewer than `PUBLISHED` runs, a count is accepted that a rate inside the band reaches with probability
        .001 on either side.
        """
        if runs >= PUBLISHED:
            return self.low <= count / runs <= self.high
        return bool(binom.ppf(_SLACK, runs, self.low) <= count <= binom.ppf(1 - _SLACK, runs, self.high))


@dataclass(frozen=True)
class Cell:
    """One design.

    `section` is a part of the page, `family` a line of its figure, `design` names the row of the table (all but the
    seeds), `seeds` its column. `bands` are by event of the trial; events without one are shown and not judged.
    `note` says why a rate may be lower than usual, or why the design is outside what we vouch for.
    """

    section: str
    family: str
    design: Mapping[str, str]
    seeds: int
    trial: Trial
    bands: Mapping[str, Band]
    note: str = ""

    @property
    def name(self) -> str:
        """The name of its stream of random numbers."""
        return "/".join([self.section, self.family, *self.design.values(), str(self.seeds)])


@dataclass(frozen=True)
class Measured:
    """What was counted in a cell; what calibration.json holds of it."""

    section: str
    family: str
    design: Mapping[str, str]
    seeds: int
    bands: Mapping[str, Band]
    note: str
    runs: int
    counts: Mapping[str, int]

    def rate(self, event: str) -> float:
        """How often an event happened."""
        return self.counts.get(event, 0) / self.runs

    @property
    def outside(self) -> list[str]:
        """Events whose rate is outside of its band."""
        return [event for event, band in self.bands.items() if not band.holds(self.counts.get(event, 0), self.runs)]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "section": self.section,
            "family": self.family,
            "design": dict(self.design),
            "seeds": self.seeds,
            "bands": {event: [band.low, band.high] for event, band in self.bands.items()},
            "note": self.note,
            "runs": self.runs,
            "counts": dict(sorted(self.counts.items())),
            "outside": self.outside,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Measured:
        """What `to_json` wrote."""
        bands = {event: Band(*band) for event, band in row["bands"].items()}
        return cls(
            row["section"], row["family"], row["design"], row["seeds"], bands, row["note"], row["runs"], row["counts"]
        )
