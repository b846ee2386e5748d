"""What texts mark as their answers: every case says what a reader would say."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.graders.answers import bare_number, last_number, marked_answers
from rlbench.graders.correctness import judge

ONE_VALUE = [
    ("#### 18", 18),
    ("so she makes 18\n#### 18", 18),
    ("####18", 18),
    ("#### 18 eggs", 18),
    ("#### $18.50", Fraction(37, 2)),
    ("#### -18", -18),
    ("\\boxed{18}", 18),
    ("\\boxed{\\$18}", 18),
    ("\\boxed{18\\text{ eggs}}", 18),
    ("\\boxed{18 \\%}", 18),
    ("\\boxed{\\frac{1}{2}}", Fraction(1, 2)),
    ("\\boxed{-\\dfrac{3}{4}}", Fraction(-3, 4)),
    ("\\boxed{2\\frac12}", Fraction(5, 2)),
    ("\\boxed{\\text{18}}", 18),
    ("\\boxed{\\boxed{18}}", 18),
    ("\\boxed{{18}}", 18),
    ("\\boxed{90^\\circ}", 90),
    ("\\boxed{x = 5}", 5),
    ("\\boxed{11,\\! 111,\\! 111,\\! 100}", 11_111_111_100),
    ("\\boxed{1{,}000}", 1000),
    ("\\\\boxed{-3}", -3),
    ("\\boxed{3 \\times 10^{4}}", 30_000),
    ("$\\boxed{18}$.", 18),
    ("The answer is 18.", 18),
    ("The answer is 18", 18),
    ("the answer is: 18", 18),
    ("So the final answer is $18$ dollars.", 18),
    ("The answer is \\(18\\).", 18),
    ("The answer is therefore 5", 5),
    ("**The answer is 5**", 5),
    ("The answer is **5**.", 5),
    ("The final answer is: **$18.00**", 18),
    ("The answer is $\\boxed{18}$", 18),
    ("The answer is:\n\n\\[\\boxed{18}\\]", 18),
    ("The answer is:\n18", 18),
    ("The answer is 9 * 2 = 18.", 18),
    ("The answer is x = 5", 5),
    ("The answer is 18 because 20 - 3 = 17, plus 1.", 18),
    ("The answer is 18, so she has 3 left.", 18),
    ("The answer is 18 (eighteen).", 18),
    ("The answer is 18! Well done.", 18),
    ("A: 18", 18),
    ("A:18", 18),
    ("A: 18 dollars", 18),
    ("A: $1,000.", 1000),
    ("A: 1,234,567", 1_234_567),
    ("A: 50%", 50),
    ("A: 1/2", Fraction(1, 2)),
    ("A: 1 1/2", Fraction(3, 2)),
    ("A: 2½", Fraction(5, 2)),
    ("A: .5", Fraction(1, 2)),
    ("A: −5", -5),
    ("A: -$5", -5),
    ("A: $-5", -5),
    ("A: +7", 7),
    ("A: 1.5e3", 1500),
    ("A: 2e-3", Fraction(1, 500)),
    ("A: 18-year", 18),
    ("A: $18/hour", 18),
    ("A: She makes $18 a day.", 18),
    ("A: １８", 18),
    ("**Answer:** 18", 18),
    ("Answer: 18", 18),
    ("Final answer: 18", 18),
    ("#### Answer: 18", 18),
    ("A: 18\nA: 18.0\n#### 18", 18),
    ("A: 16 - 3 = 13. The answer is 13.", 13),
    ("#### Step 1: add\n3 + 4 = 7\n#### Step 2: finish\nThe answer is 7.", 7),
    ("#### 1. Add\n3 + 4\n\n\\boxed{7}", 7),
    ("Answer: Let us think. 3 + 4 = 7 and 7 * 2 = 14.\n#### 14", 14),
    ("Answer:\n1. First we add 3 and 4.\n#### 7", 7),
]

SEVERAL = [
    "A: 18\nA: 19",
    "A: 18 or 19",
    "A: 18, 19",
    "A: 18 19",
    "A: 18 eggs or 19 eggs",
    "The answer is 18 or maybe 19.",
    "\\boxed{1, 2}",
    "\\boxed{18} \\boxed{19}",
    "#### 18\n#### 19",
    "####18####19",
    "#### 18 19 20",
    "A: 18 \\boxed{19}",
    "The answer is 18 #### 19",
    "The answer is 18. No, the answer is 19.",
    "A: 18 = 19",
    "The answer is 1,5",
]

NOTHING = [
    "",
    "18",
    "She has 18 eggs.",
    "A: ",
    "A: none",
    "A: 16 - 3",
    "A: 10+John's age",
    "A: 5:30",
    "A: 10-15",
    "A: 1/0",
    "A: 1.2.3",
    "A: 1e999999999",
    "A: 2^10",
    "The answer is not 5",
    "The answer isn't 5",
    "Is the answer 5?",
    "The answer is between 18 and 19.",
    "\\boxed{18",
    "\\boxed{}",
    "\\boxed{\\sqrt{16}}",
    "\\boxed{18\\sqrt{2}}",
    "\\boxed{\\frac{x}{2}}",
    "boxed{18}",
    "### 18",
    "#### Step 1",
    "#### 1. Add things",
    "ABBA: 18",
    "in group A: 18",
    "Answer:\n1. Add",
]


@pytest.mark.parametrize(("text", "value"), ONE_VALUE)
def test_one_value(text, value):
    assert marked_answers(text).distinct == {Fraction(value)}


@pytest.mark.parametrize("text", SEVERAL)
def test_several_values(text):
    assert len(marked_answers(text).distinct) > 1


@pytest.mark.parametrize("text", NOTHING)
def test_no_value(text):
    assert marked_answers(text).distinct == frozenset()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 + 4 = 7 apples.", 7),
        ("16-3", 3),
        ("from -3", -3),
        ("it costs $1,234.50.", Fraction(2469, 2)),
        ("12, 13", 13),
        ("<<16-3=13>>13 eggs", 13),
        ("none", None),
        ("1e999999999", None),
        ("12 of 1/0", 12),
    ],
)
def test_last_number(text, value):
    assert last_number(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("18", 18), (" -1,000 ", -1000), ("$5", 5), ("3 km", 3), ("1/3", Fraction(1, 3)), ("5 + 3", None), ("x", None)],
)
def test_bare_number(text, value):
    assert bare_number(text) == value


@given(st.fractions(max_denominator=10**6), st.sampled_from(["A: {}", "#### {}", "\\boxed{{{}}}", "The answer is {}."]))
def test_every_fraction_reads_as_itself(value, template):
    assert marked_answers(template.format(value)).distinct == {value}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_every_decimal_reads_as_itself(value):
    for shown in (f"{value}", f"{value:,}", f"{value}00"):
        assert marked_answers(f"A: {shown}").distinct == {Fraction(value)}


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_different_marks_are_two_values(one, other):
    assert marked_answers(f"A: {one}\nso\n\\boxed{{{other}}}").distinct == {one, other}


@given(st.text())
def test_any_text_can_be_read(text):
    marked_answers(text)
    last_number(text)
    bare_number(text)


@given(st.text(alphabet="\\{}$#A:=-+*/.,0123456789e theanswris\n", max_size=200))
def test_any_text_made_of_marks_can_be_read(text):
    marked_answers(text)
    last_number(text)
    bare_number(text)


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        (
            "A: There are 15 trees. Then there were 21 after some were planted. So 21 - 15 = 6. The answer is 6.",
            6,
            True,
        ),
        ("Answer: She has 3 ducks.\n#### 18", 18, True),
        ("A: 3 ducks lay 6 eggs. #### 18", 18, True),
        ("Answer:\n16 eggs\n#### 18", 18, True),
        ("A: She makes 9 * 2 = 18. She spends 8 so 10 left. The answer is 10", 10, True),
        ("#### <<9*2=18>>18", 18, True),
        ("####\n18", 18, True),
        ("Ans: 18", 18, True),
        ("So answer is 18", 18, True),
        ("The answer would be 18.", 18, True),
        ("The answer is minus 5", -5, True),
        ("A: 18", 18, True),
        ("A: 18\nA: 19", 18, False),
        ("A: 5\n#### 6", 6, False),
        ("A: 18 dollars", 18, True),
        ("A: $1,000.", 1000, True),
        ("#### 18 eggs", 18, True),
        ("A: 9 * 2 = 18", 18, True),
        ("A: She earns 18 dollars.", 18, True),
        ("Answer: x = 5", 5, True),
        ("The answer is 18 or 19", 18, False),
        (r"The answer is \boxed{18}", 18, True),
        ("A: 18. This is because 9*2 = 18.", 18, True),
        ("The answer is not 5", 5, False),
        ("Final answer: **18**", 18, True),
        ("#### 5\n#### 6", 6, False),
        ("A:\n18", 18, True),
        ("A: 1/2", Fraction(1, 2), True),
    ],
)
def test_labels_that_open_worked_steps_do_not_hide_the_marked_answer(text, gold, right):
    assert judge(text, Fraction(gold)).values["correct"] == right
