"""Reads YAML that people write: safe, no duplicate keys, and every value knows its line for error messages."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rlbench.errors import InputError

Key = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which otherwise lets the last of two equal keys win silently.

    Aliases are refused (a few lines of them can stand for billions of values), and so are infinite numbers and NaN.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not allowed; write the value out", problem_mark=mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:  # what PyYAML lets through, e.g. for a 13th month
            raise yaml.MarkedYAMLError(problem=f"impossible value ({error})", problem_mark=node.start_mark) from error

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        value = super().construct_yaml_float(node)
        if not math.isfinite(value):
            raise yaml.MarkedYAMLError(problem="expected a finite number", problem_mark=node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="expected a text as key", problem_mark=key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


@dataclass(frozen=True)
class YamlDocument:
    """A parsed file: its `data`, and the line (counted from 1) on which each value stands."""

    file: str
    data: Any
    lines: dict[Key, int]

    def where(self, key: Key) -> str:
        """Return "file:line" of the value at `key`, or of its nearest parent that stands in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        line = self.lines.get(key)
        return f"{self.file}:{line}" if line else self.file


@contextmanager
def blame(document: YamlDocument | None, *key: str | int) -> Iterator[None]:
    """Put file and line of the value at `key` before the message of an InputError."""
    try:
        yield
    except InputError as error:
        if document is None:
            raise
        place = document.where(key)
        raise InputError("\n".join(f"{place}: {line}" for line in str(error).splitlines())) from error


def parse_yaml(text: str, file: str) -> YamlDocument:
    """Parse YAML `text`; `file` is only named in messages.

    Raises:
        InputError: the text is not YAML, has an unknown tag or gives a key twice.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{file}: the file is empty; expected YAML keys and values")
        data = loader.construct_document(node)
        lines: dict[Key, int] = {}
        _collect_lines(node, (), lines)
        return YamlDocument(file, data, lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise InputError(f"{place}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"{file}: not valid YAML: it is nested too deeply") from error
    finally:
        if loader is not None:
            loader.dispose()


def read_yaml(path: Path) -> YamlDocument:
    """Read and parse the file at `path`.

    Raises:
        InputError: the file cannot be read or is not valid YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    return parse_yaml(text, str(path))


def validate(document: YamlDocument, model: type[Model], data: Any = None) -> Model:
    """Check the document's data (or `data` in its place) against a pydantic model.

    Raises:
        InputError: one message that lists every problem with its file and line.
    """
    try:
        return model.model_validate(document.data if data is None else data)
    except ValidationError as error:
        problems = [_explain(document, model, problem) for problem in error.errors(include_url=False)]
        raise InputError("\n".join(dict.fromkeys(problems))) from error


def _explain(document: YamlDocument, model: type[BaseModel], problem: Any) -> str:
    location = problem["loc"]
    place = document.where(tuple(location))
    name = ".".join(str(part) for part in location) or "the file"
    if problem["type"] == "extra_forbidden":
        known = _fields(model, location[:-1])
        return f"{place}: unknown key {name!r}" + (f" (known: {', '.join(known)})" if known else "")
    if problem["type"] == "missing":
        return f"{place}: key {name!r} is missing"
    got = problem.get("input")
    shown = f" (got {got!r})" if isinstance(got, str | int | float | bool | None) else ""
    return f"{place}: {name}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _fields(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        inner = getattr(field, "annotation", None)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return sorted(model.model_fields)


def _collect_lines(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            child = (*key, key_node.value)
            lines[child] = key_node.start_mark.line + 1
            _collect_lines(value_node, child, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _collect_lines(item, (*key, index), lines)
