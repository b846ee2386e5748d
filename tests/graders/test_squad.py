"""SQuAD 1.1 exact match and F1 against values worked out by hand after its evaluation script's rules."""

import pytest

from rlbench.errors import InputError
from rlbench.graders.squad import squad
from rlbench.records import Candidate, Sample, Scored, Unscored


def values(completion, *references, answer=None):
    (judged,) = squad().grade([Candidate(Sample("s", "p", references, answer), completion)])
    return tuple(judged.values.values()) if isinstance(judged, Scored) else judged


@pytest.mark.parametrize(
    ("completion", "reference", "exact", "f1"),
    [
        ("Denver Broncos", "Denver Broncos", 1, 1),
        ("The Denver Broncos.", "denver broncos", 1, 1),
        ("  a   Denver\tBroncos!", "the denver-broncos", 0, 0),  # the hyphen is dropped, which makes one word
        ("Denver", "Denver Broncos", 0, 2 / 3),  # precision 1, recall 1/2
        ("the Broncos of Denver won", "Denver Broncos", 0, 2 / 3),  # precision 2/4, recall 1
        ("to be or not to be", "to be", 0, 1 / 2),  # a bag of words, not a set: precision 2/6, recall 1
        ("to to", "to be to", 0, 4 / 5),
        ("Carolina Panthers", "Denver Broncos", 0, 0),
        ("", "Denver Broncos", 0, 0),
        ("the", "an", 1, 1),  # nothing is left of either
        ("the", "Denver", 0, 0),
        ("anthem", "them", 0, 0),  # an article inside a word stays
        ("“Denver”", "Denver", 0, 0),  # only ASCII punctuation is dropped
        ("$1,000", "1000", 1, 1),
    ],
)
def test_values(completion, reference, exact, f1):
    assert values(completion, reference) == pytest.approx((exact, f1))


def test_the_best_reference_counts_for_each_column():
    assert values("Denver", "Denver Broncos", "denver", "x") == (1, 1)
    assert values("Denver Broncos won", "Denver Broncos", "Denver") == pytest.approx((0, 4 / 5))


def test_f1_is_symmetric():
    texts = ["to be or not to be", "the be to", "not", "a b c to"]
    for one in texts:
        for other in texts:
            assert values(one, other) == values(other, one)


def test_the_answer_is_used_without_references():
    assert values("Denver", answer="Denver") == (1, 1)
    assert values("Denver", "Broncos", answer="Denver") == (0, 0)
    assert values("Denver") == Unscored("the sample has neither references nor an answer")


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="unknown option 'version'"):
        squad(version=2)
