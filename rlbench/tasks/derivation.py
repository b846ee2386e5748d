"""New fields of a row that regular expressions find in its others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlbench.errors import InputError
from rlbench.tasks.definition import Derivation
from rlbench.tasks.rows import Row
from rlbench.tasks.template import NotText, fields_of, fill


def derive(row: Row, derivations: Mapping[str, Derivation]) -> Row | None:
    """Return the row with the derived fields, or None if it is to be dropped.

    Fields may build on each other in the order of task.yaml.

    Raises:
        InputError: a field to derive from is missing or no text, a pattern does not match there, or a new field has
            the name of one that is there.
    """
    if not derivations:
        return row
    fields: dict[str, Any] = dict(row.fields)
    for name, derivation in derivations.items():
        if name in fields:
            raise InputError(f"{row.where}: field {name!r} is in the data; call the derived one otherwise")
        try:
            match = re.search(derivation.pattern, fill(derivation.source, fields, row.where))
        except NotText:
            if derivation.otherwise == "error":
                raise
            match = None
        if match is not None and match[1] is not None:
            fields[name] = match[1]
        elif derivation.otherwise == "drop":
            return None
        else:
            raise InputError(
                f"{row.where}: field {name!r} cannot be derived: its pattern does not match {derivation.source!r}; "
                "mend the pattern or the row, or leave such rows out with `otherwise: drop`"
            )
    return Row(fields, row.where)


def roots(template: str, derivations: Mapping[str, Derivation]) -> set[str]:
    """Return the fields of the data that a template is made from; derived ones stand for those they come from."""
    found: set[str] = set()
    for path in fields_of(template):
        name = path.partition(".")[0]
        found |= roots(derivations[name].source, derivations) if name in derivations else {path}
    return found
