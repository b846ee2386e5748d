"""Values as tagged JSON, for the way between program and tests. What comes out has exact builtin types.

An object of a subclass is sent as its base type: a `Counter` arrives as a `dict`, a named tuple as a `tuple`. So
nothing that crosses can bring its own `__eq__`. Iterators arrive as iterators over the items that they still had.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

DEEPEST = 200
LONGEST_ITERATOR = 1_000_000
_EXACT_IN_JSON = 1 << 53


class Unsupported(TypeError):
    """A value that cannot cross."""


def dumps(value: object) -> bytes:
    """Encode a value.

    Raises:
        Unsupported: it holds something else than data, is nested too deep or contains itself.
    """
    return json.dumps(encode(value), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def loads(frame: bytes) -> Any:
    """Decode a value.

    Raises:
        ValueError: the bytes are no encoded value.
    """
    try:
        return decode(json.loads(frame))
    except MemoryError:
        raise
    except Exception as error:  # whatever strange bytes lead to
        raise ValueError(f"not an encoded value: {type(error).__name__}") from error


def encode(value: Any, depth: int = 0) -> Any:
    """Return the value as what `json` can write; see `dumps`."""
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is float:
        return value
    if kind is int:
        return value if -_EXACT_IN_JSON < value < _EXACT_IN_JSON else {"int": hex(value)}
    if depth > DEEPEST:
        raise Unsupported(f"a value nested more than {DEEPEST} deep, or one that contains itself")
    if kind is list:
        return [encode(item, depth + 1) for item in value]
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, depth + 1)
    for base, plain in _BASES:
        if isinstance(value, base):
            return encode(plain(value), depth + 1)
    if isinstance(value, Iterator) and kind.__module__ in ("builtins", "itertools"):
        items = list(itertools.islice(value, LONGEST_ITERATOR + 1))
        if len(items) > LONGEST_ITERATOR:
            raise Unsupported(f"an iterator with more than {LONGEST_ITERATOR} items")
        return {"iterator": [encode(item, depth + 1) for item in items]}
    raise Unsupported(f"an object of type {kind.__name__}")


def decode(value: Any) -> Any:
    """Return the value that `encode` was given; see `loads`."""
    if type(value) is list:
        return [decode(item) for item in value]
    if type(value) is dict:
        ((tag, content),) = value.items()
        return _READERS[tag](content)
    return value


def _items(values: Any, depth: int) -> list[Any]:
    return [encode(item, depth) for item in values]


def _pairs(values: Any, depth: int) -> list[Any]:
    return [[encode(key, depth), encode(item, depth)] for key, item in values]


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    tuple: lambda value, depth: {"tuple": _items(value, depth)},
    dict: lambda value, depth: {"dict": _pairs(value.items(), depth)},
    set: lambda value, depth: {"set": _items(value, depth)},
    frozenset: lambda value, depth: {"frozenset": _items(value, depth)},
    bytes: lambda value, _: {"bytes": value.hex()},
    bytearray: lambda value, _: {"bytearray": value.hex()},
    complex: lambda value, _: {"complex": [value.real, value.imag]},
    range: lambda value, _: {"range": [encode(each) for each in (value.start, value.stop, value.step)]},
    type({}.keys()): lambda value, depth: {"keys": _items(value, depth)},
    type({}.values()): lambda value, depth: {"values": _items(value, depth)},
    type({}.items()): lambda value, depth: {"items": _pairs(value, depth)},
    deque: lambda value, depth: {"deque": [_items(value, depth), value.maxlen]},
    Decimal: lambda value, _: {"decimal": str(value)},
    Fraction: lambda value, _: {"fraction": [encode(value.numerator), encode(value.denominator)]},
}
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (dict, lambda value: dict(dict.items(value))),
    (int, int.__int__),
    (float, float.__float__),
    (str, lambda value: str.__str__(value) + ""),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (list, lambda value: list(list.__iter__(value))),
    (set, lambda value: set(set.__iter__(value))),
    (frozenset, lambda value: frozenset(frozenset.__iter__(value))),
)
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": lambda content: int(content, 16),
    "tuple": lambda content: tuple(decode(content)),
    "dict": lambda content: _dictionary(content),
    "set": lambda content: set(decode(content)),
    "frozenset": lambda content: frozenset(decode(content)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda content: complex(*content),
    "range": lambda content: range(*decode(content)),
    "keys": lambda content: dict.fromkeys(decode(content)).keys(),
    "values": lambda content: dict(enumerate(decode(content))).values(),
    "items": lambda content: _dictionary(content).items(),
    "deque": lambda content: deque(decode(content[0]), content[1]),
    "decimal": Decimal,
    "fraction": lambda content: Fraction(*decode(content)),
    "iterator": lambda content: iter(decode(content)),
}


def _dictionary(pairs: Any) -> dict[Any, Any]:
    return {decode(key): decode(item) for key, item in pairs}
