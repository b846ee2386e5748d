"""Rows of the tables: worlds of every kind, each for any number of seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rlbench.calibration.worlds import Binary, Continuous, Ratio

DISCRETE = "coarse scores"
HEAVY = "heavy tails"

SDS = {
    "prompts dominate, seeds alike": (0.0, 3.0, 1.0),
    "prompts dominate": (0.05, 3.0, 1.0),
    "balanced": (0.2, 1.0, 1.0),
    "seeds dominate": (1.0, 0.3, 0.3),
}
"""σ of seeds, prompts and residual."""


@dataclass(frozen=True)
class Row:
    """A world without its number of seeds. `cautious` says why its test may reject less often than 5 %."""

    family: str
    name: str
    template: Continuous | Binary | Ratio
    cautious: str = ""
    paired: bool = True

    def world(self, seeds: int) -> Continuous | Binary | Ratio:
        """The world with this many seeds per arm."""
        if isinstance(self.template, Continuous) and not self.paired:
            return replace(self.template, seeds=seeds, seeds_b=seeds * (self.template.seeds_b or 1))
        return replace(self.template, seeds=seeds)

    @property
    def difference(self) -> float:
        """The true difference between the arms; 0 says that a rejection is an error."""
        return self.template.slope if isinstance(self.template, Ratio) else self.template.difference

    def design(self) -> dict[str, str]:
        """The row's own columns."""
        return {
            "world": self.name,
            "prompts": str(self.template.prompts),
            "samples": str(self.template.samples) if isinstance(self.template, Binary) else "",
            "difference": f"{self.difference:g}",
        }


def continuous(prompts: int) -> Iterator[Row]:
    """Normal and heavy-tailed scores; intervals are the same wherever the difference lies."""
    for name, sds in SDS.items():
        yield Row("normal", name, Continuous(0, prompts, *sds))
    for name in ("balanced", "seeds dominate"):
        yield Row("heavy-tailed", f"heavy tails, {name}", Continuous(0, prompts, *SDS[name], heavy_tails=True), HEAVY)


def nothing_but_noise(prompts: int) -> Iterator[Row]:
    """Neither seeds nor prompts vary of themselves."""
    yield Row("normal", "nothing but noise", Continuous(0, prompts, 0.0, 0.0, 1.0))


def binary(prompts: int) -> Iterator[Row]:
    """Right or wrong answers."""
    for samples in (1, 4):
        cautious = DISCRETE if samples == 1 else ""
        for accuracy, difference in ((0.5, 0.0), (0.7, 0.0), (0.7, 0.1)):
            world = Binary(0, prompts, accuracy, samples, difference)
            yield Row("binary", f"accuracy {accuracy:g}", world, cautious)


def ceiling(prompts: int) -> Iterator[Row]:
    """Nearly all answers are right."""
    for samples in (1, 4):
        for difference in (0.0, 0.03):
            yield Row("ceiling", "accuracy 0.95", Binary(0, prompts, 0.95, samples, difference), DISCRETE)


def extreme_ceiling(prompts: int) -> Iterator[Row]:
    """All answers are right but one in 43."""
    for samples in (1, 4):
        for difference in (0.0, 0.015):
            yield Row("ceiling", "accuracy 0.977", Binary(0, prompts, 0.977, samples, difference), DISCRETE)


def unpaired(prompts: int) -> Iterator[Row]:
    """Arms whose seeds have nothing in common."""
    for name in ("prompts dominate", "balanced", "seeds dominate"):
        world = Continuous(0, prompts, *SDS[name], seeds_b=1)
        yield Row("unpaired", f"unpaired, {name}", world, paired=False)
    twice = Continuous(0, prompts, *SDS["balanced"], seeds_b=2)
    yield Row("unpaired", "unpaired, balanced, b has twice the seeds", twice, paired=False)
    yield Row("unpaired", "unpaired, accuracy 0.7", Binary(0, prompts, 0.7), DISCRETE, paired=False)


def ratio(prompts: int) -> Iterator[Row]:
    """A corpus metric: the ratio of two sums."""
    for slope in (0.0, 0.2):
        yield Row("corpus ratio", "Σ cost / Σ length", Ratio(0, prompts, 0.05, 0.3, slope))
