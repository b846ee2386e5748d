"""The judge: lanes that run programs in parallel, and what their outcomes mean."""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any

from rlbench.errors import InputError
from rlbench.sandbox.external import ExternalLane
from rlbench.sandbox.lane import Lane, LaneBroken, Outcome
from rlbench.sandbox.meaning import Meaning, broken_setup, counts, of_case, of_tests, of_weak_tests
from rlbench.sandbox.prepared import prepare
from rlbench.sandbox.program import Limits, Program
from rlbench.sandbox.selftest import LIMITS, self_test
from rlbench.sandbox.tiers import TIERS, SandboxUnavailable
from rlbench.sandbox.verdict import Tier, Verdict

AnyLane = Lane | ExternalLane
_ATTEMPTS = 3
_KEPT_OUTPUT_BYTES = 1 << 16


class Judge:
    """Judges programs in a sandbox. Made by `open_judge`; close it, or use it in a `with` statement.

    It may be used from several threads.
    """

    def __init__(self, tier: Tier, lanes: int, limits: Limits) -> None:
        self.tier: Tier = tier
        self.limits = limits
        self._secret = secrets.token_hex(16)
        self._all: list[AnyLane] = []
        try:
            for index in range(lanes):
                self._all.append(_lane(tier, index))
        except BaseException:
            self._close_lanes()
            raise
        self._free: queue.SimpleQueue[AnyLane] = queue.SimpleQueue()
        for lane in self._all:
            self._free.put(lane)
        self._pool = ThreadPoolExecutor(lanes, thread_name_prefix="judge")

    def run(
        self,
        source: str,
        tests: str = "",
        entry_points: Sequence[str] = (),
        setup: str = "",
        cases: Sequence[tuple[str, str]] = (),
        *,
        weak: bool = False,
    ) -> Verdict:
        """Judge one program; see `Program` for the arguments.

        Raises:
            InputError: there is nothing to test with, or the tests are no Python.
        """
        program = Program(source, tests, tuple(entry_points), setup, tuple((given, wanted) for given, wanted in cases))
        return self.run_many([program], weak=weak)[0]

    def run_many(self, programs: Iterable[Program | Mapping[str, Any]], *, weak: bool = False) -> list[Verdict]:
        """Judge programs in parallel; verdicts come in their order.

        Args:
            programs: each a `Program` or a mapping with its fields.
            weak: run the tests in the program's own process. Such a verdict can be forged and says so.

        Raises:
            InputError: there is nothing to test with, or the tests are no Python.
        """
        ready = [_checked(program) for program in programs]
        return list(self._pool.map(lambda program: self._judge(program, weak), ready))

    def _judge(self, program: Program, weak: bool) -> Verdict:
        if len(program.source.encode(errors="surrogatepass")) > self.limits.source_bytes:
            return Verdict("load_error", f"the source is longer than {self.limits.source_bytes} bytes", tier=self.tier)
        for _ in range(_ATTEMPTS):
            lane = self._free.get()
            try:
                verdict = self._run_cases(lane, program) if program.cases else self._run_tests(lane, program, weak)
            except (LaneBroken, OSError) as error:
                verdict = Verdict("infra_error", str(error), tier=self.tier)
                with contextlib.suppress(SandboxUnavailable, OSError):  # then the next attempt finds it broken again
                    lane = self._replace(lane)
            finally:
                self._free.put(lane)
            if verdict.status != "infra_error" or verdict.tests_broken:
                break
        return verdict

    def _replace(self, lane: AnyLane) -> AnyLane:
        lane.close()
        index = self._all.index(lane)
        self._all[index] = _lane(self.tier, index)
        return self._all[index]

    def _run_tests(self, lane: AnyLane, program: Program, weak: bool) -> Verdict:
        """Judge a program by tests that call it; `weak`: the tests' process runs the program itself."""
        tests = prepare(program.tests, program.setup, program.entry_points, self.limits.reply_bytes)
        if not tests.entry_points and not weak:
            raise InputError("judge: no entry points: the tests use no name that they do not define; name them")
        tests = replace(tests, seed=self._secret + program.tests)  # the same tests draw the same numbers every time
        source = program.source
        if weak:
            source = ""
            tests = replace(tests, entry_points=(), weak=True, source=program.source)
        outcome = lane.run(self.limits, source, tests)
        broken = None if weak else broken_setup(outcome)
        if broken:
            return replace(self._verdict(broken, [outcome], (0, 1), weak=weak), tests_broken=True)
        found = self._printed_too_much(outcome) or (of_weak_tests(outcome) if weak else of_tests(outcome))
        return self._verdict(found, [outcome], counts(outcome), weak=weak)

    def _run_cases(self, lane: AnyLane, program: Program) -> Verdict:
        """Judge a program by what it prints for each input; the comparison is made here, outside of the sandbox."""
        outcomes: list[Outcome] = []
        passed, problem = 0, None
        for number, (given, wanted) in enumerate(program.cases, 1):
            outcome = lane.run(self.limits, program.source, None, given.encode(errors="surrogatepass"))
            outcomes.append(outcome)
            found = self._printed_too_much(outcome) or of_case(outcome, wanted)
            passed += found is None
            if found is not None and problem is None:
                problem = (found[0], f"case {number}: {found[1]}")
            if found is not None and found[0] not in ("failed", "error"):
                break  # what ran into a limit would do so again
        return self._verdict(problem or ("passed", ""), outcomes, (passed, len(program.cases)), weak=False)

    def _printed_too_much(self, outcome: Outcome) -> Meaning | None:
        if outcome.printed_bytes < self.limits.output_bytes:
            return None
        return "output_limit", f"printed more than {self.limits.output_bytes} bytes"

    def _verdict(self, found: Meaning, outcomes: Sequence[Outcome], checks: tuple[int, int], *, weak: bool) -> Verdict:
        printed = b"".join(outcome.stdout + outcome.stderr for outcome in outcomes)
        ends = [end for outcome in outcomes for end in (outcome.program, outcome.tests) if end is not None]
        return Verdict(
            status=found[0],
            reason=found[1],
            checks_passed=checks[0],
            checks_total=checks[1],
            output=printed[:_KEPT_OUTPUT_BYTES].decode(errors="replace"),
            cpu_seconds=sum(end.cpu_seconds for end in ends),
            wall_seconds=sum(outcome.wall_seconds for outcome in outcomes),
            tier=self.tier,
            weak=weak,
        )

    def close(self) -> None:
        """End all lanes."""
        self._pool.shutdown()
        self._close_lanes()

    def _close_lanes(self) -> None:
        for lane in self._all:
            lane.close()
        self._all.clear()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lane(tier: Tier, index: int) -> AnyLane:
    return ExternalLane() if tier == "D" else Lane(tier, index)


def _checked(program: Program | Mapping[str, Any]) -> Program:
    """The program as a record, with entry points.

    Raises:
        InputError: there is nothing to test with, both or the wrong kind of thing, or the tests are no Python.
    """
    if not isinstance(program, Program):
        try:
            program = Program(**program)
        except TypeError as error:
            raise InputError(f"judge: expected a Program or a mapping with its fields, got {program!r:.80}") from error
    for name in ("source", "tests", "setup"):
        if not isinstance(getattr(program, name), str):
            raise InputError(f"judge: {name}: expected text, got {getattr(program, name)!r:.80}")
    if bool(program.tests.strip()) == bool(program.cases):
        raise InputError("judge: expected either tests (Python that calls the program) or cases (input, output)")
    if isinstance(program.entry_points, str):
        raise InputError(f"judge: entry_points: expected a list of names, got the text {program.entry_points!r}")
    return replace(program, entry_points=tuple(program.entry_points))


def open_judge(
    tier: Tier | None = None, lanes: int | None = None, limits: Limits | None = None, *, unsafe: bool = False
) -> Judge:
    """Open a judge in the strongest tier that this machine passes the self-test for.

    Args:
        tier: "A", "B", "C" or "D" insists on one; the strongest by default.
        lanes: programs at a time; one per usable core by default.
        limits: what a program may use.
        unsafe: run programs without any confinement. Verdicts then carry tier "none", which rewards, reports and
            leaderboards refuse. For debugging on a machine that holds nothing of value.

    Raises:
        SandboxUnavailable: programs cannot be confined here, or not in the tier that was asked for.
        InputError: an argument makes no sense.
    """
    if tier is not None and tier not in TIERS:
        raise InputError(f"judge: tier: expected one of {', '.join(TIERS)}, got {tier!r}")
    if unsafe and tier is not None:
        raise InputError("judge: a tier was asked for together with unsafe; leave one of the two out")
    if lanes is not None and lanes < 1:
        raise InputError(f"judge: lanes: expected at least 1, got {lanes}")
    count, allowed = lanes or len(os.sched_getaffinity(0)), limits or Limits()
    if unsafe:
        return Judge("none", count, allowed)
    problems = []
    for candidate in [tier] if tier else TIERS:
        try:
            return _tested(candidate, count, allowed)
        except SandboxUnavailable as error:
            problems.append(str(error))
    raise SandboxUnavailable(
        "programs cannot be confined on this machine, and they are never run bare:\n  "
        + "\n  ".join(problems)
        + "\nInstall bubblewrap, use a kernel with Landlock or seccomp, or configure a runner (docs/sandbox.md)"
    )


def try_tier(tier: Tier) -> str:
    """Run the self-test of a tier; return "" if it holds, or why it cannot be used."""
    try:
        _tested(tier, 1, Limits()).close()
    except SandboxUnavailable as error:
        return str(error).removeprefix(f"tier {tier}: ")
    return ""


def _tested(tier: Tier, lanes: int, limits: Limits) -> Judge:
    """Return a judge whose tier has passed the self-test.

    Raises:
        SandboxUnavailable: it cannot be started, or a probe got through.
    """
    judge = Judge(tier, lanes, LIMITS)
    try:
        problems = self_test(tier, judge.run_many)
    except BaseException:
        judge.close()
        raise
    if problems:
        judge.close()
        raise SandboxUnavailable(f"tier {tier} does not hold: {'; '.join(problems)}")
    judge.limits = limits
    return judge
