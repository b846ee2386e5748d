import itertools
from fractions import Fraction

import pytest

from rlbench.errors import InputError
from rlbench.graders.countdown import countdown
from rlbench.records import Candidate, Sample, Unscored


def judged(completion, answer="24\n8\n2\n4"):
    (judgement,) = countdown().grade([Candidate(Sample("s", "p", answer=answer), completion)])
    return judgement


@pytest.mark.parametrize(
    "completion",
    [
        "<answer>(8-2)*4</answer>",
        "<answer> 4 * (8 - 2) = 24 </answer>",
        "First <answer>8+2+4</answer>, no: <answer>(8 − 2) × 4</answer>",
        "Let me see: 8 + 2 = 10. So (8 - 2) * 4 = 24",
        "So \\boxed{(8-2) \\times 4}.",
        "The answer is (8-2)*4.",
        "<answer>4*-(2-8)</answer>",
    ],
)
def test_right(completion):
    assert judged(completion).reason == "correct"
    assert judged(completion).values == {"correct": 1, "marked": 1}


@pytest.mark.parametrize(
    ("completion", "marked", "reason"),
    [
        ("", 0, "no marked expression"),
        ("I cannot do this", 0, "no marked expression"),
        ("<answer>8*2+4</answer>", 1, "equals 20 instead of 24"),
        ("<answer>24</answer>", 1, "uses [24] instead of [2, 4, 8]"),
        ("<answer>8*(4-2/2)</answer>", 1, "uses [2, 2, 4, 8] instead of [2, 4, 8]"),
        ("<answer>8*4</answer>", 1, "uses [4, 8] instead of [2, 4, 8]"),
        ("<answer>(8-2)*4 = 25</answer>", 1, "is said to equal '25'"),
        ("<answer>(8-2)*4</answer> or <answer>8+2+4</answer>", 1, "equals 14 instead of 24"),
        ("<answer>8-2=6, 6*4=24</answer>", 1, "uses [2, 8] instead of [2, 4, 8]"),
        ("<answer>__import__('os').getpid()</answer>", 0, "cannot be read: \"__import__('os').getpid()\""),
        ("<answer>8**2//4</answer>", 0, "cannot be read: '8**2//4'"),
        ("<answer>8(2)4</answer>", 0, "cannot be read: '8(2)4'"),
        ("<answer>2,4,8</answer>", 0, "cannot be read: '2,4,8'"),
        ("<answer>4/(8-4-2-2)</answer>", 1, "uses [2, 2, 4, 4, 8] instead of [2, 4, 8]"),
    ],
)
def test_wrong(completion, marked, reason):
    assert judged(completion).values == {"correct": 0, "marked": marked}
    assert judged(completion).reason == reason


def test_division_is_exact_and_by_zero_is_wrong():
    assert judged("<answer>8/(3-8/3)</answer>", "24 8 3 8 3").values["correct"] == 1
    assert judged("<answer>1/3+1/3+1/3</answer>", "1 1 3 1 3 1 3").values["correct"] == 1
    assert judged("<answer>4/(2-2)</answer>", "0 2 2 4").reason == "divides by zero"
    assert judged("<answer>1/(2-3/2)/2-999999999*0</answer>", "1 1 2 3 2 2 999999999 0").values["correct"] == 1


def test_the_target_may_be_negative():
    assert judged("<answer>4-25</answer>", "-21\n4\n25").values == {"correct": 1, "marked": 1}


def test_every_expression_of_three_numbers_is_judged_by_its_value():
    numbers, right = (6, 3, 2), 0
    apply = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b if b else None,
    }
    for a, b, c in itertools.permutations(numbers):
        for one, other in itertools.product(apply, apply):
            value = apply[other](apply[one](Fraction(a), Fraction(b)), Fraction(c))
            expected = value == 9
            right += expected
            assert judged(f"<answer>({a}{one}{b}){other}{c}</answer>", "9 6 3 2").values["correct"] == expected
    assert right > 0


@pytest.mark.parametrize("answer", [None, "", "24", "24 x", "24 1.5", "target 24", "21 -4 25", "24 1234567890"])
def test_no_game_is_unscored(answer):
    assert isinstance(judged("<answer>1</answer>", answer), Unscored)


@pytest.mark.parametrize(
    "completion",
    [
        "<answer>" + "(" * 5000,
        "<answer>" * 2000,
        "<answer>" + "(" * 150 + "8" + ")" * 40 + "</answer>",
        "1 " * 5000,
        "9=" * 5000,
    ],
)
def test_hostile_text_is_wrong(completion):
    assert judged(completion).values["correct"] == 0


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="unknown option 'target'"):
        countdown(target=24)
