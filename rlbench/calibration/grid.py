"""The grid: intervals and tests of every estimand in worlds of every kind, each with its band."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rlbench.calibration import rows
from rlbench.calibration.cells import Band, Cell
from rlbench.calibration.methods import Bootstrapped, ClosedForm, Method
from rlbench.calibration.rows import Row
from rlbench.calibration.special import POPULATION_CLAIMS, RECIPE_CLAIMS, special
from rlbench.calibration.trials import Intervals
from rlbench.calibration.worlds import Binary
from rlbench.statistics import Estimand

SEEDS = {20: (3, 4, 5, 6, 8, 10), 100: (3, 5, 10)}
"""Numbers of seeds, by number of prompts."""

TEST = {"checkpoints": Band(0.04, 0.06), "recipe": Band(0.04, 0.06), "population": Band(0.04, 0.065)}

FEW_SEEDS = "4 seeds or fewer"
NOISE = "noise dominates"
WELCH = "Welch with 3 or 4 seeds"
REASONS = {
    rows.DISCRETE: "right and wrong answers leave a test too few values for all of its 5 %, with single samples, "
    "few prompts or high accuracy",
    rows.HEAVY: "heavy tails make a t test cautious",
    FEW_SEEDS: "with at most 4 seeds the scarcer of seeds and prompts sets the degrees of freedom of `population`",
    NOISE: "seeds and prompts hardly vary of themselves, and `population` takes the larger of two noisy variances",
    WELCH: "Welch's degrees of freedom are cautious with few seeds",
}
"""Why a test may reject a true "no difference" in less than 4 % of experiments."""

LIMIT = "few prompts differ"

SHORT = frozenset(
    {
        "recipe/normal/balanced/20//0/5",
        "recipe/normal/seeds dominate/20//0/3",
        "recipe/heavy-tailed/heavy tails, balanced/20//0/5",
        "recipe/ceiling/accuracy 0.95/20/1/0/3",
        "recipe/unpaired/unpaired, balanced/20//0/5",
        "population/normal/prompts dominate, seeds alike/20//0/8",
        "population/normal/balanced/20//0/5",
        "population/normal/balanced/20//0/3",
        "population/normal/seeds dominate/20//0/10",
        "population/unpaired/unpaired, prompts dominate/20//0/6",
        "population/corpus ratio/Σ cost / Σ length/20//0.2/5",
        "checkpoints/normal/balanced/20//0/3",
        "checkpoints/heavy-tailed/heavy tails, balanced/20//0/1",
        "checkpoints/binary/accuracy 0.5/100/1/0/1",
        "power/recipe/recipe/balanced/20/1/0.8/5",
        "power/population/population/prompts dominate/20/1/0.8/5",
        "verdicts/recipe/recipe/0.8/-1 m/5",
        "verdicts/recipe/recipe/0.8/0/5",
        "verdicts/recipe/recipe/0.3/-2 m/5",
        "families/recipe/recipe/4 (6 pairs)/all equal/3",
        "looks/recipe/balanced/5, 8, 10/5",
        "shared/once per seed (ours)/once per seed (ours)/5",
        "shared/once for all seeds/once for all seeds/5",
        *(f"others/{method}/recipe/seeds dominate/{method}/5" for method in RECIPE_CLAIMS),
        *(f"others/{method}/population/seeds dominate/{method}/5" for method in POPULATION_CLAIMS),
        *(f"others/{method}/population/nothing but noise/{method}/10" for method in POPULATION_CLAIMS),
    }
)
"""Names of the cells of the short grid."""


def grid() -> list[Cell]:
    """All cells."""
    return [*_recipe(), *_population(), *_checkpoints(), *special()]


def short_grid() -> list[Cell]:
    """A few cells of every kind, for a quick look and for the tests."""
    return [cell for cell in grid() if cell.name in SHORT]


def _recipe() -> Iterator[Cell]:
    for prompts in SEEDS:
        for row in (*_usual(prompts), *rows.unpaired(prompts)):
            for seeds in SEEDS[prompts]:
                cautious = row.cautious or (WELCH if not row.paired and seeds <= 4 else "")
                yield _cell(row, "recipe", seeds, ClosedForm("recipe", row.paired), cautious)


def _population() -> Iterator[Cell]:
    for prompts in SEEDS:
        for row in (*_usual(prompts), *rows.unpaired(prompts), *rows.nothing_but_noise(prompts)):
            for seeds in SEEDS[prompts]:
                noisy = row.name == "nothing but noise" or (row.family == "binary" and prompts == 20)
                cautious = (FEW_SEEDS if seeds <= 4 else "") or row.cautious or (NOISE if noisy else "")
                yield _cell(row, "population", seeds, ClosedForm("population", row.paired), cautious)
        for row in rows.ratio(prompts):
            for seeds in (3, 5, 10):
                cautious = FEW_SEEDS if seeds <= 4 else ""
                yield _cell(row, "population", seeds, Bootstrapped("population"), cautious)


def _checkpoints() -> Iterator[Cell]:
    for prompts in SEEDS:
        for row in _usual(prompts):
            for seeds in (1, 3, 5):
                few_values = rows.DISCRETE if row.family == "binary" and prompts == 20 else ""
                yield _cell(row, "checkpoints", seeds, ClosedForm("checkpoints"), row.cautious or few_values)
        for row in rows.ratio(prompts):
            for seeds in (1, 5):
                yield _cell(row, "checkpoints", seeds, Bootstrapped("checkpoints"), "")


def _usual(prompts: int) -> Sequence[Row]:
    return [
        *rows.continuous(prompts),
        *rows.binary(prompts),
        *rows.ceiling(prompts),
        *rows.extreme_ceiling(prompts),
    ]


def _cell(row: Row, estimand: Estimand, seeds: int, method: Method, cautious: str) -> Cell:
    """Coverage is judged everywhere, the test where there is no difference; limits are shown and not judged."""
    trial = Intervals(row.world(seeds), estimand, method)
    if _is_limit(row, estimand):
        counting = replace(trial, count_prompts=estimand != "recipe")
        return Cell(f"{estimand}, limits", row.family, row.design(), seeds, counting, {}, LIMIT)
    few_seeds = estimand != "checkpoints" and seeds <= 4
    bands = {"missed": Band(0.0, 0.07 if few_seeds else 0.065)}
    if not row.difference:
        test = TEST[estimand]
        bands["rejected"] = Band(0.0, test.high) if cautious else test
    return Cell(estimand, row.family, row.design(), seeds, trial, bands, cautious if not row.difference else "")


def _is_limit(row: Row, estimand: Estimand) -> bool:
    """Designs that nobody should trust, by rule: fewer than about ten prompts differ, or hardly any answer is wrong."""
    world = row.template
    if not isinstance(world, Binary):
        return False
    few_answers = world.prompts <= 20 and (estimand != "recipe" or world.samples == 1)
    return world.accuracy > 0.95 or (world.accuracy == 0.95 and few_answers and row.difference > 0)
