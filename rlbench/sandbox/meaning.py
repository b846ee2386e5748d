"""What the outcome of a job says about the program.

Nothing that a program can bring about may end as `infra_error`: that would let it escape a verdict.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any, get_args

from rlbench.sandbox.inside.channel import READY
from rlbench.sandbox.lane import End, Outcome
from rlbench.sandbox.verdict import Status

Meaning = tuple[Status, str]
_KILLED: dict[str, Meaning] = {
    "cpu": ("cpu_limit", "used more CPU time than allowed"),
    "wall": ("wall_limit", "took longer than allowed"),
    "threads": ("sandbox_violation", "started more threads than allowed"),
}
_SIGNALS: dict[int, Meaning] = {
    signal.SIGXCPU: _KILLED["cpu"],
    signal.SIGSYS: ("sandbox_violation", "made a forbidden system call"),
    signal.SIGXFSZ: ("output_limit", "wrote more than allowed"),
}
_LONGEST_SHOWN = 60
_MOST_CHECKS = 10_000_000


def of_tests(outcome: Outcome) -> Meaning:
    """The verdict on a program that was called by tests in another process."""
    report, tests = _report(outcome), outcome.tests
    assert tests is not None
    if report is None:
        return _of_broken_tests(outcome.program, tests)
    status, reason = report["status"], report["reason"]
    if status == "gone":
        return _of_end(outcome.program)
    if status == "infra_error" and outcome.program.killed in _KILLED:
        return _KILLED[outcome.program.killed]
    return status, reason


def counts(outcome: Outcome) -> tuple[int, int]:
    """Checks that held, and checks there were."""
    report = _report(outcome)
    return (report["passed"], report["total"]) if report else (0, 1)


def broken_setup(outcome: Outcome) -> Meaning | None:
    """The verdict where the code that the tests need does not run; None where it does."""
    if outcome.report is None or outcome.report.get("status") != "tests_broken":
        return None
    return "infra_error", f"the setup of the tests fails: {outcome.report.get('reason')}"


def of_weak_tests(outcome: Outcome) -> Meaning:
    """The verdict where the tests' process ran the program itself, so that its end is the program's."""
    report, tests = _report(outcome), outcome.tests
    assert tests is not None
    if report is None:
        return _of_end(tests)
    if report["status"] in ("infra_error", "gone"):  # the program may have written this itself
        return "protocol_violation", "no report that could be its own"
    return report["status"], report["reason"]


def of_case(outcome: Outcome, wanted: str) -> Meaning | None:
    """The verdict on a script that got one input; None if it printed what was wanted."""
    first, problem = (*outcome.said, "", "")[:2]
    if first != READY.decode():
        return "infra_error", f"the program's process could not be confined: {first}"
    if problem:
        return "load_error", problem
    end = outcome.program
    if end.killed or not os.WIFEXITED(end.status):
        return _of_end(end)
    if os.WEXITSTATUS(end.status) != 0:
        lines = outcome.stderr.decode(errors="replace").strip().splitlines()
        return "error", lines[-1][:200] if lines else f"exit status {os.WEXITSTATUS(end.status)}"
    printed = outcome.stdout.decode(errors="replace")
    if _lines(printed) == _lines(wanted):
        return None
    return "failed", f"expected {_shown(wanted)}, got {_shown(printed)}"


def _of_end(end: End) -> Meaning:
    """What it means that a program's process ended before it had answered."""
    if end.killed in _KILLED:
        return _KILLED[end.killed]
    if os.WIFSIGNALED(end.status):
        number = os.WTERMSIG(end.status)
        if end.killed == "done" and number == signal.SIGKILL:  # it was still there when the tests heard no more of it
            return "protocol_violation", "hung up on the tests"
        name = signal.strsignal(number) if number in signal.valid_signals() else None
        return _SIGNALS.get(number, ("crashed", f"ended by signal {name or number}"))
    return "candidate_exit", f"ended itself with status {os.WEXITSTATUS(end.status)}"


def _of_broken_tests(program: End, tests: End) -> Meaning:
    """The tests did not come to a verdict: they used up a limit, perhaps with what the program returned."""
    if program.killed in _KILLED:
        return _KILLED[program.killed]
    if tests.killed in _KILLED:
        status, reason = _KILLED[tests.killed]
        return status, f"the tests {reason}"
    if os.WIFSIGNALED(tests.status) and os.WTERMSIG(tests.status) != signal.SIGKILL:
        return "error", f"the tests crashed: signal {os.WTERMSIG(tests.status)}"
    return "infra_error", "the tests' process ended without a report"


def _report(outcome: Outcome) -> Mapping[str, Any] | None:
    """What the tests' process reported, if it is a report at all."""
    report = outcome.report
    known = (*get_args(Status), "gone")
    if report is None or report.get("status") not in known:
        return None
    passed, total = report.get("passed"), report.get("total")
    if type(passed) is not int or type(total) is not int or type(report.get("reason")) is not str:
        return None
    return report if 0 <= passed <= total <= _MOST_CHECKS else None


def _lines(text: str) -> list[str]:
    """The lines without blanks at their ends and without empty lines at the end."""
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _shown(text: str) -> str:
    text = text.rstrip()
    return repr(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "...")
