"""The planner's power against simulated experiments, and its designs against an exhaustive search."""

import itertools

import numpy as np
import pytest
from scipy import stats

from rlbench.errors import InputError
from rlbench.statistics import minimum_detectable_effect, paired_difference, seeds_needed
from rlbench.statistics.components import Variances, variance_components
from rlbench.statistics.planning import (
    Costs,
    Design,
    Goal,
    Limits,
    cheapest_designs,
    designs_within,
    detectable_effect,
    plausible_variances,
    predicted_power,
    prompts_floor,
    seeds_floor,
    seeds_for,
)
from rlbench.statistics.power import seeds_to_pass
from rlbench.statistics.variance import VarianceTerm, crossed_variance, crossed_variances

RUNS = 10_000
WORLDS = {
    "balanced": Variances(0.01, 0.25, 0.25, 0.5),
    "prompts": Variances(0.0, 0.81, 0.09, 0.2),
    "seeds": Variances(0.04, 0.04, 0.04, 0.5),
}


def experiments(truth, design, effect, *, prompts_random, runs=RUNS, seed=0):
    """Simulated differences [run, seed, prompt]; a mean over samples is drawn as such."""
    generator = np.random.default_rng(seed)
    size = (runs, design.seeds, design.prompts)
    found = truth.residual(design.samples) ** 0.5 * generator.standard_normal(size)
    found += effect + truth.seed**0.5 * generator.standard_normal((runs, design.seeds, 1))
    if prompts_random:
        found += truth.prompt**0.5 * generator.standard_normal((runs, 1, design.prompts))
    return found


def t_statistics(differences, estimand):
    """t and df of `paired_difference` for many experiments at once."""
    runs, seeds, prompts = differences.shape
    per_seed, per_prompt = differences.mean(axis=2), differences.mean(axis=1)
    value = per_seed.mean(axis=1)
    variance, df = per_seed.var(axis=1, ddof=1) / seeds, np.full(runs, seeds - 1.0)
    if estimand == "population":
        residual_df = (seeds - 1) * (prompts - 1)
        # what the sums of squares leave over, without a third copy of the data
        rest = np.square(differences).sum(axis=(1, 2)) - seeds * prompts * value**2
        rest -= prompts * (seeds - 1) * per_seed.var(axis=1, ddof=1)
        rest -= seeds * (prompts - 1) * per_prompt.var(axis=1, ddof=1)
        variance, df = crossed_variances(
            [variance], [seeds - 1], per_prompt.var(axis=1, ddof=1) / prompts, prompts - 1,
            [rest / residual_df / (seeds * prompts)], [residual_df],
        )  # fmt: skip
    return value / np.sqrt(variance), df


def affordable(seconds, costs, *ranges):
    """All designs (ranges of seeds, prompts, samples) within `seconds`, but those that another has more samples than.

    Of the same seeds and prompts, more samples never have less power (see the test of that).
    """
    every = (Design(*each) for each in itertools.product(*ranges))
    most = {(each.seeds, each.prompts): each for each in every if costs.of(each) <= seconds}
    return list(most.values())


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("estimand", ["recipe", "population"])
@pytest.mark.parametrize("design", [Design(3, 60, 4), Design(5, 20, 1), Design(6, 60, 2), Design(10, 40, 8)], ids=str)
def test_the_planned_power_is_the_simulated_power(world, estimand, design):
    truth, goal = WORLDS[world], Goal(1.0, power=0.7, estimand=estimand)
    effect = detectable_effect(truth, design, goal)
    differences = experiments(truth, design, effect, prompts_random=estimand == "population")
    t, df = t_statistics(differences, estimand)
    for one_sided, bound in ((False, 0.975), (True, 0.95)):
        found = ((t if one_sided else np.abs(t)) > stats.t.ppf(bound, df)).mean()
        planned = predicted_power(truth, design, Goal(effect, 0.7, estimand=estimand, one_sided=one_sided))
        assert planned == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("estimand", ["recipe", "population"])
@pytest.mark.parametrize("seeds", [3, 4, 5, 8])
def test_the_simulation_is_the_published_test(estimand, seeds):
    differences = experiments(WORLDS["balanced"], Design(seeds, 20, 1), 0.2, prompts_random=True, runs=20)
    t, df = t_statistics(differences, estimand)
    for difference, statistic, freedom in zip(differences, t, df, strict=True):
        estimate = paired_difference(difference, np.zeros_like(difference), estimand=estimand)
        assert estimate.value / estimate.standard_error == pytest.approx(statistic)
        assert estimate.df == pytest.approx(freedom)


def test_a_population_with_binary_scores_has_the_planned_power_too():
    """Right or wrong answers: the components are those that a large pilot shows, the effect is the true one."""
    generator = np.random.default_rng(3)

    def rates(seeds, prompts):
        ease = generator.normal(0.5, 1.5, size=prompts)
        gain = 0.25 + generator.normal(0.0, 0.5, size=prompts) + generator.normal(0.0, 0.2, size=seeds)
        return 1 / (1 + np.exp(-ease - gain)), np.broadcast_to(1 / (1 + np.exp(-ease)), gain.shape)

    def experiment(seeds, prompts):
        after, before = rates((seeds, 1), prompts)
        return (generator.random((*after.shape, 4)) < after[..., None]).astype(float) - (
            generator.random((*after.shape, 4)) < before[..., None]
        )

    after, before = rates(10**6, 10**6)
    goal = Goal(float((after - before).mean()), estimand="population")
    pilot = variance_components(experiment(100, 1_000))
    planned = predicted_power(pilot.variances, Design(6, 80, 4), goal)
    t, df = t_statistics(np.array([experiment(6, 80).mean(axis=2) for _ in range(4_000)]), "population")
    assert planned == pytest.approx((np.abs(t) > stats.t.ppf(0.975, df)).mean(), abs=0.03)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("seeds", [3, 4, 5, 9])
def test_many_experiments_at_once_follow_the_rule_of_one(groups, seeds):
    generator = np.random.default_rng(seeds)
    seed, residual = generator.chisquare(2, size=(2, groups, 50))
    seed[:, :5] = 0.0
    prompt = generator.chisquare(3, size=50)
    seed_df, residual_df = [seeds - 1, seeds][:groups], [(seeds - 1) * 9, seeds * 9][:groups]
    values, df = crossed_variances(list(seed), seed_df, prompt, 9, list(residual), residual_df)
    for run in range(50):
        one = crossed_variance(
            [VarianceTerm(*term) for term in zip(seed[:, run], seed_df, strict=True)],
            VarianceTerm(prompt[run], 9),
            [VarianceTerm(*term) for term in zip(residual[:, run], residual_df, strict=True)],
        )
        assert (values[run], df[run]) == pytest.approx((one.value, one.df))


def test_the_recipes_power_is_that_of_the_noncentral_t():
    truth, design = WORLDS["balanced"], Design(5, 50, 2)
    sd = (truth.seed + (truth.interaction + truth.sample / 2) / 50) ** 0.5
    shift, critical = 0.3 / sd * 5**0.5, stats.t.ppf(0.975, 4)
    expected = stats.nct.sf(critical, 4, shift) + stats.nct.cdf(-critical, 4, shift)
    assert predicted_power(truth, design, Goal(0.3)) == pytest.approx(expected)
    assert detectable_effect(truth, design, Goal(1.0)) == pytest.approx(minimum_detectable_effect(5) * sd, rel=1e-5)


@pytest.mark.parametrize("effect", [0.05, 0.1, 0.4])
def test_the_seeds_for_a_goal_are_those_that_the_comparison_names(effect):
    truth = WORLDS["seeds"]
    sd = (truth.seed + truth.residual(4) / 200) ** 0.5
    assert seeds_for(truth, 200, 4, Goal(effect)) == max(3, seeds_needed(effect, sd))
    assert seeds_for(truth, 200, 4, Goal(effect, one_sided=True)) == max(3, seeds_to_pass(effect, sd))


@pytest.mark.parametrize("estimand", ["recipe", "population"])
def test_the_seeds_for_a_goal_are_the_fewest(estimand):
    truth, goal = WORLDS["balanced"], Goal(0.2, estimand=estimand)
    seeds = seeds_for(truth, 120, 2, goal)
    assert predicted_power(truth, Design(seeds, 120, 2), goal) >= 0.8
    assert predicted_power(truth, Design(seeds - 1, 120, 2), goal) < 0.8


def test_floors_that_no_other_number_makes_up_for():
    truth = WORLDS["prompts"]
    goal = Goal(0.1, estimand="population")
    floor = prompts_floor(truth, goal)
    assert seeds_for(truth, floor - 1, 64, goal) is None
    assert seeds_for(truth, 2 * floor, 64, goal) is not None
    assert cheapest_designs(truth, goal, Limits(floor - 1), Costs(1.0, 0.01)) == []
    assert prompts_floor(truth, Goal(0.1)) == 1
    noisy, least = WORLDS["seeds"], seeds_floor(WORLDS["seeds"], Goal(0.2))
    assert predicted_power(noisy, Design(least, 10**6, 64), Goal(0.2)) >= 0.8
    assert predicted_power(noisy, Design(least - 1, 10**9, 64), Goal(0.2)) < 0.8
    assert seeds_floor(noisy, Goal(0.001)) is None


@pytest.mark.parametrize("estimand", ["recipe", "population"])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(("seeds", "prompts"), [(3, 20), (3, 34), (12, 20)])
def test_more_samples_never_have_less_power(estimand, world, seeds, prompts):
    goal = Goal(0.4, estimand=estimand)
    powers = [predicted_power(WORLDS[world], Design(seeds, prompts, samples), goal) for samples in (1, 2, 4, 8)]
    assert powers == sorted(powers)


@pytest.mark.parametrize("estimand", ["recipe", "population"])
@pytest.mark.parametrize("costs", [Costs(30.0, 0.01), Costs(0.5, 0.1)], ids=["training", "evaluation"])
def test_no_design_is_cheaper_than_the_cheapest(estimand, costs):
    truth, goal, limits = Variances(0.002, 0.02, 0.05, 0.4), Goal(0.2, estimand=estimand), Limits(34)
    designs = cheapest_designs(truth, goal, limits, costs)
    best = min(map(costs.of, designs))
    assert all(predicted_power(truth, design, goal) >= goal.power for design in designs)
    # seeds × prompts × samples are whole numbers, so that a little less may do with a little more samples
    cheaper = affordable(0.97 * best, costs, range(3, 20), range(20, 35), range(1, 9))
    assert len(cheaper) > 10
    assert not [design for design in cheaper if predicted_power(truth, design, goal) >= goal.power]


def test_a_budget_is_spent_and_not_exceeded():
    truth, goal, costs = WORLDS["balanced"], Goal(0.3, estimand="population"), Costs(20.0, 0.05)
    designs = designs_within(600.0, truth, goal, Limits(200), costs)
    assert all(costs.of(design) <= 600.0 + 1e-9 for design in designs)
    best = max(predicted_power(truth, design, goal) for design in designs)
    able = affordable(600.0, costs, range(3, 31, 3), range(20, 201, 20), range(1, 6))
    assert len(able) > 40
    assert best >= max(predicted_power(truth, design, goal) for design in able) - 0.005
    assert designs_within(50.0, truth, goal, Limits(200), costs) == []
    assert designs_within(1e308, truth, goal, Limits(200), costs)[-1] == Design(1_000, 200, 64)


def test_where_the_sample_level_is_unknown_plans_keep_the_pilots_samples():
    truth, limits = Variances(0.001, 0.1, 0.2, 0.0), Limits(100, samples=4)
    assert {each.samples for each in cheapest_designs(truth, Goal(0.1), limits, Costs(1.0, 0.1))} == {4}
    assert {each.samples for each in designs_within(300.0, truth, Goal(0.1), limits, Costs(1.0, 0.1))} == {4}


def test_what_the_pilot_leaves_open_brackets_the_plan():
    pilot = variance_components(experiments(WORLDS["seeds"], Design(5, 60, 1), 0.0, prompts_random=True, runs=1)[0])
    for estimand in ("recipe", "population"):
        design, goal = Design(6, 60, 1), Goal(0.5, estimand=estimand)
        lucky, unlucky = (predicted_power(each, design, goal) for each in plausible_variances(pilot, design, goal))
        assert unlucky + 0.1 < predicted_power(pilot.variances, design, goal) < lucky
    # over many pilots, the interval holds the variance that decides about as often as it says
    held, runs, design = 0, 200, Design(5, 20, 1)
    truth = WORLDS["seeds"].seed + WORLDS["seeds"].residual(1) / 20
    for differences in experiments(WORLDS["seeds"], design, 0.0, prompts_random=True, runs=runs, seed=6):
        ends = plausible_variances(variance_components(differences), design, Goal(0.5))
        low, high = (each.seed + each.residual(1) / 20 for each in ends)
        held += low <= truth <= high
    assert stats.binom.ppf(0.001, runs, 0.95) <= held <= stats.binom.ppf(0.999, runs, 0.95)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Goal(0.0), "above zero"),
        (lambda: Goal(0.1, power=0.04), "alpha < power"),
        (lambda: Costs(-1.0, 1.0), "zero or more per seed"),
        (lambda: Costs(1.0, 0.0), "above zero per completion"),
        (
            lambda: designs_within(float("nan"), WORLDS["seeds"], Goal(0.1), Limits(20), Costs(1.0, 1.0)),
            "a budget above",
        ),
        (lambda: predicted_power(WORLDS["seeds"], Design(1, 20, 1), Goal(0.1)), "at least 2 seeds"),
        (lambda: predicted_power(Variances(0.0, 1.0, 0.0, 0.0), Design(3, 20, 1), Goal(0.1)), "nothing varied"),
    ],
)
def test_bad_input_is_explained(call, message):
    with pytest.raises(InputError, match=message):
        call()
