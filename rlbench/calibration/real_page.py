"""The section on the real A/A."""

from __future__ import annotations

from collections.abc import Sequence

from rlbench.calibration.real import FalseAlarms, RealAA
from rlbench.calibration.tables import lines, rate
from rlbench.rendering.text import plural, visible


def real_section(found: RealAA, folder: str) -> list[str]:
    """What splitting the seeds of a real experiment showed."""
    sizes = sorted({row.size for row in found.rows})
    disjoint = ", ".join(f"{found.seeds // (2 * size)} of {size} against {size}" for size in sizes)
    prompts = ", ".join(f"{visible(task)} with {plural(count, 'prompt')}" for task, count in found.prompts.items())
    text = f"""
        ## Real A/A

        {found.seeds} seeds of `{visible(found.arm)}` from the experiment `{visible(found.experiment)}` ({prompts})
        are split into two arms at random, again and again. Both arms are the same recipe, so every alarm at .05 is
        false.

        ![False alarms of the real A/A]({folder}/real.svg)

        **The splits are not independent:** they use the same {found.seeds} seeds, and only {disjoint} would be
        disjoint. A binomial interval over the splits would be far too short. The interval here is a delete-one-seed
        jackknife of the rate over all splits: it says within which rates *other seeds of this recipe* would leave us,
        not how often another recipe or task raises alarms. What comes from drawing only some of the splits is taken
        out of the jackknife, and that is uncertain itself: read the intervals together, not one by one. The more of
        the seeds two arms use, the more alike all splits are, and the less such an experiment can show. Metrics of
        the same completions are not independent of each other either. Pairs of seeds are as arbitrary here as they
        are where an algorithm draws anew in each run.
        """
    head = ["metric", "question", "seeds"] + [f"{size} against {size}" for size in sizes]
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * 3 + "--:|" * len(sizes)]
    kinds = dict.fromkeys((row.task, row.metric, row.primary, row.estimand, row.paired) for row in found.rows)
    for task, metric, primary, estimand, paired in kinds:
        name = visible(metric) if len(found.prompts) == 1 else f"{visible(task)}: {visible(metric)}"
        cells = [f"`{name}`{' (primary)' if primary else ''}", f"`{estimand}`", "paired" if paired else "unpaired"]
        for size in sizes:
            same = [row for row in found.rows if (row.task, row.metric, row.estimand, row.paired, row.size)
                    == (task, metric, estimand, paired, size)]  # fmt: skip
            cells.append(_shown(same))
        table.append("| " + " | ".join(cells) + " |")
    splits = sorted({row.splits for row in found.rows if row.splits})
    note = (f"Rate of false alarms, its 95 % interval and the number of splits in thousands "
            f"({', '.join(f'{count:,}' for count in splits)} splits).")  # fmt: skip
    reasons = dict.fromkeys(f"* `{visible(row.metric)}`: {visible(row.reason)}" for row in found.rows if row.reason)
    return [*lines(text), note, "", *table, "", *([*reasons, ""] if reasons else [])]


def _shown(rows: Sequence[FalseAlarms]) -> str:
    if not rows or rows[0].rate is None or rows[0].low is None or rows[0].high is None:
        return "–"
    row = rows[0]
    return f"{rate(rows[0].rate)} [{rate(rows[0].low)}, {rate(rows[0].high)}] {row.splits / 1000:g}k"
