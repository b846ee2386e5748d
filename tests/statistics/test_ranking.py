import itertools

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import holm, paired_difference
from rlbench.statistics.ranking import PairTest, rank_intervals, tie_classes

ARMS = ["a", "b", "c", "d"]


def pair_tests(values, different):
    """Every pair of arms; those named, such as "ab", differ significantly."""
    pairs = itertools.combinations(values, 2)
    return [PairTest(x, y, values[x] - values[y], 0.01 if x + y in different else 0.4) for x, y in pairs]


def test_rank_intervals_count_the_arms_shown_better_and_worse():
    values = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    tests = pair_tests(values, {"ac", "ad", "bd"})
    assert rank_intervals(ARMS, tests) == {"a": (1, 2), "b": (1, 3), "c": (2, 4), "d": (3, 4)}
    turned = [PairTest(test.b, test.a, -test.difference, test.p_adjusted) for test in tests]
    assert rank_intervals(ARMS, turned) == rank_intervals(ARMS, tests)
    assert rank_intervals(ARMS, tests, alpha=0.005) == dict.fromkeys(ARMS, (1, 4))


def test_a_pair_without_a_test_separates_nothing():
    assert rank_intervals(ARMS, [PairTest("a", "b", 1.0, 0.001)]) == {
        "a": (1, 3),
        "b": (2, 4),
        "c": (1, 4),
        "d": (1, 4),
    }
    assert rank_intervals(["alone"], []) == {"alone": (1, 1)}


def test_every_rank_is_certain_when_every_pair_differs():
    values = dict(zip(ARMS, (0.2, 0.9, 0.1, 0.5), strict=True))
    tests = pair_tests(values, {x + y for x, y in itertools.combinations(ARMS, 2)})
    ranks = stats.rankdata([-values[arm] for arm in ARMS]).astype(int)
    assert rank_intervals(ARMS, tests) == {arm: (rank, rank) for arm, rank in zip(ARMS, ranks, strict=True)}
    assert tie_classes(values, tests) == [["b"], ["d"], ["a"], ["c"]]


def test_tie_classes_are_anchored_on_the_leader_and_do_not_chain():
    # neighbours never differ: chaining would make one class of all four
    values = {"c": 2.0, "a": 4.0, "d": 1.0, "b": 3.0}
    tests = pair_tests(dict(sorted(values.items())), {"ac", "ad", "bd"})
    assert tie_classes(values, tests) == [["a", "b"], ["c", "d"]]


def test_members_of_a_class_may_differ_from_each_other_but_not_from_the_leader():
    values = {"a": 3.0, "b": 2.9, "c": 1.0}
    assert tie_classes(values, pair_tests(values, {"bc"})) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ([PairTest("a", "z", 1.0, 0.5)], "tests between a, b, c, d, got a against z"),
        ([PairTest("a", "b", 1.0, 0.5), PairTest("b", "a", 2.0, 0.5)], "one test per pair"),
    ],
)
def test_tests_that_make_no_ranking_are_refused(tests, told):
    with pytest.raises(InputError, match=told):
        rank_intervals(ARMS, tests)
    with pytest.raises(InputError, match=told):
        tie_classes(dict.fromkeys(ARMS, 1.0), tests)


@pytest.mark.parametrize(("difference", "p"), [(np.nan, 0.5), (1.0, np.nan), (1.0, 1.1)])
def test_a_test_without_a_result_is_refused(difference, p):
    with pytest.raises(InputError, match="leave out pairs that could not be tested"):
        PairTest("a", "b", difference, p)


def test_an_arm_without_a_value_is_refused():
    with pytest.raises(InputError, match="got none for b"):
        tie_classes({"a": 1.0, "b": float("nan")}, [])


def misranked(adjust, runs, truth=(0.0, 0.0, 0.0, 0.3, 0.9)):
    """How often a rank interval misses a true rank, over 5 arms of 6 seeds and 10 prompts; ties share their ranks."""
    generator = np.random.default_rng(0)
    names = [str(index) for index in range(len(truth))]
    true = {
        name: (1 + sum(other > value for other in truth), len(truth) - sum(other < value for other in truth))
        for name, value in zip(names, truth, strict=True)
    }
    pairs = list(itertools.combinations(range(len(truth)), 2))
    missed = 0
    for _ in range(runs):
        luck = 0.2 * generator.normal(size=(len(truth), 6, 1)) + 0.5 * generator.normal(size=(len(truth), 6, 10))
        scores = np.asarray(truth)[:, None, None] + luck + generator.normal(size=10)
        found = [paired_difference(scores[x], scores[y]) for x, y in pairs]
        adjusted = adjust([each.p_value for each in found])
        tests = [
            PairTest(names[x], names[y], each.value, p) for (x, y), each, p in zip(pairs, found, adjusted, strict=True)
        ]
        intervals = rank_intervals(names, tests)
        missed += any(intervals[name][0] > true[name][0] or intervals[name][1] < true[name][1] for name in names)
    return missed


def test_rank_intervals_hold_all_true_ranks_at_once_as_often_as_they_say():
    runs = 600
    assert misranked(holm, runs) <= stats.binom.ppf(0.999, runs, 0.05)


def test_rank_intervals_of_unadjusted_tests_do_not():
    runs = 300
    assert misranked(lambda p_values: p_values, runs) > stats.binom.ppf(0.9999, runs, 0.05)
