import json

import pytest

from rlbench.errors import InputError
from rlbench.graders.choice import choice
from rlbench.records import Candidate, Sample, Unscored

DISAGREEMENTS = {
    11: "the mark is French (réponse est); marks are read in English",
    14: "the letter runs on in Chinese without punctuation; it is read where a full stop follows (12)",
}


def judged(completion, gold="D", **options):
    (judgement,) = choice(**options).grade([Candidate(Sample("s", "p", answer=gold), completion)])
    return judgement


@pytest.mark.parametrize("gold", ["D", "(D)", "(D) Alina", "Answer: D", "D. Alina", "The answer is (D)", "D Alina"])
@pytest.mark.parametrize(
    "completion",
    [
        "The answer is D",
        "The answer is D because A is not it.",
        "(D)",
        "(d)",
        "D.",
        "D",
        "D) Alina",
        "D) Alina (not A)",
        "D. It cannot be A.",
        "(D), since (A) is too small",
        "The answer is D (Alina).",
        "The answer is (D) (d).",
        "\\boxed{D}",
        "$\\boxed{\\text{(D)}}$",
        "So it must be Alina.\n\n**Answer:** **D**",
        "(A) no\n(B) no\n(C) no\n(D) yes\nThe correct answer is (D).",
        "The correct option is D, Alina.",
        "The answer to the question is: option D.",
        "We weigh the words.\n(D)\n",
        "#### D",
        "The answer is D. I repeat: the answer is \\boxed{D}.",
    ],
)
def test_ways_to_choose(gold, completion):
    assert judged(completion, gold).values == {"correct": 1, "marked": 1}


@pytest.mark.parametrize(
    "completion", ["A dog barks.", "The answer is A dog.", "I think so", "answer", "", "Is it A?", "The answer is Ada."]
)
def test_letters_in_prose_are_no_choice(completion):
    for gold in "AI":
        assert judged(completion, gold).values == {"correct": 0, "marked": 0}


@pytest.mark.parametrize(
    "completion",
    [
        "The answer is C or D.",
        "The answer is (C) or (D).",
        "The answer is D/C",
        "The answer is D. No, the answer is C.",
        "\\boxed{D} \\boxed{C}",
        "(C)\n(D)",
        "Answer: (C)(D)",
        "Answer: [D] [C]",
        "Answer: D; C",
        "Answer: D (or C)",
        "D, C",
        "(D) (C)",
        "C.D.",
        "C) 4 D) 5",
    ],
)
def test_several_choices_are_wrong(completion):
    assert judged(completion).values == {"correct": 0, "marked": 0}
    assert judged(completion).reason == "several choices: C, D"


def test_reasons():
    assert judged("\\boxed{B}").reason == "expected D, got B"
    assert judged("\\boxed{B}").values == {"correct": 0, "marked": 1}
    assert judged("none").reason == "no marked choice"
    assert judged("D").reason == "correct"


def test_letters_beyond_the_choices_are_none():
    assert judged("The answer is E.", choices=4).values == {"correct": 0, "marked": 0}
    assert judged("The answer is E.", choices=5).values == {"correct": 0, "marked": 1}
    assert judged("E", gold="E", choices=4) == Unscored("the gold answer is not one letter from A to D: 'E'")


@pytest.mark.parametrize("gold", [None, "", "Alina", "42", "A or B: the answer is A or B"])
def test_no_gold_letter_is_unscored(gold):
    assert isinstance(judged("A", gold), Unscored)


def test_options_are_checked():
    with pytest.raises(InputError, match="choices"):
        choice(choices=1)


@pytest.mark.parametrize(
    "text",
    ["(" * 10_000, "answer " * 2_000, "answer for " * 900, " " * 9_000 + "answer is" + " " * 900, "A or " * 2_000],
)
def test_hostile_text_is_read_quickly(text):
    assert judged(text).values["correct"] == 0


def test_agrees_with_lighteval(data_dir):
    lines = (data_dir / "math_equiv" / "lighteval_extractive_cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case.get("match_types") == ["NativeLetters"]]
    assert len(cases) >= 9
    differ = {
        case["id"] for case in cases if judged(case["answer"], case["gold"]).values["correct"] != case["expected"]
    }
    assert differ == set(DISAGREEMENTS)
