"""The sections of a report in their order. A section whose data do not exist is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rlbench.rendering import budget_tables, provenance_tables, quantity, run_tables, score_tables, slice_tables
from rlbench.rendering.best_of_n import best_of_n_item
from rlbench.rendering.excluded import excluded_sentence, excluded_table
from rlbench.rendering.figures import Drawing, Topic
from rlbench.rendering.findings import finding_items
from rlbench.rendering.method import method_paragraphs, pairing
from rlbench.rendering.pair import Standing, pairs, tasks
from rlbench.rendering.report import Report
from rlbench.rendering.reward_tables import best_of_n_table, reward_model_table
from rlbench.rendering.rewards import rewards_of
from rlbench.rendering.section import Item, Section
from rlbench.rendering.table import Table, Tone
from rlbench.rendering.text import plural, visible
from rlbench.rendering.verdict import pair_sentence

FEW = 12
"""More reasons than this are folded."""
MANY = 40
"""So are more rows of slices."""
MARKS: dict[Standing, tuple[str, Tone]] = {
    "decided": ("decided", "good"),
    "equivalent": ("equivalent", "good"),
    "non-inferior": ("non-inferior", "good"),
    "not decided": ("not decided", "muted"),
    "unknown": ("cannot be decided", "muted"),
    "survivors only": ("survivors only", "warning"),
}


def sections(report: Report, drawn: Sequence[Drawing]) -> list[Section]:
    """Every section that has something to show, with the figures of `drawings`."""
    return [*_results(report, drawn), *_accounts(report, drawn), *_provenance(report)]


def verdict_items(report: Report) -> list[Item]:
    """The sentences on the pairs, each with its mark."""
    comparison = report.comparison
    return [Item(pair_sentence(pair, comparison), *MARKS[pair.standing]) for pair in pairs(comparison, primary=True)]


def _about(drawn: Sequence[Drawing], *topics: Topic) -> list[Drawing]:
    return [drawing for drawing in drawn if drawing.topic in topics]


def _present(*tables: Table | None) -> list[Table]:
    return [table.without_constant("task") for table in tables if table is not None and table.rows]


def _results(report: Report, drawn: Sequence[Drawing]) -> Iterator[Section]:
    comparison = report.comparison
    yield from _budget(report)
    if shown := _about(drawn, "intervals"):
        words = (
            f"Diamond: the score. Bar: its {quantity.percent(float(comparison.get('confidence') or 0.95))} interval."
        )
        if any(score.get("by_seed") for score in comparison.get("scores") or ()):
            words += " Dots: one a seed."
        yield Section("scores", "Scores", [words], drawings=[*shown, *_about(drawn, "secondary")])
    tables = _present(score_tables.difference_table(comparison, primary=True))
    folded = _present(score_tables.difference_table(comparison, primary=False))
    if tables or folded:
        words = (
            f"First minus second, paired {pairing(comparison)}. "
            "Thick: the interval of this pair; thin: the interval that holds for all pairs at once. "
            "Coloured: decided, in the colour of the arm ahead. Grey: not decided. "
            "Overlapping intervals of two scores do not mean that they are equal: look here."
        )
        yield Section("differences", "Differences", [words], (), _about(drawn, "differences"), tables, folded)
    yield from _slices(report, drawn)
    yield from _rewards(report, drawn)
    if shown := _about(drawn, "curves", "frontier"):
        words = "Every seed is a line through what was measured. Nothing is smoothed."
        if any(rewards_of(comparison, task) for task in tasks(comparison)):
            words += " Where the proxy goes on rising while gold falls, the policy exploits the proxy."
        yield Section("learning", "Learning curves", [words], drawings=shown)
    if shown := _about(drawn, "diagnostics"):
        words = (
            "What training logged about itself. Arms that learn from preference pairs draw them from the SFT policy "
            "first, so theirs are the values of that policy. Where an arm logs nothing, nothing is drawn."
        )
        yield Section("diagnostics", "Training diagnostics", [words], folded_drawings=shown)
    scored = [score_tables.score_table(comparison, task) for task in tasks(comparison)]
    if scored:
        yield Section("table", "Every metric", tables=_present(*scored))


def _slices(report: Report, drawn: Sequence[Drawing]) -> Iterator[Section]:
    """The differences in groups of prompts, folded where they are many."""
    comparison = report.comparison
    tables, folded = (
        _present(slice_tables.slice_table(comparison)),
        _present(slice_tables.slice_pairs_table(comparison)),
    )
    if not tables:
        return
    words = (
        "Exploratory: the same differences on parts of the prompts. A part decides less than the whole, and of many "
        "parts some look special by chance. Filled: decided after adjustment; hollow: not decided."
    )
    if any(row.get("slice") == "difficulty" for row in comparison.get("slices") or ()):
        words += (
            " Where a task declares no difficulty, prompts are hard or easy by the mean of all arms, so that it "
            "favours none of them."
        )
    if len(tables[0].rows) > MANY:
        tables, folded = [], [*tables, *folded]
    yield Section("slices", "Slices", [words], (), _about(drawn, "slices"), tables, folded)


def _rewards(report: Report, drawn: Sequence[Drawing]) -> Iterator[Section]:
    """Where training maximised a proxy: what the proxy is worth in gold, and the reward model behind it."""
    comparison = report.comparison
    found = [best_of_n_item(comparison, task) for task in tasks(comparison)]
    if items := [item for item in found if item is not None]:
        words = (
            "The proxy is what training maximised, gold is what it stands for. Of the completions that were drawn to "
            "measure an arm, the proxy picks the best of n, on average over all subsets of n; gold says what the pick "
            "is worth. While gold rises with n, the proxy is a useful judge of that arm's completions; where it falls, "
            "choosing harder exploits the proxy's errors, as training on it may."
        )
        shown = _about(drawn, "best-of-n")
        yield Section("rewards", "Gold and proxy", [words], items, shown, _present(best_of_n_table(comparison)))
    models = comparison.get("reward_models") or ()
    if tables := _present(reward_model_table(models)):
        words = (
            "Trained once per task, before all arms, and measured on pairs of other prompts: how often it ranks a pair "
            "as its label does. Where it is less often right than it predicts, it is too sure of itself."
        )
        if any(model.get("labels") == "preferences" for model in models):
            words += " People agree with each other in about 73 % of such pairs (Ouyang et al. 2022)."
        yield Section("model", "Reward model", [words], (), _about(drawn, "reward-model"), tables)


def _budget(report: Report) -> Iterator[Section]:
    budget = report.comparison.get("budget")
    if not budget or not budget.get("runs"):
        return
    currency, tolerance = visible(str(budget.get("currency"))), quantity.percent(float(budget.get("tolerance") or 0))
    plan = f"Every run may spend {quantity.count(budget.get('planned'))} {currency}, give or take {tolerance}."
    passed = bool(budget.get("passed", True))
    items = [Item(visible(str(failure)), "off budget", "bad") for failure in budget.get("failures") or ()]
    result = "All runs kept to it." if passed else "The audit failed, so the arms are not ranked."
    yield Section(
        "budget",
        "Budget parity",
        [f"{plan} {result}"],
        items,
        tables=_present(budget_tables.budget_table(budget)),
        folded=_present(budget_tables.budget_runs_table(budget)),
    )


def _accounts(report: Report, drawn: Sequence[Drawing]) -> Iterator[Section]:
    comparison = report.comparison
    tables = _present(run_tables.throughput_table(report))
    if tables:
        folded = _present(run_tables.throughput_runs_table(report))
        yield Section("throughput", "Throughput", (), (), _about(drawn, "phases"), tables, folded)
    outcome = run_tables.outcome_table(report)
    if outcome is not None:
        words = "A run that did not finish is counted, never dropped: it makes the grid unbalanced and unranked."
        yield Section("failures", "Failed and missing seeds", [words], tables=_present(outcome))
    elif comparison.get("runs"):
        words = f"None: all {plural(len(comparison['runs']), 'run')} finished."
        yield Section("failures", "Failed and missing seeds", [words])
    if excluded := _present(excluded_table(comparison)):
        words = (
            f"{excluded_sentence(comparison)} Test prompts stay; what cannot be scored there is counted as unscored."
        )
        few = len(excluded[0].rows) <= FEW
        yield Section(
            "excluded", "Excluded prompts", [words], tables=excluded if few else (), folded=() if few else excluded
        )
    if findings := finding_items(comparison):
        words = "What to know about the runs before trusting their numbers; the most serious first."
        yield Section("findings", "Findings", [words], findings)


def _provenance(report: Report) -> Iterator[Section]:
    comparison = report.comparison
    if shared := _present(provenance_tables.fingerprint_table(comparison.get("fingerprints") or ())):
        words = "All arms of a task start from the same policies, see the same prompts and are measured the same way."
        yield Section("inputs", "Shared inputs", [words], tables=shared)
    if axes := _present(provenance_tables.definition_table(report.definitions)):
        yield Section("algorithms", "Algorithms", ["Exactly what ran, axis by axis."], tables=axes)
    meaning = _present(provenance_tables.metric_table(comparison))
    signature = visible(str(comparison.get("signature") or ""))
    if meaning or signature:
        yield Section("signature", "Metrics and signature", folded=meaning, code=signature)
    if machine := _present(provenance_tables.environment_table(report.environment)):
        yield Section("environment", "Environment", tables=machine)
    if report.reproduce:
        yield Section("reproduce", "Reproduce", code="\n".join(map(visible, report.reproduce.split("\n"))))
    if report.downloads:
        yield Section("downloads", "Downloads", links=report.downloads)
    yield Section("method", "Method", method_paragraphs(comparison))
