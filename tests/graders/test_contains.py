"""The share of an answer's words that a completion contains."""

import pytest

from rlbench.errors import InputError
from rlbench.graders.contains import contains
from rlbench.graders.roles import load_grader
from rlbench.records import Candidate, Sample, Scored, Unscored


def contained(answer, completion):
    (judged,) = contains().grade([Candidate(Sample("s", "prompt", answer=answer), completion)])
    return judged.values["contained"] if isinstance(judged, Scored) else judged


@pytest.mark.parametrize(
    ("answer", "completion", "share"),
    [
        ("small clock", "Here is the small clock.", 1),
        ("small clock", "Here is the CLOCK; it is Small!", 1),
        ("small clock", "Here is the clock.", 0.5),
        ("small clock", "Here are the clocks, the smallest.", 0),  # whole words
        ("small clock", "", 0),
        ("clock clock small", "clock", 0.5),  # distinct words
        ("3 a.m.", "at 3 A.M.", 1),
        ("žltá mačka", "Žltá je tá MAČKA.", 1),
        ("one two three", "two", 1 / 3),
    ],
)
def test_share_of_the_words_of_the_answer(answer, completion, share):
    assert contained(answer, completion) == pytest.approx(share)


def test_without_a_word_in_the_answer_nothing_is_scored():
    assert contained(None, "anything") == Unscored("the sample has no gold answer")
    assert contained("?!", "anything") == Unscored("the gold answer holds no word: '?!'")


def test_candidates_are_judged_in_order_and_the_reason_names_what_is_missing():
    sample = Sample("s", "prompt", answer="red cup")
    judged = contains().grade([Candidate(sample, "the cup"), Candidate(sample, "red cup")])
    assert [j.values["contained"] for j in judged] == [0.5, 1]
    assert [j.reason for j in judged] == ["lacks red", "contains all"]


def test_it_is_found_by_name_and_has_no_options():
    assert load_grader("contains", {}).columns == ("contained",)
    with pytest.raises(InputError, match="unknown option 'words'"):
        load_grader("contains", {"words": 3})
