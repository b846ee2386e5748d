"""A grader under the name of its role, and stamps of several judgements."""

import math

import pytest

from rlbench.errors import InputError
from rlbench.graders.roles import as_reward, in_role, load_grader, merge_stamps
from rlbench.graders.unit_tests import unit_tests
from rlbench.records import Candidate, Grader, Rewards, Sample, Scored, Unscored

CANDIDATES = [Candidate(Sample(f"s{n}", "p"), text) for n, text in enumerate(["a", "bb", ""])]


def judge(candidate):
    if not candidate.completion:
        return Unscored("nothing there")
    size = float(len(candidate.completion))
    return Scored({"good": size, "other": math.nan}, f"{size:g} letters", {"sandbox": "A"})


GRADER = Grader(
    "mine",
    7,
    ("good", "other"),
    lambda candidates: [judge(one) for one in candidates],
    "counts letters",
    {"weight": 2},
    lambda samples: ["" if sample.sample_id == "s0" else "unfit" for sample in samples],
)


def test_a_role_has_the_single_column_value():
    gold = in_role("gold", GRADER, "good")
    assert (gold.name, gold.version, gold.columns) == ("gold", 7, ("value",))
    assert gold.options == {"grader": "mine", "column": "good", "options": {"weight": 2}}
    assert gold.grade(CANDIDATES) == [
        Scored({"value": 1.0}, "1 letters", {"sandbox": "A"}),
        Scored({"value": 2.0}, "2 letters", {"sandbox": "A"}),
        Unscored("nothing there"),
    ]
    assert list(gold.admits([one.sample for one in CANDIDATES])) == ["", "unfit", "unfit"]


def test_what_was_not_measured_stays_missing():
    (judged, *_) = in_role("reward", GRADER, "other").grade(CANDIDATES)
    assert math.isnan(judged.values["value"])


def test_a_role_can_be_the_reward():
    assert as_reward(in_role("reward", GRADER, "good"), "value")(CANDIDATES[:2]) == Rewards([1.0, 2.0])


def test_a_role_needs_a_column_of_its_grader():
    with pytest.raises(InputError, match=r"column of grader 'mine' 'god' does not exist .*did you mean 'good'\?"):
        in_role("gold", GRADER, "god")


def test_forgeable_options_are_found_inside_a_role():
    with pytest.raises(InputError, match=r"option 'options.unsafe' is true"):
        as_reward(in_role("reward", unit_tests(unsafe=True), "passed"), "value")


@pytest.mark.parametrize(
    ("stamps", "merged"),
    [
        ([], {}),
        ([{"sandbox": "A"}, {}, {"sandbox": "A"}], {"sandbox": "A"}),
        ([{"sandbox": "B"}, {"sandbox": "A", "mine": "x"}], {"sandbox": "A+B", "mine": "x"}),
        ([{"sandbox": "A"}, {"sandbox": "none"}], {"sandbox": "none"}),
        ([{"judged": "weak"}, {"judged": "apart"}], {"judged": "weak"}),
    ],
)
def test_merged_stamps(stamps, merged):
    assert merge_stamps(stamps) == merged
    assert merge_stamps(reversed(stamps)) == merged


@pytest.mark.parametrize("name", ["rouge.rougeL", "bleu.sentence", "chrf.sentence"])
def test_overlap_as_a_reward_is_a_fraction_and_nothing_for_nothing(name):
    grader, _, column = name.partition(".")
    reward = as_reward(load_grader(grader, {}), column)
    sample = Sample("s", "p", ("the cat sat on the mat", "a cat sat"))
    texts = ["the cat sat on the mat", "a cat sat", "the cat", "dogs", "", " \n", "ÄÖ 日本", "."]
    values = reward([Candidate(sample, text, index) for index, text in enumerate(texts)]).values
    assert all(math.isfinite(value) and 0 <= value <= 1 for value in values)
    assert max(values) in (values[0], values[1])
    assert values[4:6] == [0, 0]
    assert values[2] > values[3]
    with pytest.raises(InputError, match="the sample has no references"):
        reward([Candidate(Sample("bare", "p"), "text")])
