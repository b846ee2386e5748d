"""`rlbench judge`: run completions against a task's unit tests and show what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlbench.errors import InputError
from rlbench.graders.unit_tests import cpu_seconds, of_completion, program
from rlbench.records import Candidate, Sample
from rlbench.sandbox import Judge, Limits, Verdict, open_judge
from rlbench.sandbox.admission import admit
from rlbench.sandbox.verdict import Tier
from rlbench.stages.completions import read_completions
from rlbench.tasks.task import load_task

WIDTH = 120
PRINTED_LINES = 10


def judge_file(
    file: Path,
    task: str,
    split: str,
    sample: str | None,
    seconds: float | None,
    tier: Tier | None,
    unsafe: bool,
    data_dir: Path | None,
) -> None:
    """Judge a JSON Lines file of completions, or one Python file, and print a table, what was printed, and a summary.

    Raises:
        InputError: the file, the task, the split or the sample is wrong.
        SandboxUnavailable: programs cannot be confined here.
    """
    loaded = load_task(task, data_dir)
    samples = loaded.samples(split)
    candidates = _candidates(file, samples, sample)
    programs = [program(candidate.sample, candidate.completion) for candidate in candidates]
    allowed = seconds or cpu_seconds(loaded.graders.get("unit_tests", {}))
    limits = Limits(cpu_seconds=allowed, wall_seconds=3 * allowed)
    with open_judge(tier, limits=limits, unsafe=unsafe) as judge:
        refused = _refused(judge, [candidate.sample for candidate in candidates])
        verdicts = list(map(of_completion, programs, judge.run_many(programs)))
    _print_table(candidates, verdicts)
    _print_output(candidates, verdicts)
    for name, reason in refused.items():
        print(f"{name}: its tests are not admitted, so nothing follows from its verdicts: {reason}")
    _print_summary(verdicts, judge.tier)


def _candidates(file: Path, samples: Sequence[Sample], sample: str | None) -> list[Candidate]:
    """The completions of the file; of one sample if one is named."""
    known = {each.sample_id: each for each in samples}
    if sample is not None and sample not in known:
        raise InputError(f"--sample: {sample!r} does not exist in this split (first: {samples[0].sample_id!r})")
    if file.suffix != ".py":
        found = read_completions(file, samples, every_sample=False)
        chosen = [each for each in found if sample in (None, each.sample.sample_id)]
        if not chosen:
            raise InputError(f"{file}: holds no completion" + (f" of sample {sample!r}" if sample else ""))
        return chosen
    if sample is None:
        raise InputError(f"{file}: a Python file is one program: say with --sample which sample it answers")
    try:
        return [Candidate(known[sample], file.read_text(encoding="utf-8-sig"))]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as UTF-8 text: {error}") from error


def _refused(judge: Judge, samples: Sequence[Sample]) -> dict[str, str]:
    """Why the tests of some samples are not admitted; those without a reference are taken as they are."""
    checked = [each for each in dict.fromkeys(samples) if each.references]
    found = admit(judge, [program(each, each.references[0]) for each in checked])
    return {each.sample_id: said.refusal for each, said in zip(checked, found, strict=True) if said.refusal}


def _print_table(candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> None:
    print(f"{'sample':16} {'#':>3}  {'verdict':18} {'checks':>7} {'CPU s':>6}  reason")
    for candidate, verdict in zip(candidates, verdicts, strict=True):
        checks = f"{verdict.checks_passed}/{verdict.checks_total}"
        line = (
            f"{candidate.sample.sample_id:16} {candidate.completion_index:3}  {verdict.status:18} {checks:>7} "
            f"{verdict.cpu_seconds:6.2f}  {_printable(verdict.reason)}"
        ).rstrip()
        print(line if len(line) <= WIDTH else line[: WIDTH - 3] + "...")


def _print_output(candidates: Sequence[Candidate], verdicts: Sequence[Verdict]) -> None:
    for candidate, verdict in zip(candidates, verdicts, strict=True):
        lines = verdict.output.splitlines()
        if lines:
            print(f"\nprinted by {candidate.sample.sample_id} #{candidate.completion_index}:")
            for line in lines[:PRINTED_LINES]:
                print(f"  {_printable(line)[: WIDTH - 2]}")
            if len(lines) > PRINTED_LINES:
                print(f"  ... {len(lines) - PRINTED_LINES} more lines")


def _print_summary(verdicts: Sequence[Verdict], tier: Tier) -> None:
    counts = ", ".join(f"{count} {status}" for status, count in Counter(each.status for each in verdicts).most_common())
    judged = [each for each in verdicts if each.status != "infra_error"]
    passed = sum(each.passed for each in judged)
    share = f": {100 * passed / len(judged):.2f} % passed" if judged else ""
    confined = "WITHOUT A SANDBOX" if tier == "none" else f"tier {tier}"
    print(f"\n{passed}/{len(judged)} programs{share} ({counts}; {confined})")


def _printable(text: str) -> str:
    """A program has a say in what is shown: nothing of it may steer the terminal."""
    return "".join(each if each.isprintable() else " " for each in text)
