"""Completions made to hang, exhaust or crash what compares expressions."""

import time

import pytest

from rlbench.graders.algebra import Algebra, algebra
from rlbench.graders.maths import maths
from rlbench.records import Candidate, Sample, Unscored

pytest.importorskip("math_verify", reason="needs the extra rlbench[maths]")


@pytest.fixture(scope="module")
def grader():
    yield maths(cpu_seconds=0.5)
    algebra(0.5).close()


def judged(grader, completion, gold):
    (judgement,) = grader.grade([Candidate(Sample("s", "p", answer=gold), completion)])
    return judgement


@pytest.mark.parametrize(
    "completion",
    [
        "\\boxed{" + "{" * 5000 + "6" + "}" * 5000 + "}",
        "\\boxed{" * 1500 + "6" + "}" * 1500,
        "\\boxed{" * 1500 + "6",
        "\\boxed{" + "\\frac{1}{" * 1000 + "6" + "}" * 1000 + "}",
        "x" * 10_000,
        "$" * 10_000,
        "\\(" * 5_000,
        "\\[ " * 3_000,
        "#" * 10_000,
        "{" * 10_000,
        "the answer is " * 700,
        "A: " * 3_000,
        "A:\n" * 3_000,
        "The answer is " + "1" * 10_000,
        "The answer is " + "1, " * 3_000,
        "\\boxed{1}, " * 1_000,
        "\\boxed{1}" + " \\quad" * 1_500,
        "\\boxed{6\x00}",
        "\\boxed{\ud800}",
        "\\boxed{6\n\n7}",
    ],
)
def test_long_and_deep_text_is_read_quickly(grader, completion):
    started = time.process_time()
    assert judged(grader, completion, "5").values["correct"] == 0
    assert time.process_time() - started < 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", ["9^{9^{9^9}}", "100000000!", "\\sum_{k=1}^{10^9} \\frac{1}{k^3}", "3^{" + "9" * 90 + "}"]
)
def test_what_does_not_end_is_stopped_and_wrong(grader, answer):
    started = time.monotonic()
    judgement = judged(grader, f"\\boxed{{{answer}}}", "\\sqrt{5}")
    assert judgement.values == {"correct": 0, "correct_flexible": 0, "marked": 1}
    assert "could not be compared in 0.5 seconds" in judgement.reason or "expected" in judgement.reason
    assert time.monotonic() - started < 60
    assert judged(grader, "\\boxed{5^{1/2}}", "\\sqrt{5}").values["correct"] == 1


@pytest.mark.slow
def test_the_worker_is_stopped_in_a_power_tower():
    worker = Algebra(0.5)
    try:
        assert worker.compare("5x", "9^{9^{9^9}}") in ("timeout", "wall")
        assert worker.compare("5x", "x \\cdot 5") == "equal"
    finally:
        worker.close()


@pytest.mark.slow
def test_a_gold_that_does_not_end_is_unscored(grader):
    assert isinstance(judged(grader, "\\boxed{5}", "9^{9^{9^9}}"), Unscored)
