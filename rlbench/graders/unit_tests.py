"""Judges code by unit tests, in a sandbox, so that a completion can neither do harm nor forge its verdict.

The code is taken out of the completion by `graders/extraction.py` and judged by `rlbench.sandbox`.

Columns:
    passed: 1 if every check held.
    fraction: share of the checks that held; 0 if the program was stopped or could not be loaded.
    loaded: 0 if the completion holds no program, or one that cannot be compiled or imported.

A sample is *admitted* if its first reference passes its tests and programs that do no work fail them: otherwise the
verdicts would say nothing. Samples that are not admitted are unscored, or with `unsplittable: weak` judged without the
separation of program and tests, and stamped so. Where the judge itself failed, the completion is unscored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field

from rlbench.errors import InputError
from rlbench.graders.extraction import extract_code
from rlbench.graders.judging import Judging, judging
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Grader, Judgement, Sample, Scored, Unscored
from rlbench.sandbox import Program, Verdict
from rlbench.sandbox.admission import Admission
from rlbench.sandbox.entry_points import free_names

COLUMNS = ("passed", "fraction", "loaded")
REASON_LENGTH = 200


class _Options(Options):
    """`cpu_seconds` is what one program may compute.

    `unsplittable` says what becomes of samples that are not admitted; `trust_tests` admits samples without a reference
    unchecked; `unsafe` judges without a sandbox where none can be had. Rewards refuse `weak` and `unsafe`.
    """

    cpu_seconds: float = Field(default=3.0, gt=0, le=600)
    unsplittable: Literal["exclude", "weak"] = "exclude"
    trust_tests: bool = False
    unsafe: bool = False


def unit_tests(**options: object) -> Grader:
    """Return the grader of code by unit tests.

    Raises:
        InputError: an option is unknown or wrong.
    """
    grading = _Grading(read_options("unit_tests", _Options, options))
    return Grader(
        name="unit_tests",
        version=1,
        columns=COLUMNS,
        grade=grading.grade,
        description="code judged by unit tests in a sandbox: all passed, share passed, and whether it loads",
        options=grading.options.model_dump(),
        admits=grading.admits,
    )


def cpu_seconds(options: Mapping[str, object]) -> float:
    """What one program may compute, by the options that a task gives to this grader.

    Raises:
        InputError: an option is unknown or wrong.
    """
    return read_options("unit_tests", _Options, options).cpu_seconds


def program(sample: Sample, completion: str) -> Program:
    """Return the program in a completion together with the tests of its sample.

    Raises:
        InputError: the sample has no unit tests.
    """
    tests = sample.tests
    if tests is None:
        raise InputError(f"sample {sample.sample_id!r} has no unit tests; expected `tests:` in its task.yaml")
    names = tests.entry_points or (() if tests.cases else free_names(tests.code, tests.setup))
    source = extract_code(completion, starter=tests.starter, entry_points=names)
    return Program(source, tests.code, tests.entry_points, tests.setup, tests.cases)


class _Grading:
    """Grades with one set of options."""

    def __init__(self, options: _Options) -> None:
        self.options = options

    def admits(self, samples: Sequence[Sample]) -> list[str]:
        """Return for each sample why its tests cannot be trusted, or "".

        Raises:
            InputError: the judge failed, so that nobody can tell.
        """
        found = self._admissions(samples)
        for sample, admission in zip(samples, found, strict=True):
            if not admission.decided:
                raise InputError(
                    f"grader 'unit_tests': the tests of sample {sample.sample_id!r} could not be checked: "
                    f"{_short(admission.refusal)}; run the same command again, or see `rlbench doctor`"
                )
        return [admission.refusal for admission in found]

    def _admissions(self, samples: Sequence[Sample]) -> list[Admission]:
        found = dict.fromkeys(samples, Admission())
        check = []
        for sample in found:
            if sample.tests is None:
                found[sample] = Admission("the sample has no unit tests")
            elif sample.tests.admitted:
                continue
            elif sample.references:
                check.append(sample)
            elif not self.options.trust_tests:
                found[sample] = Admission("no reference solution to check the tests with")
        references = [program(sample, sample.references[0]) for sample in check]
        found |= zip(check, self._judging.admissions(references), strict=True)
        return [found[sample] for sample in samples]

    def grade(self, candidates: Sequence[Candidate]) -> list[Judgement]:
        """Judge all candidates at once, each distinct program once."""
        judgements: dict[int, Judgement] = {}
        split, weak = list[int](), list[int]()
        admissions = self._admissions([candidate.sample for candidate in candidates])
        for index, (candidate, admission) in enumerate(zip(candidates, admissions, strict=True)):
            if not admission.refusal:
                split.append(index)
            elif not admission.decided:
                judgements[index] = Unscored(_short(admission.refusal))
            elif self.options.unsplittable == "weak" and candidate.sample.tests is not None:
                weak.append(index)
            else:
                judgements[index] = Unscored(f"not admitted: {_short(admission.refusal)}")
        for chosen, is_weak in ((split, False), (weak, True)):
            programs = [program(candidates[index].sample, candidates[index].completion) for index in chosen]
            verdicts = self._judging.verdicts(programs, is_weak)
            judgements |= zip(chosen, map(_judgement, programs, verdicts), strict=True)
        return [judgements[index] for index in range(len(candidates))]

    @property
    def _judging(self) -> Judging:
        return judging(self.options.cpu_seconds, self.options.unsafe)


def of_completion(judged: Program, verdict: Verdict) -> Verdict:
    """The verdict on a completion: nothing can be loaded without an error, but it is no program."""
    if judged.source.strip():
        return verdict
    return replace(verdict, status="load_error", reason="no program in the completion", checks_passed=0)


def _judgement(judged: Program, verdict: Verdict) -> Judgement:
    verdict = of_completion(judged, verdict)
    reason = _short(f"{verdict.status}: {verdict.reason}" if verdict.reason else verdict.status)
    if verdict.status == "infra_error":
        return Unscored(reason)
    return Scored(
        {
            "passed": float(verdict.passed),
            "fraction": verdict.fraction,
            "loaded": float(verdict.status != "load_error"),
        },
        reason,
        {"sandbox": verdict.tier, "judged": "weak" if verdict.weak else "split"},
    )


def _short(text: str) -> str:
    """One printable line: a program has a say in what the judge reports about it."""
    line = "".join(each if each.isprintable() else " " for each in text)
    line = " ".join(line.split())
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 3] + "..."
