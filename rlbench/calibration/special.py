"""Cells that are no plain interval: power, verdicts, families of tests, looks, shared policies, habits of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from rlbench.calibration import methods
from rlbench.calibration.cells import Band, Cell
from rlbench.calibration.methods import ClosedForm, Method
from rlbench.calibration.rows import SDS
from rlbench.calibration.trials import Families, Intervals, Looks, Verdicts
from rlbench.calibration.worlds import Binary, Continuous, Ratio
from rlbench.statistics import Estimand
from rlbench.statistics.components import Variances
from rlbench.statistics.planning import Design, Goal, detectable_effect

ESTIMANDS: tuple[Literal["recipe", "population"], ...] = ("recipe", "population")
MARGIN = 1.0

EXACT = "exact tests over seeds"
TRIMMED = "trimmed means"
REASONS = {
    EXACT: "there are few ways to flip signs or to relabel seeds, and 5 sign flips cannot reach .05 at all",
    TRIMMED: "the jackknife variance of a trimmed mean of few seeds is on the safe side",
}
RECIPE_CLAIMS: dict[str, Method] = {
    "ours: t over seeds": ClosedForm("recipe"),
    "percentile bootstrap of the seeds": methods.percentile_over_seeds,
    "mean over seeds ± 1.96 standard errors": methods.normal_over_seeds,
    "prompts as the unit": ClosedForm("checkpoints"),
}
POPULATION_CLAIMS: dict[str, Method] = {
    "ours: crossed ANOVA": ClosedForm("population"),
    "crossed bootstrap variance as it stands, ± 1.96": methods.plain_crossed_normal,
    "crossed bootstrap variance as it stands, t": methods.plain_crossed_t,
    "all scores independent, ± 1.96": methods.all_scores_independent,
}


def special() -> Iterator[Cell]:
    """All of them."""
    yield from _power()
    yield from _verdicts()
    yield from _families()
    yield from _looks()
    yield from _further()
    yield from _shared_policy()
    yield from _others()


def _power() -> Iterator[Cell]:
    """True differences for which `rlbench plan` predicts a power: does the test have it?"""
    for estimand in ESTIMANDS:
        for name in ("prompts dominate", "balanced", "seeds dominate"):
            for seeds, prompts, samples in ((3, 50, 1), (5, 20, 1), (5, 100, 4), (10, 50, 1)):
                for predicted in (0.5, 0.8, 0.95):
                    seed, prompt, residual = (sd**2 for sd in SDS[name])
                    variances = Variances(seed, prompt, interaction=residual / 2, sample=residual / 2)
                    goal = Goal(effect=1.0, power=predicted, estimand=estimand)
                    difference = detectable_effect(variances, Design(seeds, prompts, samples), goal)
                    sds = (SDS[name][0], SDS[name][1], variances.residual(samples) ** 0.5)
                    trial = Intervals(
                        Continuous(seeds, prompts, *sds, difference=difference), estimand, ClosedForm(estimand)
                    )
                    design = {"estimand": estimand, "world": name, "prompts": str(prompts), "samples": str(samples),
                              "predicted": f"{predicted:g}"}  # fmt: skip
                    band = {"rejected": Band(round(predicted - 0.03, 3), round(predicted + 0.03, 3))}
                    yield Cell("power", estimand, design, seeds, trial, band)


def _verdicts() -> Iterator[Cell]:
    """True differences in margins; the seeds' sd makes the 90 % interval about as wide as the margin or half of it."""
    for estimand in ESTIMANDS:
        for seeds, noise in ((3, 0.8), (5, 0.8), (10, 0.8), (5, 0.3)):
            for margins in (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0):
                world = Continuous(seeds, 40, noise, noise, noise, difference=margins * MARGIN)
                design = {"estimand": estimand, "sd": f"{noise:g}", "difference": f"{margins:+g} m" if margins else "0"}
                yield Cell("verdicts", estimand, design, seeds, Verdicts(world, estimand, MARGIN), _wrong(margins))


def _wrong(margins: float) -> dict[str, Band]:
    """Verdicts that would be false at a true difference; each is one one-sided test at .05 of its own border."""
    rarely = Band(0.0, 0.06)
    bands = {"regressed": rarely} if margins >= -1 else {"passes": rarely}
    if margins == -1:
        bands["passes"] = rarely
    if margins <= 0:
        bands["improved"] = rarely
    if margins >= 0:
        bands["worse within margin"] = rarely
    if abs(margins) >= 1:
        bands["equivalent"] = rarely
    return bands


def _families() -> Iterator[Cell]:
    for estimand in ESTIMANDS:
        for arms, ahead in ((4, 0.0), (5, 0.0), (4, 2.0)):
            for seeds in (3, 5):
                pairs = arms * (arms - 1) // 2
                differ = "one arm is better" if ahead else "all equal"
                design = {"estimand": estimand, "arms": f"{arms} ({pairs} pairs)", "truth": differ}
                trial = Families(arms, seeds, 30, estimand, ahead)
                yield Cell("families", estimand, design, seeds, trial, {
                    "false claim": Band(0.0, 0.06 if estimand == "recipe" else 0.065),
                    "missed": Band(0.0, 0.07 if seeds <= 4 else 0.065),
                })  # fmt: skip


def _looks() -> Iterator[Cell]:
    for name, sds in SDS.items():
        for seeds in ((5, 8, 10), (5, 10), (3, 5, 8)):
            design = {"world": name, "looks": ", ".join(map(str, seeds))}
            trial = Looks(Continuous(seeds[-1], 20, *sds), "recipe", seeds)
            yield Cell("looks", "recipe", design, seeds[0], trial, {"claimed": Band(0.04, 0.06)})


def _further() -> Iterator[Cell]:
    """Tests without a distribution, the interquartile mean over tasks, and the jackknife."""
    usual, test = {"missed": Band(0.0, 0.065), "rejected": Band(0.04, 0.06)}, {"rejected": Band(0.0, 0.06)}
    for seeds in (5, 10):
        paired = Intervals(Continuous(seeds, 20, *SDS["balanced"]), "recipe", methods.sign_flips_over_seeds)
        yield Cell("further", "tests", {"method": "sign flips over paired seeds"}, seeds, paired, test, EXACT)
        apart = Continuous(seeds, 20, *SDS["balanced"], seeds_b=seeds)
        unpaired = Intervals(apart, "recipe", methods.relabelling_of_seeds)
        yield Cell("further", "tests", {"method": "relabelling of unpaired seeds"}, seeds, unpaired, test, EXACT)
    for seeds in (3, 5, 10):
        tasks = Intervals(Continuous(seeds, 8, 0.2, 0.0, 1.0, seeds_b=seeds), "recipe", methods.interquartile_means)
        bands = {"missed": Band(0.0, 0.07 if seeds <= 4 else 0.065), "rejected": Band(0.0, 0.06)}
        design = {"method": "interquartile mean over 8 tasks"}
        yield Cell("further", "interquartile", design, seeds, tasks, bands, TRIMMED)
    corpus = Intervals(Ratio(1, 60, 0.05, 0.3), "checkpoints", methods.jackknifed_ratio)
    yield Cell("further", "jackknife", {"method": "jackknife of a ratio, 60 prompts in 20 groups"}, 1, corpus, usual)
    over_prompts: tuple[Estimand, ...] = ("checkpoints", "population")
    for estimand in over_prompts:
        one = Intervals(Ratio(5, 60, 0.05, 0.3), estimand, methods.OneScore(estimand))
        design = {"method": f"score of one arm, `{estimand}`, a ratio on 60 prompts"}
        yield Cell("further", "one arm", design, 5, one, {"missed": Band(0.0, 0.065)})


def _shared_policy() -> Iterator[Cell]:
    """The SFT policy against a trained one: evaluated once per seed, as we do it, or once for all."""
    for seeds in (3, 5, 10):
        for how in ("shared", "shared, sampled once"):
            world = Binary(seeds, 500, 0.5, 4, seed_sd=0.03, arm_b=how)
            ours = how == "shared"
            bands = {"missed": Band(0.0, 0.065 if seeds > 4 else 0.07)} if ours else {}
            design = {"the shared policy is sampled": "once per seed (ours)" if ours else "once for all seeds"}
            trial = Intervals(world, "recipe", ClosedForm("recipe"))
            yield Cell("shared", design["the shared policy is sampled"], design, seeds, trial, bands)


def _others() -> Iterator[Cell]:
    claims: dict[Estimand, dict[str, Method]] = {"recipe": RECIPE_CLAIMS, "population": POPULATION_CLAIMS}
    worlds = {name: SDS[name] for name in ("seeds dominate", "balanced", "prompts dominate")}
    worlds["nothing but noise"] = (0.0, 0.0, 1.0)
    for estimand, offered in claims.items():
        for world, sds in worlds.items():
            for label, method in offered.items():
                for seeds in (3, 5, 10):
                    trial = Intervals(Continuous(seeds, 50, *sds), estimand, method)
                    yield Cell("others", label, {"claim": estimand, "world": world, "method": label}, seeds, trial, {})
