"""What the judge is asked to run: a program, how it is tested, and what it may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    """Source code that nobody trusts, and what it is tested with.

    Either `tests` (Python source that calls `entry_points` of the program: asserts, or unittest classes) or `cases`
    (standard input and the standard output expected for it). `setup` is trusted code that runs before the tests, on
    their side. Without `entry_points`, the names that the tests use but do not define are taken.
    """

    source: str
    tests: str = ""
    entry_points: tuple[str, ...] = ()
    setup: str = ""
    cases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Limits:
    """What one program may use. CPU time decides; the wall clock only ends what does not compute.

    Time that a program waits for a free core does not count against `wall_seconds`.
    """

    cpu_seconds: float = 3.0
    wall_seconds: float = 9.0
    memory_bytes: int = 1 << 30
    """Address space."""
    stack_bytes: int = 64 << 20
    output_bytes: int = 4 << 20
    """Standard output and standard error, each."""
    reply_bytes: int = 8 << 20
    """One returned value, encoded."""
    source_bytes: int = 1 << 20
    open_files: int = 64
    threads: int = 64
