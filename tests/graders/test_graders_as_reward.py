"""A grader in the role of the reward: one column is maximised, the others are told beside it."""

import math

import pytest

from rlbench.errors import InputError
from rlbench.graders.roles import as_reward
from rlbench.records import Candidate, Grader, Rewards, Sample, Scored, Unscored

CANDIDATES = [Candidate(Sample(f"s{n}", "p"), text) for n, text in enumerate(["a", "bb", ""])]


def grader(judge):
    return Grader("mine", 1, ("good", "long"), lambda candidates: [judge(one) for one in candidates], "for tests")


def test_one_column_is_the_reward_and_the_others_are_its_parts():
    judged = grader(lambda one: Scored({"good": float("b" in one.completion), "long": float(len(one.completion))}))
    assert as_reward(judged, "good")(CANDIDATES) == Rewards([0, 1, 0], {"long": [1, 2, 0]})
    assert as_reward(judged, "long")(CANDIDATES) == Rewards([1, 2, 0], {"good": [0, 1, 0]})


def test_a_part_may_be_missing_but_the_reward_may_not():
    judged = grader(lambda one: Scored({"good": 1.0, "long": math.nan}))
    found = as_reward(judged, "good")(CANDIDATES)
    assert list(found.values) == [1, 1, 1]
    assert all(math.isnan(value) for value in found.parts["long"])
    with pytest.raises(
        InputError, match=r"reward mine.long cannot score a completion of sample 's0': its value is nan"
    ):
        as_reward(judged, "long")(CANDIDATES)


def test_a_completion_that_cannot_be_judged_stops_the_training():
    judged = grader(lambda one: Scored({"good": 1.0, "long": 1.0}) if one.completion else Unscored("nothing there"))
    with pytest.raises(InputError, match="of sample 's2': nothing there; a reward must give every completion a value"):
        as_reward(judged, "good")(CANDIDATES)


def test_a_column_that_does_not_exist_is_named_before_training():
    with pytest.raises(InputError, match="column of grader 'mine' 'goood' does not exist"):
        as_reward(grader(lambda one: Unscored("")), "goood")
