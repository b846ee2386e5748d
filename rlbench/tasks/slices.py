"""The slices that a task declares: the groups that its prompts fall into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlbench.errors import InputError
from rlbench.records import Sample
from rlbench.tasks.rows import Row
from rlbench.tasks.template import fill

MOST_GROUPS = 100
"""A slice has no more groups than this, so that a field that names every prompt is not taken for one."""


def slices_of_row(spec: Mapping[str, str], row: Row) -> dict[str, str]:
    """Return the group of one row in every slice: name of the slice -> what its field holds.

    Raises:
        InputError: a field is missing, empty, or neither text nor a number.
    """
    found = {}
    for name, path in spec.items():
        group = fill(f"{{{path}}}", row.fields, row.where).strip()
        if not group:
            raise InputError(f"{row.where}: slices.{name}: field {path!r} is empty; expected text or a number")
        found[name] = group
    return found


def check_groups(spec: Mapping[str, str], samples: Sequence[Sample], split: str, where: str) -> None:
    """Refuse slices with so many groups that they group nothing.

    Raises:
        InputError: which slice has too many; `where` names the task.yaml.
    """
    for name, path in spec.items():
        groups = {sample.slices[name] for sample in samples}
        if len(groups) > MOST_GROUPS:
            raise InputError(
                f"{where}: slices.{name}: expected a field that groups prompts, with at most {MOST_GROUPS} different "
                f"values, got {path!r} with {len(groups)} in split {split!r}; name another field or leave it out"
            )
