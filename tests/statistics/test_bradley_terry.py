import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from rlbench.errors import InputError
from rlbench.statistics import holm, paired_difference
from rlbench.statistics.bradley_terry import Preferences, bradley_terry, preferences_from_scores
from rlbench.statistics.ranking import rank_intervals

# Wikipedia, "Bradley-Terry model", worked example (also the example of the package arena-rank): who beat whom how often
WINS = {"AB": 2, "AD": 1, "BA": 3, "BC": 5, "CB": 3, "CD": 1, "DA": 4, "DC": 3}


def of_wins(wins, arms="ABCD", **columns):
    winner, loser = (np.repeat([arms.index(pair[at]) for pair in wins], list(wins.values())) for at in (0, 1))
    return Preferences(tuple(arms), winner, loser, np.ones(winner.size), **columns)


def clustered_scores(seed=0, arms=4, seeds=6, prompts=15):
    """Preferences of arms that share prompts and seeds, some of them ties."""
    generator = np.random.default_rng(seed)
    scores = {
        f"arm{arm}": 0.3 * arm
        + generator.normal(size=(1, prompts))
        + 0.5 * generator.normal(size=(seeds, 1))
        + generator.normal(size=(seeds, prompts))
        for arm in range(arms)
    }
    return preferences_from_scores({name: values.round(0) for name, values in scores.items()})


def logistic_regression(preferences):
    """An independent fit: log-odds beside the first arm, by a general optimiser, and its Hessian."""
    design = np.zeros((preferences.a.size, len(preferences.arms)))
    design[np.arange(preferences.a.size), preferences.a] += 1
    design[np.arange(preferences.a.size), preferences.b] -= 1
    design = design[:, 1:]

    def loss(theta):
        odds = design @ theta
        return np.logaddexp(0, odds).sum() - preferences.outcome @ odds

    theta = optimize.minimize(loss, np.zeros(design.shape[1]), method="BFGS", options={"gtol": 1e-8}).x
    chance = 1 / (1 + np.exp(-design @ theta))
    scores = design * (preferences.outcome - chance)[:, None]
    return theta, design.T @ (design * (chance * (1 - chance))[:, None]), scores


def cluster_variance(preferences, *labels):
    """The sandwich for clusters of equal labels, by plain loops."""
    _, hessian, scores = logistic_regression(preferences)
    sums = {}
    for row, *label in zip(scores, *labels, strict=True):
        sums[tuple(label)] = sums.get(tuple(label), 0) + row
    meat = sum(np.outer(total, total) for total in sums.values()) * len(sums) / (len(sums) - 1)
    return np.linalg.inv(hessian) @ meat @ np.linalg.inv(hessian)


def beside_the_first(fitted):
    """Covariance of the log-odds beside the first arm."""
    contrast = np.hstack([-np.ones((len(fitted.arms) - 1, 1)), np.eye(len(fitted.arms) - 1)])
    return contrast @ fitted.covariance @ contrast.T


def test_the_published_example():
    strengths = bradley_terry(of_wins(WINS)).strengths
    assert strengths.round(3).tolist() == [0.640, 1.043, 0.660, 2.270]
    assert np.prod(strengths) == pytest.approx(1)


def test_strengths_agree_with_a_logistic_regression_and_reproduce_the_wins():
    preferences = clustered_scores()
    assert 0.1 < (preferences.outcome == 0.5).mean() < 0.9
    fitted = bradley_terry(preferences)
    theta, _, scores = logistic_regression(preferences)
    assert fitted.log_strengths - fitted.log_strengths[0] == pytest.approx([0, *theta], abs=1e-5)
    assert fitted.log_strengths.mean() == pytest.approx(0, abs=1e-12)
    assert np.abs(scores.sum(axis=0)).max() < 1e-4
    chance = 1 / (1 + np.exp(fitted.log_strengths[preferences.b] - fitted.log_strengths[preferences.a]))
    for arm in range(4):
        won = np.where(preferences.a == arm, preferences.outcome, 1 - preferences.outcome)
        wins = np.where(preferences.a == arm, chance, 1 - chance)
        mine = (preferences.a == arm) | (preferences.b == arm)
        assert wins[mine].sum() == pytest.approx(won[mine].sum(), abs=1e-9)


@pytest.mark.parametrize(
    ("kept", "df"), [(("seed",), 5), (("prompt",), 14), ((), 539)], ids=["seeds", "prompts", "no clusters"]
)
def test_one_way_errors_agree_with_the_sandwich_of_an_independent_fit(kept, df):
    preferences = replace(clustered_scores(), **{name: None for name in ("seed", "prompt") if name not in kept})
    fitted = bradley_terry(preferences)
    labels = [getattr(preferences, name) for name in kept] or [range(preferences.a.size)]
    assert beside_the_first(fitted) == pytest.approx(cluster_variance(preferences, *labels), rel=1e-4)
    assert fitted.df == df


def test_two_way_errors_are_the_sum_of_both_less_the_cells():
    preferences = clustered_scores(prompts=40)
    seed, prompt = preferences.seed, preferences.prompt
    both = cluster_variance(preferences, prompt) - cluster_variance(preferences, prompt, seed)
    assert np.linalg.eigvalsh(both).min() > 0, "this case must not need the positive part"
    fitted = bradley_terry(preferences)
    assert beside_the_first(fitted) == pytest.approx(cluster_variance(preferences, seed) + both, rel=1e-4)
    assert fitted.df == 5
    assert fitted.method == "Bradley-Terry, clustered by 40 prompts and 6 seeds"


def test_two_way_errors_are_never_below_those_of_the_scarcer_clusters():
    generator = np.random.default_rng(3)
    preferences = replace(clustered_scores(), outcome=generator.integers(0, 3, size=540) / 2)
    seed, prompt = preferences.seed, preferences.prompt
    added = cluster_variance(preferences, prompt) - cluster_variance(preferences, prompt, seed)
    assert np.linalg.eigvalsh(added).min() < 0, "this case must need the positive part"
    more = beside_the_first(bradley_terry(preferences)) - cluster_variance(preferences, seed)
    assert np.linalg.eigvalsh(more).min() > -1e-9
    labels = {"seed": 100 - 7 * seed, "prompt": -prompt}
    assert bradley_terry(replace(preferences, **labels)).covariance == pytest.approx(
        bradley_terry(preferences).covariance
    )


def test_one_pair_over_seeds_is_nearly_the_t_test_of_the_seeds():
    generator = np.random.default_rng(1)
    scores = {name: generator.normal(0.1 * at, 1, size=(6, 400)) for at, name in enumerate("ab")}
    (test,) = bradley_terry(replace(preferences_from_scores(scores), prompt=None)).tests()
    won = (scores["a"] > scores["b"]).mean(axis=1, keepdims=True)
    by_t = paired_difference(won, np.full_like(won, 0.5))
    assert test.difference == pytest.approx(np.log(won.mean() / (1 - won.mean())))
    assert test.p_adjusted == pytest.approx(by_t.p_value, rel=0.02)


def test_scores_become_one_comparison_per_pair_seed_and_prompt():
    scores = {"a": [[1, 2], [3, 4]], "b": [[1, 0], [4, 4]], "c": [[[0, 4], [9, 9]], [[0, 0], [5, 5]]]}
    found = preferences_from_scores(scores)
    rows = zip(found.a, found.b, found.seed, found.prompt, found.outcome, strict=True)
    means = [np.array(scores["a"]), np.array(scores["b"]), np.array(scores["c"]).mean(axis=2)]
    expected = {
        (a, b, seed, prompt): 0.5 + 0.5 * np.sign(means[a][seed, prompt] - means[b][seed, prompt])
        for a, b in itertools.combinations(range(3), 2)
        for seed, prompt in itertools.product(range(2), repeat=2)
    }
    assert {tuple(map(int, row[:4])): row[4] for row in rows} == expected
    assert sorted(set(expected.values())) == [0, 0.5, 1]


def test_tests_are_of_all_pairs_and_adjusted():
    fitted = bradley_terry(clustered_scores())
    tests = fitted.tests()
    assert [(test.a, test.b) for test in tests] == list(itertools.combinations(fitted.arms, 2))
    raw = []
    for a, b in itertools.combinations(range(4), 2):
        contrast = np.eye(4)[a] - np.eye(4)[b]
        error = np.sqrt(contrast @ fitted.covariance @ contrast)
        raw.append(2 * stats.t.sf(abs(contrast @ fitted.log_strengths) / error, fitted.df))
    assert [test.p_adjusted for test in tests] == pytest.approx(holm(raw))
    assert rank_intervals(fitted.arms, tests)["arm3"][0] == 1
    low, high = fitted.intervals(0.9).T
    errors = np.sqrt(np.diag(fitted.covariance))
    assert (low + high) / 2 == pytest.approx(fitted.log_strengths)
    assert (high - low) / errors == pytest.approx(2 * stats.t.ppf(0.95, fitted.df))


def test_arms_that_differ_alike_in_every_seed_get_the_smallest_p_of_five_seeds():
    scores = {"a": np.tile([1.0, 1, 1, 0], (5, 1)), "b": np.tile([0.0, 0, 0, 1], (5, 1))}
    (test,) = bradley_terry(replace(preferences_from_scores(scores), prompt=None)).tests()
    assert test.difference == pytest.approx(np.log(3))
    assert test.p_adjusted == 2 / 2**5
    (equal,) = bradley_terry(preferences_from_scores({"a": np.ones((5, 4)), "b": np.ones((5, 4))})).tests()
    assert (equal.difference, equal.p_adjusted) == (0, 1)


@pytest.mark.parametrize(
    ("wins", "told"),
    [
        ({"AB": 2, "BA": 1, "CD": 2, "DC": 1}, r"separate groups A, B \| C, D"),
        ({"AB": 2, "BA": 1, "AC": 1}, "separate groups"),
        ({"AB": 2, "BC": 1, "CD": 1, "DB": 1}, "never wins or ties"),
    ],
    ids=["disconnected", "an arm without comparisons", "an arm that always wins"],
)
def test_strengths_that_do_not_exist_are_refused(wins, told):
    with pytest.raises(InputError, match=told):
        bradley_terry(of_wins(wins))


def test_a_tie_is_enough_to_bound_a_strength():
    fitted = bradley_terry(replace(of_wins({"AB": 4}, "AB"), outcome=np.array([1, 1, 1, 0.5])))
    assert fitted.strengths == pytest.approx([np.sqrt(7), 1 / np.sqrt(7)])


def test_very_unequal_arms_are_still_fitted():
    fitted = bradley_terry(of_wins({"AB": 100_000, "BA": 1, "BC": 50_000, "CB": 1}, "ABC"))
    assert fitted.log_strengths[0] - fitted.log_strengths[1] == pytest.approx(np.log(1e5), rel=1e-6)
    assert fitted.log_strengths[1] - fitted.log_strengths[2] == pytest.approx(np.log(5e4), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"a": np.zeros(22, int)}, "two different arms"),
        ({"b": np.full(22, 4)}, "from 0 to 3"),
        ({"outcome": np.full(22, np.nan)}, "outcomes 1"),
        ({"outcome": np.full(22, 2.0)}, "outcomes 1"),
        ({"seed": np.zeros(3, int)}, "one length"),
    ],
)
def test_preferences_that_are_none_are_refused(change, told):
    with pytest.raises(InputError, match=told):
        replace(of_wins(WINS), **change)


def test_one_cluster_and_unmatched_arms_are_refused():
    with pytest.raises(InputError, match="at least 2 seeds, got 1"):
        bradley_terry(of_wins(WINS, seed=np.zeros(22, int)))
    with pytest.raises(InputError, match="a 2 × 3, b 3 × 3"):
        preferences_from_scores({"a": np.ones((2, 3)), "b": np.ones((3, 3))})
    with pytest.raises(InputError, match="at least 2 arms"):
        preferences_from_scores({"a": np.ones((2, 3))})


@pytest.mark.parametrize(
    ("seed_sd", "prompt_sd"), [(0.5, 0.0), (0.0, 1.0), (0.3, 0.5)], ids=["seeds", "prompts", "both"]
)
def test_equal_arms_are_told_apart_no_more_often_than_promised(seed_sd, prompt_sd):
    generator, runs, false_claims = np.random.default_rng(4), 400, 0
    for _ in range(runs):
        scores = {
            name: seed_sd * generator.normal(size=(5, 1))
            + prompt_sd * generator.normal(size=(1, 30))
            + generator.normal(size=(5, 30))
            for name in "abc"
        }
        tests = bradley_terry(preferences_from_scores(scores)).tests()
        false_claims += any(test.p_adjusted <= 0.05 for test in tests)
    assert false_claims <= stats.binom.ppf(0.999, runs, 0.05)


def test_a_difference_that_exists_is_covered_and_found():
    generator, runs, covered, found = np.random.default_rng(5), 300, 0, 0
    truth = np.log(0.7 / 0.3)
    for _ in range(runs):
        # the chance of a win varies between seeds and prompts, and is .7 on average
        chance = 0.7 + 0.1 * generator.choice([-1, 1], size=(6, 1)) + 0.15 * generator.choice([-1, 1], size=(1, 40))
        won = generator.random((6, 40)) < chance
        fitted = bradley_terry(preferences_from_scores({"a": won, "b": ~won}))
        low, high = 2 * fitted.intervals()[0]
        covered += low <= truth <= high
        found += low > 0
    assert covered >= stats.binom.ppf(0.001, runs, 0.95)
    assert found > 0.6 * runs
