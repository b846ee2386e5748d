import pytest

from rlbench.errors import InputError
from rlbench.graders.exact import exact
from rlbench.records import Candidate, Sample, Scored, Unscored


def value(completion, answer=None, references=(), **options):
    (judged,) = exact(**options).grade([Candidate(Sample("s", "p", tuple(references), answer), completion)])
    return judged.values["exact"] if isinstance(judged, Scored) else judged


@pytest.mark.parametrize("completion", ["Paris", " Paris\n", "\tParis"])
def test_blanks_at_the_ends_do_not_count(completion):
    assert value(completion, " Paris ") == 1


@pytest.mark.parametrize("completion", ["", "paris", "Paris.", "Par is", "The answer is Paris", "PARIS"])
def test_everything_else_counts(completion):
    assert value(completion, "Paris") == 0


def test_any_reference_will_do():
    assert value("b", "a", ["b", "c"]) == 1
    assert value("a", "a", ["b", "c"]) == 1
    assert value("d", "a", ["b", "c"]) == 0
    assert value("c", None, ["b", "c"]) == 1


def test_case_is_an_option():
    assert value("STRASSE", "straße", ignore_case=True) == 1
    assert value("STRASSE", "straße") == 0


def test_no_gold_is_unscored():
    assert value("a") == Unscored("the sample has neither an answer nor references")


def test_an_empty_answer_is_an_answer():
    assert value(" ", "") == 1


def test_unknown_options_are_refused():
    with pytest.raises(InputError, match="unknown option 'case'"):
        exact(case=True)
