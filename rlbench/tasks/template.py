"""Fills `{field}` in a template with the fields of a row, by plain substitution in one pass.

Only the template has placeholders: braces that come in with the data stay text. `{{` and `}}` in a template are
literal braces. `{field:lines}` stands for a list of texts, one per line. A field may stand inside another:
`{answers.text}` is the key `text` of the mapping `answers`, `{chosen.1.content}` that of the second item of a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlbench.errors import InputError

_PATH = r"[A-Za-z_]\w*(?:\.\w+)*"
_TOKEN = re.compile(r"\{\{|\}\}|\{(" + _PATH + r")(:lines)?\}")
_WHOLE = re.compile(r"\{(" + _PATH + r")\}")


class NotText(InputError):
    """A field holds something else than text or a number."""


def check_template(template: str) -> str:
    """Return `template`, or raise ValueError if it has a brace that is neither a placeholder nor doubled."""
    rest = _TOKEN.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError("not a template: write {field} for a field of the data and {{ or }} for a brace")
    return template


def fields_of(template: str) -> tuple[str, ...]:
    """Return the names of the fields that `template` asks for, in order."""
    return tuple(match[1] for match in _TOKEN.finditer(template) if match[1] is not None)


def fill(template: str, fields: Mapping[str, Any], where: str) -> str:
    """Return `template` with every `{field}` replaced; `where` names the row in messages.

    Raises:
        InputError: a field is missing, or is neither text nor a number (or a list of them, for `{field:lines}`), or
            cannot be written as UTF-8.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        value = look_up(match[1], fields, where)
        if match[2]:
            return "\n".join(_texts(match[1], value, where))
        return _text_of(match[1], value, where)

    return _TOKEN.sub(replace, template)


def fill_all(templates: tuple[str, ...], fields: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Fill several templates; one that is just `{field}` of a list of texts gives one text per item.

    Raises:
        InputError: as `fill`.
    """
    filled: list[str] = []
    for template in templates:
        whole = _WHOLE.fullmatch(template)
        value = look_up(whole[1], fields, where) if whole else None
        if whole and isinstance(value, list):
            filled += _texts(whole[1], value, where)
        else:
            filled.append(fill(template, fields, where))
    return tuple(filled)


def look_up(path: str, fields: Mapping[str, Any], where: str) -> Any:
    """Return what stands at a dotted path of names (of a mapping) and places counted from 0 (of a list).

    Raises:
        InputError: nothing stands there; what does stand there is named.
    """
    value: Any = fields
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise InputError(f"{where}: field {path!r} is missing ({_known(value, fields)})")
    return value


def _known(value: Any, fields: Mapping[str, Any]) -> str:
    """Say what there is where a part of a path was not found."""
    if value is fields:
        return f"has: {', '.join(fields) or 'none'}"
    if isinstance(value, Mapping):
        return f"there it has: {', '.join(value) or 'none'}"
    if isinstance(value, list):
        return f"there is a list of {len(value)}, counted from 0"
    return f"there is {type(value).__name__}, which holds no fields"


def _texts(name: str, value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        raise InputError(f"{where}: field {name!r} is {type(value).__name__}; expected a list of texts")
    return [_text_of(name, item, where) for item in value]


def _text_of(name: str, value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise NotText(f"{where}: field {name!r} is {type(value).__name__}; expected text or a number")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: field {name!r} holds half a surrogate pair and is not valid Unicode") from error
    return text
