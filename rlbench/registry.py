"""Finds algorithms, graders and metrics by name through entry points. The built-ins use the same door.

A plug-in that is asked for and fails to import is an error that names its distribution; one that is not asked
for is never imported.

An entry whose name ends in `@k` is a family: `pass@10` is what the entry `pass@k` returns when it is called with 10.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from rlbench.errors import InputError

Kind = Literal["algorithms", "graders", "metrics"]
FAMILY = "@k"
_MEMBER = re.compile(r"[1-9][0-9]{0,8}")


@cache
def _entries(kind: Kind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"rlbench.{kind}"):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise InputError(
                f"two packages offer {kind[:-1]} {entry.name!r}: {_origin(other)} and {_origin(entry)}; uninstall one"
            )
        found[entry.name] = entry
    return found


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def names(kind: Kind) -> list[str]:
    """Return the sorted names that are installed, without importing any of them."""
    return sorted(_entries(kind))


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that does not exist, with the nearest known name as a hint."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(f"{what} {name!r} does not exist (known: {', '.join(known) or 'none'}){hint}")


def load(kind: Kind, name: str) -> Any:
    """Import and return what the entry point names: a factory (algorithms, graders) or a `Metric`.

    Raises:
        InputError: the name is unknown, is a family without its number, or the distribution that offers it cannot be
            imported.
    """
    entries = _entries(kind)
    stem, at, number = name.rpartition("@")
    family = f"{stem}{FAMILY}"
    if at and family in entries:
        if not _MEMBER.fullmatch(number):
            raise InputError(
                f"{kind[:-1]} {name!r}: expected a whole number from 1 to 999999999 after '@', got {number!r}; "
                f"write for example {stem}@1"
            )
        return load_family(kind, family)(int(number))
    if name not in entries:
        raise unknown(kind[:-1], name, entries)
    return _imported(kind, entries[name])


def load_family(kind: Kind, name: str) -> Callable[[int], Any]:
    """Import and return the factory behind a name that `names` gives with `@k` at its end.

    Raises:
        InputError: the distribution that offers it cannot be imported.
    """
    factory: Callable[[int], Any] = _imported(kind, _entries(kind)[name])
    return factory


def _imported(kind: Kind, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        raise InputError(
            f"{kind[:-1]} {entry.name!r} of {_origin(entry)} cannot be imported: {type(error).__name__}: {error}; "
            f"repair or uninstall that package"
        ) from error
