"""Reads the rows of a task from files: JSON Lines, a JSON array, or lines of text with files beside them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, NamedTuple

from rlbench.errors import InputError

Format = Literal["jsonl", "json", "lines"]
_EXPECTED: dict[Format, str] = {
    "jsonl": "one JSON object per line",
    "json": "a JSON array of objects",
    "lines": "lines of text",
}


class Row(NamedTuple):
    """The fields of one item, and "file:line" (or the place on the hub) for messages."""

    fields: Mapping[str, Any]
    where: str


class Rows(NamedTuple):
    """The rows of a split, and what identifies the bytes they were read from."""

    rows: tuple[Row, ...]
    provenance: str


class DataFile(NamedTuple):
    """A file's `text` without a byte order mark, and the sha256 of its bytes."""

    path: Path
    text: str
    sha256: str


def read_data_file(root: Path, relative: str) -> DataFile:
    """Read a file of UTF-8 text below `root`.

    Raises:
        InputError: the path leaves `root`, or the file cannot be read or is not UTF-8.
    """
    path = inside(root, relative)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    return DataFile(path, text.removeprefix("\ufeff"), hashlib.sha256(content).hexdigest())


def rows_of(file: DataFile, form: Format = "jsonl", beside: Mapping[str, DataFile] | None = None) -> tuple[Row, ...]:
    """Return the rows of a file; of `lines` of text, the field `text` and the lines of each file `beside` it.

    Raises:
        InputError: the file is empty or malformed, or a file beside it has another number of lines.
    """
    if form == "lines":
        rows = tuple(_text_rows(file, beside or {}))
    else:
        rows = tuple(_json_lines(file) if form == "jsonl" else _json_array(file))
    if not rows:
        raise InputError(f"{file.path}: the file is empty; expected {_EXPECTED[form]}")
    return rows


def file_rows(root: Path, relative: str) -> Rows:
    """Read a JSON Lines file below `root`.

    Raises:
        InputError: the path leaves `root`, or the file is missing, is empty or has a malformed line.
    """
    file = read_data_file(root, relative)
    return Rows(rows_of(file), f"sha256:{file.sha256}")


def cut(rows: Rows, wanted: tuple[int, int] | None, key: str, place: str) -> Rows:
    """Take only the rows from the first number to before the second, if numbers are given.

    Raises:
        InputError: there are not so many; the message names the `key` of task.yaml and the `place` of the rows.
    """
    if wanted is None:
        return rows
    first, end = wanted
    if end > len(rows.rows):
        raise InputError(f"{key} [{first}, {end}] are asked for, but {place} has only {len(rows.rows)}")
    return Rows(rows.rows[first:end], f"{rows.provenance}[{first}:{end}]")


def inside(root: Path, relative: str) -> Path:
    """Return `root / relative`, which may not leave `root`, not even through a link.

    Raises:
        InputError: the path is absolute, has `..` in it or leads outside.
    """
    for pure in (PurePosixPath(relative), PureWindowsPath(relative)):
        if pure.is_absolute() or pure.drive or pure.root or ".." in pure.parts or "\0" in relative:
            raise InputError(f"{relative!r}: expected a path inside {root}, without '..' and not absolute")
    path = root / relative
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{path}: leads outside {root} (to {path.resolve()}); put the file itself there")
    return path


def _lines(file: DataFile) -> list[str]:
    """Split at newlines only: other separators of Unicode stand inside texts."""
    return file.text.removesuffix("\n").split("\n")


def _text_rows(file: DataFile, beside: Mapping[str, DataFile]) -> Iterator[Row]:
    columns = {"text": _lines(file)} | {name: _lines(other) for name, other in beside.items()}
    for name, lines in columns.items():
        if len(lines) != len(columns["text"]):
            raise InputError(
                f"{beside[name].path}: has {len(lines)} lines, but {file.path} beside it has {len(columns['text'])}; "
                "expected line by line the same items"
            )
    for number, texts in enumerate(zip(*columns.values(), strict=True), 1):
        if texts[0].strip():
            fields = {name: text.removesuffix("\r") for name, text in zip(columns, texts, strict=True)}
            yield Row(fields, f"{file.path}:{number}")


def _json_lines(file: DataFile) -> Iterator[Row]:
    for number, line in enumerate(_lines(file), 1):
        if line.strip():
            where = f"{file.path}:{number}"
            with _json_errors(where):
                value = _DECODER.decode(line)
            yield _row(value, where)


def _json_array(file: DataFile) -> Iterator[Row]:
    """Read item by item, so that each knows its line."""
    text = file.text
    at = _skip(text, 0)
    if at == len(text):
        return
    if text[at] != "[":
        raise InputError(f"{file.path}: expected {_EXPECTED['json']}, got something that starts with {text[at]!r}")
    line, seen, separator = 1, 0, ","
    if text[_skip(text, at + 1) :].startswith("]"):
        at, separator = _skip(text, at + 1), "]"
    while separator == ",":
        at = _skip(text, at + 1)
        line, seen = line + text.count("\n", seen, at), at
        where = f"{file.path}:{line}"
        with _json_errors(where):
            value, at = _DECODER.raw_decode(text, at)
        yield _row(value, where)
        at = _skip(text, at)
        separator = text[at : at + 1]
        if separator not in (",", "]"):
            raise InputError(f"{where}: not valid JSON: after the item that starts here, expected ',' or ']'")
    if text[at + 1 :].strip():
        raise InputError(f"{file.path}: not valid JSON: something follows after the array")


def _skip(text: str, at: int) -> int:
    """Return the place of the next character that is no blank of JSON."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


@contextmanager
def _json_errors(where: str) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON: {error.msg} (column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return Row(value, where)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key is given twice")
    return fields


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite)
