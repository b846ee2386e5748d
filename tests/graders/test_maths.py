import os
import signal

import pytest

from rlbench.errors import InputError
from rlbench.graders import algebra as algebra_module
from rlbench.graders import maths as maths_module
from rlbench.graders.algebra import Algebra, algebra
from rlbench.graders.expressions import different_units
from rlbench.graders.maths import maths
from rlbench.records import Candidate, Sample, Scored, Unscored

pytest.importorskip("math_verify", reason="needs the extra rlbench[maths]")


def judged(completion, gold):
    (judgement,) = maths().grade([Candidate(Sample("s", "p", answer=gold), completion)])
    return judgement


def values(completion, gold):
    judgement = judged(completion, gold)
    assert isinstance(judgement, Scored), judgement
    return tuple(map(int, judgement.values.values()))


def boxed(text):
    return f"\\boxed{{{text}}}"


EQUAL = [
    ("\\frac{1}{2}", "0.5"),
    ("\\frac12", "\\dfrac{2}{4}"),
    ("1/12", "0.0833333"),
    ("10{,}000", "10,000"),
    ("11111111100", "11,\\! 111,\\! 111,\\! 100"),
    ("1000", "1 000"),
    ("x+1", "1+x"),
    ("\\frac{x+2}{7}", "\\frac{x}{7}+\\frac{2}{7}"),
    ("x=5", "5"),
    ("5", "x = 5"),
    ("5", "2+3=5"),
    ("5", "x = 2+3 = 5"),
    ("10", "\\sum_{k=1}^{4} k = 3+3+4 = 10"),
    ("1", "1 \\text{ hour} = 60 \\text{ minutes}"),
    ("\\frac{2}{3}", "\\frac{2}{3} \\approx 0.67"),
    ("\\{5,6\\}", "x=5 \\text{ or } x=6"),
    ("2.5 \\times 10^{-9}", "2.5e-9"),
    ("\\{1,2\\}", "\\{2,1\\}"),
    ("(1,\\frac{9}{2})", "(1,4.5)"),
    ("\\begin{pmatrix}1 & 2 \\\\ 3 & 4\\end{pmatrix}", "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}"),
    ("12:00", "12:00"),
    # Known false negatives of math-verify or of its use, mended.
    ("\\text{Monday}", "Monday"),
    ("\\text{Monday}", "\\text{monday}."),
    ("\\text{No solution}", "no solution"),
    ("B", "(B)"),
    ("\\text{(B)}", "\\text{B}"),
    # Units may be missing, and a percentage may be written as a fraction: decided so.
    ("45^\\circ", "45"),
    ("10", "10\\%"),
    ("10\\%", "10"),
    ("10\\%", "0.1"),
    ("5\\text{ cm}", "5"),
    ("5", "5\\text{ cm}"),
    ("15\\mbox{ cm}^2", "15 \\text{ centimetres}"),
]
DIFFERENT = [
    ("\\frac{1}{3}", "0.333"),
    ("5", "5x"),
    ("5", "5!"),
    ("5", "6=5"),
    ("5", "7=6=5"),
    ("7", "5=6=7"),
    ("5", "5 \\approx 6"),
    ("5", "6=5 \\text{ eggs}"),
    ("5", "5 \\text{ eggs or six eggs}"),
    ("5", "5 \\text{ not}"),
    ("5", "5 \\text{ (not 6)}"),
    ("5", "5 \\text{(or 6)}"),
    ("5", "18 \\text{ or } 5"),
    ("5", "5, 6"),
    ("(1,2)", "(2,1)"),
    ("[0,1)", "[0,1]"),
    ("x > 5", "x < 5"),
    ("12:00", "1:00"),
    ("\\text{Monday}", "Mondya"),
    ("B", "(C)"),
    ("3", ""),
    # Known false positives of math-verify, mended.
    ("2.5e-9", "3.1e-9"),
    ("2.5 \\times 10^{-9}", "3.1 \\times 10^{-9}"),
    ("10^{-20}", "10^{-21}"),
    ("5\\text{ cm}", "5\\text{ m}"),
    ("5\\text{ cm}", "5 m"),
    ("45^\\circ", "45 \\text{ radians}"),
    ("(1,2)", "\\{1,2\\}"),
    ("\\{1,2\\}", "\\left(1, 2\\right)"),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_equal(gold, answer):
    assert values(boxed(answer), gold) == (1, 1, 1)
    assert values(f"The answer is ${answer}$.", gold)[:2] == (1, 1)


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different(gold, answer):
    assert values(boxed(answer), gold)[:2] == (0, 0)


@pytest.mark.parametrize(
    "completion",
    [
        "\\boxed{x+1}",
        "$\\boxed{1+x}$ and once more: \\boxed{x+1}",
        "#### x+1",
        "The answer is x+1.",
        "The answer is $2x - x + 1 = \\boxed{x+1}$.",
        "The final answer is\n\\[\nx + 1\n\\]",
        "**Answer:** $x+1$",
        "Final Answer: The final answer is $x+1$. I hope it is correct.",
        "A: First we add. Then we see. The answer is $x+1$.",
        "#### Step 1: add\nWe add.\n#### Step 2: look\nThe answer is \\(x+1\\).",
    ],
)
def test_ways_to_mark(completion):
    assert values(completion, "x+1") == (1, 1, 1)


@pytest.mark.parametrize(
    ("completion", "expected", "reason"),
    [
        ("", (0, 0, 0), "empty"),
        ("So it is $x+1$", (0, 1, 0), "no marked answer; the last expression is right"),
        ("So it is $x+2$", (0, 0, 0), "no marked answer"),
        ("\\boxed{x+2}", (0, 0, 1), "expected x+1, got x+2"),
        ("\\boxed{x+2} The answer is $2+x$.", (0, 0, 1), "expected x+1, got x+2"),
        ("\\boxed{x+2} but \\boxed{x+1}", (0, 1, 0), "several marked values: x+2, x+1; the last expression is right"),
        ("\\boxed{x+1} but \\boxed{x+2}", (0, 0, 0), "several marked values: x+1, x+2"),
        ("The answer is 3, \\boxed{x+1}", (0, 1, 0), "several marked values: 3, x+1; the last expression is right"),
        ("\\boxed{x+1} or \\boxed{x+2}", (0, 0, 1), "expected x+1, got x+1, x+2"),
        ("\\boxed{x+1", (0, 0, 0), "no marked answer"),
        ("\\boxed{}", (0, 0, 0), "no marked answer"),
        ("The answer is obvious: \\boxed{x+1}", (1, 1, 1), "correct"),
        ("The answer is obvious", (0, 0, 1), "expected x+1, got obvious"),
        ("The answer is found by adding what is left of the x to the ones.", (0, 0, 0), "no marked answer"),
    ],
)
def test_what_counts(completion, expected, reason):
    assert (values(completion, "x+1"), judged(completion, "x+1").reason) == (expected, reason)


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("\\boxed{5 not}", (0, 1, 1)),  # the last number is right
        ("The answer is not $5$", (0, 1, 0)),
        ("The answer is not equal to \\(5\\).", (0, 1, 0)),
        ("The answer is not $4$ but $5$", (1, 1, 1)),
        ("The answer is not hard to see: $5$", (1, 1, 1)),
        ("The answer is $5$ or $6$", (0, 0, 1)),
        ("The answer is $6$, $5$", (0, 1, 1)),
    ],
)
def test_formulas_that_are_denied_or_joined(completion, expected):
    assert values(completion, "5") == expected


def test_the_last_letter_of_a_formula_is_no_unit():
    assert different_units("5 s", "5 \\text{ m}")
    assert not different_units("5 s + 3 m", "3 m + 5 s")


def test_joined_boxes_are_one_list():
    assert values("$\\boxed{1}$ and $\\boxed{-2}$", "\\{1, -2\\}") == (1, 1, 1)
    assert values("$\\boxed{1}$ and $\\boxed{-2}$", "1") == (0, 0, 1)


def test_many_different_marks_are_not_compared(monkeypatch):
    monkeypatch.setattr(Algebra, "_ask", lambda *_: pytest.fail("compared"))
    completion = " ".join(f"\\boxed{{{number}}}" for number in range(1000))
    assert values(completion, "5") == (0, 0, 0)


@pytest.mark.parametrize(
    "gold", ["#### 18", "\\boxed{18}", "18", "$18$", "so it is 9 + 9.\n#### 18", "18 eggs", "1.8e1"]
)
def test_numbers_are_compared_without_algebra(gold, monkeypatch):
    monkeypatch.setattr(Algebra, "_ask", lambda *_: pytest.fail("compared"))
    assert values("She has 18 eggs a day.\n#### 18", gold) == (1, 1, 1)
    assert values("The answer is 18 eggs a day.", gold) == (1, 1, 1)
    assert values("#### 19", gold) == (0, 0, 1)


@pytest.mark.parametrize("gold", [None, "", "((", "\\frac{1}{", "\\boxed{1} not \\boxed{2}", "x" * 2000])
def test_what_is_no_gold_is_unscored(gold):
    assert isinstance(judged("\\boxed{1}", gold), Unscored)


def test_a_gold_marked_twice_alike_is_one():
    assert values("\\boxed{15.975}", "\\boxed{15\\frac{39}{40}}, or better: \\boxed{\\frac{639}{40}}") == (1, 1, 1)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(maths_module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'rlbench\[maths\]'"):
        maths()


def test_a_worker_that_does_not_start_is_the_users_to_mend(monkeypatch, tmp_path):
    broken = tmp_path / "worker.py"
    broken.write_text("import no_such_module")
    monkeypatch.setattr(algebra_module, "_WORKER", broken)
    with pytest.raises(InputError, match="math-verify does not start"):
        Algebra(1.0).compare("x", "y")


def test_options_are_checked():
    with pytest.raises(InputError, match="cpu_seconds"):
        maths(cpu_seconds=0.0)


def test_a_comparison_is_made_once(monkeypatch):
    asked = []
    worker = Algebra(3.0)
    monkeypatch.setattr(worker, "_ask", lambda *pair: asked.append(pair) or "equal")
    assert [worker.compare("a", "b"), worker.compare("a", "b"), worker.compare("b", "a")] == ["equal"] * 3
    assert asked == [("a", "b"), ("b", "a")]


def test_a_worker_that_was_killed_is_replaced():
    worker = algebra(3.0)
    assert worker.compare("x", "y") == "different"
    os.kill(worker._worker.pid, signal.SIGKILL)
    worker._worker.wait()
    assert worker.compare("y", "z") == "different"
    assert worker.compare("x+z", "z+x") == "equal"


def test_an_interrupted_question_does_not_shift_the_answers():
    worker = Algebra(30.0)
    assert worker.compare("2x", "x+x") == "equal"

    def interrupt(*_):
        raise KeyboardInterrupt

    process = worker._worker
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        process.send_signal(signal.SIGSTOP)  # so that it surely has not answered yet
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            worker.compare("3x", "x+2x")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        process.send_signal(signal.SIGCONT)
    pairs = [("x+1", "y+7"), ("x+1", "1+x"), ("z", "w")]
    assert [worker.compare(*pair) for pair in pairs] == ["different", "equal", "different"]
    worker.close()


def test_an_interrupted_start_leaves_no_answer_behind(monkeypatch):
    worker = Algebra(30.0)
    start = worker._start

    def interrupted():
        start()
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.compare("x", "y")
    assert worker._worker is None


def test_what_hangs_on_the_wall_clock_is_asked_twice_at_most(monkeypatch):
    asked = []
    worker = Algebra(3.0)
    monkeypatch.setattr(worker, "_ask", lambda *pair: asked.append(pair) or "wall")
    assert [worker.compare("a", "b") for _ in range(4)] == ["wall", "timeout", "timeout", "timeout"]
    assert worker.compare("a", "c") == "wall"
    assert asked == [("a", "b"), ("a", "b"), ("a", "c")]


def test_a_forked_child_has_its_own_worker():
    mine = algebra(3.0)
    child = os.fork()
    if child == 0:
        os._exit(0 if algebra(3.0) is not mine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert algebra(3.0) is mine
