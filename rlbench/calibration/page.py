"""calibration.md: what was measured, where it holds, where it does not, and the command that makes it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rlbench.calibration import plots
from rlbench.calibration.cells import PUBLISHED, Measured
from rlbench.calibration.grid import REASONS, TEST
from rlbench.calibration.methods import REPLICATES
from rlbench.calibration.real_page import real_section
from rlbench.calibration.results import Results
from rlbench.calibration.special import REASONS as SPECIAL_REASONS
from rlbench.calibration.tables import at, lines, matrix, rate, spread
from rlbench.calibration.trials import BLOCK
from rlbench.rendering.text import plural

FOLDER = "calibration"
ESTIMANDS = {
    "recipe": "E2, *this recipe on this benchmark*: seeds are random, prompts fixed. The default for claims about "
    "algorithms.",
    "population": "E3, *this recipe on prompts like these*: seeds and prompts are random.",
    "checkpoints": "E1, *these checkpoints*: prompts are random, checkpoints fixed.",
}
TABLES = {
    "power": (
        "Power against the planner",
        "rejected",
        "The true differences are those for which `rlbench plan` predicts the power in the column *predicted*; "
        "± .03 is accepted.",
    ),
    "looks": ("Declared looks", "claimed", "False claims at any of up to three looks at a growing number of seeds."),
}


def figures(results: Results) -> dict[str, str]:
    """SVG texts by file name, for all that has been measured."""
    drawn: dict[str, Callable[[Sequence[Measured]], str]] = {
        **{name: _intervals_of(name) for name in ESTIMANDS},
        "power": plots.power,
        "verdicts": plots.verdicts,
        "others": plots.others,
    }
    made = {name: draw(found) for name, draw in drawn.items() if (found := _of(results, name))}
    if results.real is not None:
        made["real"] = plots.real(results.real)
    return {f"{name}.svg": text for name, text in made.items()}


def render(results: Results) -> str:
    """The page as Markdown."""
    parts = [*_introduction(results)]
    if results.cells:
        parts += [*_estimands(results), *_others(results), *_limits(results)]
    if results.real is not None:
        parts += real_section(results.real, FOLDER)
    return "\n".join([*parts, *_again(results)])


def _introduction(results: Results) -> Iterator[str]:
    yield from lines(
        """
        # Calibration: do the intervals and tests do what they say?

        A test at .05 should raise a false alarm in 5 % of experiments in which nothing differs, and a 95 % interval
        should hold the truth in 95 %. Both are measured here, in simulated worlds whose truth is known exactly, by
        the functions that `rlbench compare` and `rlbench regress` call.
        """
    )
    if not results.cells:
        yield from lines("Nothing has been simulated yet: run `rlbench calibrate`.")
        return
    judged, outside = len(results.judged), results.outside
    limits = sum("limits" in cell.section for cell in results.cells)
    verdict = "all lie inside their bands" if not outside else f"{len(outside)} outside of their bands"
    yield from lines(
        f"""
        **{plural(judged, "design")} with a band, {results.runs:,} simulated experiments each: {verdict}.** {limits}
        more are known limits and are shown [below](#where-it-does-not-hold), not judged. ({results.versions})
        """
    )
    again = [cell for cell in results.judged if cell.runs > results.runs]
    if again:
        named = "; ".join(_where(cell) for cell in again)
        yield from lines(
            f"""
            {plural(len(again), "design")} lay outside at first. What counts is a second measurement, with
            {again[0].runs:,} experiments and other random numbers ({named}): among hundreds of designs chance alone
            pushes some over a border that they are close to.
            """
        )
    if results.runs < PUBLISHED:
        yield from lines(
            f"With fewer than {PUBLISHED:,} experiments a rate is accepted that a rate inside the band reaches with "
            "probability .001 or more. This is no page to publish."
        )
    for cell in outside:
        for event in cell.outside:
            band = cell.bands[event]
            found, border = rate(cell.rate(event)), f"{rate(band.low)}-{rate(band.high)}"
            yield f"* outside: {_where(cell)}: {event} {found}, band {border}"
    if outside:
        yield ""
    yield from lines(
        """
        ## How to read it

        A difference is D[seed, prompt] = δ + γ (seed) + η (prompt) + ξ (the rest). What is random follows the
        question:
        """
    )
    yield from (f"* `{name}`: {text}" for name, text in ESTIMANDS.items())
    yield ""
    yield from lines(
        f"""
        What a question keeps (prompts, checkpoints) is drawn once per {BLOCK} experiments, and the truth is the
        difference on exactly these. Worlds: *prompts dominate* has σ_η three times σ_ξ and σ_γ .05 or 0; *balanced*
        σ_γ .2 and σ_η = σ_ξ = 1; *seeds dominate* σ_γ 1 and σ_η = σ_ξ = .3; *heavy tails* are Student's t with 3 df.
        Answers that are right or wrong come from a probit model with the accuracy of the row and 1 or 4 samples per
        prompt. Corpus ratios are bootstrapped with {REPLICATES:,} replicates, drawn once per number of prompts.

        Bands: type-I error .040-.060 (`population` up to .065); less than .040 only where a reason is stated, marked
        °. Coverage at least .935, and .930 with 3 or 4 seeds. Rates of {PUBLISHED:,} experiments have a standard
        error of .002 and are judged as they are. Reasons for °:
        """
    )
    stated = {**REASONS, **SPECIAL_REASONS}
    for note in dict.fromkeys(cell.note for cell in results.judged if cell.note):
        yield f"* {note}: {stated[note]}" if note in stated else f"* {note}"
    yield ""


def _where(cell: Measured) -> str:
    named = [f"{name} {value}" if name in ("prompts", "samples", "difference") else value
             for name, value in cell.design.items() if value]  # fmt: skip
    return ", ".join([f"`{cell.section}`", *named, plural(cell.seeds, "seed")])


def _estimands(results: Results) -> Iterator[str]:
    for name, text in ESTIMANDS.items():
        cells = _of(results, name)
        if not cells:
            continue
        null = [cell for cell in cells if "rejected" in cell.bands]
        yield from lines(f"## `{name}`\n\n{text}\n\n![Type-I error and coverage, {name}]({FOLDER}/{name}.svg)")
        yield from ["| worlds | designs | type-I error | coverage | outside |", "|---|--:|--:|--:|--:|"]
        for family in dict.fromkeys(cell.family for cell in cells):
            own = [cell for cell in cells if cell.family == family]
            errors, coverage = spread(null, family, "rejected"), spread(own, family, "missed", complement=True)
            yield f"| {family} | {len(own)} | {errors} | {coverage} | {sum(bool(cell.outside) for cell in own)} |"
        low, high = TEST[name].low, TEST[name].high
        yield from _folded("Type-I error of every design", matrix(null, "rejected"), f"Band {rate(low)}-{rate(high)}.")
        yield from _folded("Coverage of every design", matrix(cells, "missed", complement=True), "")
        differing = [cell for cell in cells if "rejected" not in cell.bands]
        if differing:
            yield from _folded("Power where there is a difference", matrix(differing, "rejected"), "Not judged.")
    for name, (title, event, text) in TABLES.items():
        cells = _of(results, name)
        if cells:
            yield from lines(f"## {title}\n\n{text}")
            if name == "power":
                yield from lines(f"![Simulated minus predicted power]({FOLDER}/power.svg)")
            yield from _folded("All designs", matrix(cells, event), "")
    further = _of(results, "further")
    if further:
        yield from lines("## Further tests and intervals\n\nType-I error of tests at .05:")
        yield from [*matrix([cell for cell in further if "rejected" in cell.bands], "rejected"), ""]
        covered = matrix([cell for cell in further if "missed" in cell.bands], "missed", complement=True)
        yield from ["Coverage of 95 % intervals:", "", *covered, ""]
    yield from _families(_of(results, "families"))
    yield from _verdicts(_of(results, "verdicts"))


def _families(cells: Sequence[Measured]) -> Iterator[str]:
    if cells:
        yield from lines(
            """
            ## All pairs at once

            `family()` over all pairs of 4 or 5 arms: how often Holm's test makes any false claim, and how often any
            of the Bonferroni-simultaneous intervals misses its truth. Both should happen in 5 % of experiments or
            fewer.
            """
        )
        yield from ["Any false claim:", "", *matrix(cells, "false claim"), ""]
        yield from ["Any interval that misses:", "", *matrix(cells, "missed"), ""]


def _verdicts(cells: Sequence[Measured]) -> Iterator[str]:
    if cells:
        yield from lines(
            f"""
            ## Verdicts

            The verdict on new − old with a margin m, by true difference. At a true difference of exactly −m a gate
            should pass (*non-inferior*, *equivalent*, *improved*, *worse within margin* together) in 5 % of
            experiments at most, and say *regressed* in 5 % at most: both are tests at .05, and rates up to .060 are
            accepted. With 3 noisy seeds and no difference most verdicts are *inconclusive*, as they should be.

            ![Verdicts by true difference]({FOLDER}/verdicts.svg)
            """
        )
        events = [*plots.VERDICTS, "passes"]
        rows = [[*cell.design.values(), str(cell.seeds), *(at(cell, event) for event in events)] for cell in cells]
        head = [*cells[0].design, "seeds", *events]
        every = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
        yield from _folded("Every verdict", every, "Judged are those that would be false at the true difference.")


def _others(results: Results) -> Iterator[str]:
    cells = _of(results, "others")
    if cells:
        yield from lines(
            f"""
            ## What others do

            Type-I error at .05 of usual habits, in the same worlds (50 prompts) as ours. Bold: outside of the band
            that ours is held to (ours is careful with 3 seeds and `population`, for the reason stated above).
            *Prompts as the unit* answers another question: E1, taken for a claim about a recipe. The crossed
            bootstrap variance *as it stands* counts the residual three times: too careful where noise dominates,
            which costs power, and with a normal quantile careless where seeds dominate.

            ![Type-I error of habits of others]({FOLDER}/others.svg)
            """
        )
        yield from [*matrix(cells, "rejected", bold=lambda cell: not _ours_or_within(cell)), ""]
    shared = _of(results, "shared")
    if shared:
        yield from lines(
            """
            A policy that all seeds share, such as the SFT policy, must be evaluated once *per seed*. Evaluated once
            for all, its sampling error is common to all seeds and no interval over seeds can see it: coverage of the
            difference from a trained policy (500 prompts, 4 samples, nominal .95):
            """
        )
        yield from [*matrix(shared, "missed", complement=True), ""]


def _ours_or_within(cell: Measured) -> bool:
    band = TEST[cell.design["claim"]]
    return cell.design["method"].startswith("ours") or band.low <= cell.rate("rejected") <= band.high


def _limits(results: Results) -> Iterator[str]:
    cells = [cell for cell in results.cells if cell.section.endswith(", limits")]
    if not cells:
        return
    yield from lines(
        """
        ## Where it does not hold

        **The rule: with fewer than about ten prompts on which the arms differ, trust no interval over prompts**
        (`checkpoints`, `population`), and near the ceiling take more prompts and samples than 20 and 1. There nearly
        all prompts are answered by both arms; the few that differ mostly differ in one direction, and an interval
        around so skewed a mean is too short. The means of 3 seeds with one sample of each prompt are so coarse that
        their spread says little. `rlbench compare` says so when few prompts differ. These designs are chosen by rule,
        whether they hold or not: at accuracy .95 those with 20 prompts and a true difference (`recipe`: and single
        samples), and all at accuracy .977, where one answer in 43 is wrong.
        """
    )
    for name in ESTIMANDS:
        here = [cell for cell in cells if cell.section == f"{name}, limits"]
        if here:
            null = [cell for cell in here if cell.design["difference"] == "0"]
            coverage = matrix(here, "missed", complement=True, bold=lambda cell: cell.rate("missed") > 0.07)
            errors = matrix(null, "rejected", bold=lambda cell: cell.rate("rejected") > 0.065)
            yield from [f"`{name}`, coverage of the 95 % interval (bold: below .930):", "", *coverage, ""]
            yield from [f"`{name}`, type-I error at .05 (bold: above .065):", "", *errors, ""]
            enough = sum(cell.counts.get("enough", 0) for cell in here)
            if enough:
                missed, all_missed = (sum(cell.counts.get(event, 0) for cell in here) for event in
                                      ("enough and missed", "missed"))  # fmt: skip
                few, runs = all_missed - missed, sum(cell.runs for cell in here)
                yield from lines(
                    f"""
                    Of these experiments {enough / runs:.0%} have ten prompts or more that differ; the interval covers
                    in {rate(1 - missed / enough)} of them, and in {rate(1 - few / (runs - enough))} of the others.
                    """
                )


def _again(results: Results) -> Iterator[str]:
    command = f"rlbench calibrate --runs {results.runs or PUBLISHED}" + (" --short" if results.short else "")
    yield from lines(
        f"""
        ## Make it again

        ```
        {command} --out docs
        rlbench calibrate --experiment runs/aa --arm grpo --out docs
        ```

        The first command simulates, the second adds the real A/A; either leaves the other's part as it is. The
        numbers are in [calibration.json]({FOLDER}/calibration.json). Every design has random numbers of its own, so
        that neither the number of workers nor other designs change what it finds. `--short` runs a few designs. The
        exit code is 1 if a rate is outside of its band.
        """
    )


def _folded(title: str, table: Sequence[str], note: str) -> list[str]:
    above = [note, ""] if note else []
    return ["", "<details>", f"<summary>{title}</summary>", "", *above, *table, "", "</details>", ""]


def _of(results: Results, section: str) -> list[Measured]:
    return [cell for cell in results.cells if cell.section == section]


def _intervals_of(name: str) -> Callable[[Sequence[Measured]], str]:
    bands: Mapping[str, tuple[float, float]] = {key: (band.low, band.high) for key, band in TEST.items()}
    return lambda cells: plots.intervals(cells, bands[name])
