"""What the judge says about a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal[
    "passed",
    "failed",  # an assertion did not hold, or the output differs
    "error",  # an exception reached the tests
    "load_error",  # the program cannot be compiled or imported
    "cpu_limit",
    "wall_limit",
    "memory_limit",
    "output_limit",
    "crashed",  # ended by a signal
    "candidate_exit",  # ended itself
    "protocol_violation",  # sent what is no answer
    "sandbox_violation",  # did what is forbidden on pain of death
    "unsupported_return",  # returned what cannot cross to the tests
    "infra_error",  # the judge could not do its work: no statement about the program
]
Tier = Literal["A", "B", "C", "D", "none"]


@dataclass(frozen=True)
class Verdict:
    """The outcome for one program. `infra_error` says nothing about it and is never counted as a failure."""

    status: Status
    reason: str = ""
    checks_passed: int = 0
    """Assertions (or cases) that held."""
    checks_total: int = 0
    output: str = ""
    """What the program printed, standard output before standard error, cut to 64 KiB."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    tier: Tier = "none"
    """How the program was confined; `none` is refused by rewards, reports and leaderboards."""
    tests_broken: bool = False
    """An `infra_error` for good: the setup of the tests fails, whatever the program is."""
    weak: bool = False
    """The tests ran in the program's own process, so that it could have forged the verdict."""

    @property
    def passed(self) -> bool:
        """Whether every check held."""
        return self.status == "passed"

    @property
    def fraction(self) -> float:
        """Share of checks that held, from 0 to 1; 0 where the program did not end in the ordinary way."""
        if self.status not in ("passed", "failed", "error") or not self.checks_total:
            return float(self.passed)
        return self.checks_passed / self.checks_total
