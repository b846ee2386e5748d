"""Real programs: HumanEval's and MBPP's references are judged right, also on a machine that is busy otherwise.

`RLBENCH_FULL_BENCHMARKS=1` judges all of MBPP and repeats all of HumanEval under load; otherwise a fixed sample.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import rlbench
from rlbench.sandbox import Program, SandboxUnavailable, open_judge
from rlbench.sandbox.admission import admit

DATA = Path(os.environ.get("RLBENCH_DATA_DIR") or Path(rlbench.__file__).resolve().parents[2] / "shared" / "data")
FULL = os.environ.get("RLBENCH_FULL_BENCHMARKS") == "1"
MBPP_SAMPLE, LOADED_SAMPLE, REPEATS, OVERSUBSCRIPTION = 60, 12, 5, 4
ADMITTED = 0.97


def rows(name):
    file = DATA / name
    if not file.is_file():
        pytest.skip(f"needs the public data set {name} in {DATA}; set RLBENCH_DATA_DIR")
    return [json.loads(line) for line in file.read_text().splitlines()]


def humaneval(body=None):
    """HumanEval's programs with the reference's body, or another one."""
    return [
        Program(
            row["prompt"] + (body or row["canonical_solution"]),
            f"{row['test']}\ncheck({row['entry_point']})",
            (row["entry_point"],),
            row["prompt"],
        )
        for row in rows("humaneval/HumanEval.jsonl")
    ]


def mbpp():
    return [
        Program(row["code"], "\n".join([row["test_setup_code"], *row["test_list"]])) for row in rows("mbpp/mbpp.jsonl")
    ]


@pytest.fixture(scope="module")
def ordinary():
    """A judge with the limits that users get."""
    try:
        opened = open_judge()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    with opened:
        yield opened


@pytest.mark.slow
def test_humaneval_references_pass_and_empty_answers_fail(ordinary):
    references = ordinary.run_many(humaneval())
    assert [verdict.reason for verdict in references if not verdict.passed] == []
    assert len(references) == 164
    nothing = ordinary.run_many(humaneval("    return None\n"))
    assert sum(verdict.passed for verdict in nothing) == 0
    assert {verdict.status for verdict in nothing} <= {"failed", "error"}


@pytest.mark.slow
def test_mbpp_references_are_admitted(ordinary):
    programs = mbpp()
    assert len(programs) == 974
    if not FULL:
        programs = random.Random(0).sample(programs, MBPP_SAMPLE)
    problems = [found.refusal for found in admit(ordinary, programs) if found.refusal]
    assert len(problems) <= (1 - ADMITTED) * len(programs), problems


@pytest.fixture
def busy():
    """Processes that compute without end, four for each core that the judge may use."""
    count = OVERSUBSCRIPTION * len(os.sched_getaffinity(0))
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    yield
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_no_verdict_flips_on_a_busy_machine(ordinary, busy):
    chosen = range(164) if FULL else random.Random(1).sample(range(164), LOADED_SAMPLE)
    right, wrong = humaneval(), humaneval("    return None\n")
    programs = [*(right[number] for number in chosen), *(wrong[number] for number in chosen)]
    expected = [verdict.status for verdict in ordinary.run_many(programs)]
    assert expected[: len(chosen)] == ["passed"] * len(chosen)
    assert "passed" not in expected[len(chosen) :]
    for _ in range(REPEATS - 1):
        assert [verdict.status for verdict in ordinary.run_many(programs)] == expected
