"""The check that several references of a sample belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean, median

from rlbench.records import Sample
from rlbench.task_checks.check import SHOWN, Check, short, verdict
from rlbench.task_checks.judged import chosen_samples
from rlbench.task_checks.role import Role
from rlbench.tasks.task import Task

OTHERS = 7
"""With so many other samples' references those are compared that agree least with their own sample's."""
LEAST = 0.1


def check_agreement(task: Task, role: Role, full: bool) -> Iterator[Check]:
    """Compare each of several references with the sample's others, and with those of other samples.

    This finds a wrong reference where there is no answer. One that has nothing in common with its sample's others
    fails, except in public data, which is what it is. Good references may be far apart, so that one below the median
    over other samples is only named; a wrong one that resembles the right ones is not found. A role that does not read
    references, or takes only exact ones, says nothing.
    """
    samples = [sample for sample in chosen_samples(task, full) if len(sample.references) > 1]
    if len(samples) <= OTHERS:
        return
    places = [(place, number) for place, sample in enumerate(samples) for number in range(len(sample.references))]
    texts = [samples[place].references[number] for place, number in places]
    scored = role.values([_without(samples[place], number) for place, number in places], texts)
    values = {index: value.value for index, value in enumerate(scored) if value.value is not None}
    if set(values.values()) <= {0.0, 1.0}:
        return
    least = sorted(values, key=lambda index: values[index])[: max(1, int(LEAST * len(values)))]
    crossed = [
        (replace(samples[places[index][0]], references=other.references), texts[index])
        for index in least
        for other in _others(samples, places[index][0])
    ]
    strange = [
        value.value or 0.0 for value in role.values([each for each, _ in crossed], [text for _, text in crossed])
    ]
    foreign: list[str] = []
    doubtful: list[str] = []
    for rank, index in enumerate(least):
        usual = median(strange[rank * OTHERS : (rank + 1) * OTHERS])
        if values[index] == 0 or values[index] < usual:
            where = task.where(samples[places[index][0]].sample_id)
            said = (
                f"{where}: reference {short(texts[index])} gets {values[index]:.3g} by the others of its sample, "
                f"{usual:.3g} by other samples'"
            )
            (foreign if values[index] == 0 and not task.is_public else doubtful).append(said)
    detail = f"{len(values)} references get {fmean(values.values()):.3g} on average by the others of their sample"
    if doubtful:
        detail += f"; {len(doubtful)} are worth a look: {'; '.join(doubtful[:SHOWN])}"
    yield verdict(f"agreement, {role.title}", foreign, len(values), detail)


def _without(sample: Sample, number: int) -> Sample:
    return replace(sample, references=sample.references[:number] + sample.references[number + 1 :])


def _others(samples: list[Sample], place: int) -> list[Sample]:
    """Return samples that are evenly spread over the rest."""
    return [samples[(place + step * len(samples) // (OTHERS + 1)) % len(samples)] for step in range(1, OTHERS + 1)]
