"""Finds the code blocks of Markdown: fences of backticks or tildes, as CommonMark has them.

Deviations, because models write so: an opening fence may be indented by any amount, and may stand behind prose on its
line if it is marked as Python; a fence inside a Python string in triple quotes closes nothing; a last block that is cut
off before its closing fence reaches to the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from rlbench.graders.statements import indentation, is_blank, lexemes

Language = Literal["python", "unmarked", "other"]
_OPENING = re.compile(
    r"^(?P<indent>[ \t]*+)(?P<before>[^\n`~]*+)(?P<fence>`{3,}+(?=[^`\n]*$)|~{3,}+)(?P<mark>[^\n]*)(?:\n|\Z)",
    re.MULTILINE,
)
_CLOSING = re.compile(r"^(?P<indent>[ \t]*+)(?P<fence>`{3,}+|~{3,}+)[ \t]*+$", re.MULTILINE)
_INDENTED = re.compile(
    r"^[ \t]*+\n(?P<code>(?: {4}|\t)[ \t]*+[^\s][^\n]*+(?:\n(?:(?: {4}|\t)[^\n]*+|[ \t]*+(?=\n)))*+)", re.MULTILINE
)
_WORD = re.compile(r"[\s{.]*([^\s{}.:,;=]*)")
_PYTHON = frozenset(("python", "py", "python3", "py3"))
_SESSION = re.compile(r"\s*(?:>>>|\$ |In \[\d)")


class Block(NamedTuple):
    """The content of a code block without its last line end, and where the block stands in the text."""

    language: Language
    code: str
    start: int
    end: int


def blocks(text: str) -> Iterator[Block]:
    """Yield the code blocks of `text` in order. An interactive session (`>>>`) is of another language than Python."""
    position = 0
    while opening := _OPENING.search(text, position):
        language = _language(opening["mark"])
        if opening["before"] and (language != "python" or not opening["mark"].strip()):
            position = opening.end("mark")
            continue
        closing = _closing(text, opening, language)
        if closing:
            code, position = text[opening.end() : max(opening.end(), closing.start() - 1)], closing.end()
        else:
            code, position = _cut_off(text[opening.end() :], opening["fence"]), len(text)
        if _SESSION.match(code):
            language = "other"
        yield Block(language, _shift(code, opening["indent"]), opening.start(), position)
        if not closing:
            return


def indented_blocks(text: str) -> Iterator[str]:
    """Yield the indented code blocks of `text`, shifted to the margin: behind an empty line, by 4 spaces or a tab."""
    for found in _INDENTED.finditer(text):
        indent = indentation(found["code"])
        yield "\n".join(line.removeprefix(indent) for line in found["code"].split("\n")).rstrip()


def without(text: str, found: list[Block]) -> str:
    """Return `text` with an empty line in place of each of its blocks."""
    kept, position = [], 0
    for block in found:
        kept.append(text[position : block.start])
        position = block.end
    return "\n\n".join([*kept, text[position:]])


def _language(mark: str) -> Language:
    found = _WORD.match(mark)
    word = found[1].lower() if found else ""
    if not word:
        return "unmarked"
    return "python" if word in _PYTHON else "other"


def _closing(text: str, opening: re.Match[str], language: Language) -> re.Match[str] | None:
    """Return the fence that closes the block: as long as the opening one, of its kind, indented by at most 3 more."""
    start = opening.end()
    if language == "other":
        candidates = _CLOSING.finditer(text, start)
    else:
        fences = (part.start for part in lexemes(text, start, open_string_ends_text=False) if part.kind == "fence")
        candidates = (found for position in fences if (found := _CLOSING.match(text, position)))
    fence, widest = opening["fence"], len(opening["indent"].expandtabs(4)) + 3
    for found in candidates:
        if found["fence"].startswith(fence) and len(found["indent"].expandtabs(4)) <= widest:
            return found
    return None


def _cut_off(code: str, fence: str) -> str:
    """Return a last block without the closing fence that may stand at the end of its last line."""
    ended = code.rstrip()
    return ended[: -len(fence)] if ended.endswith(fence) else code


def _shift(code: str, indent: str) -> str:
    """Take away the indentation of the opening fence from lines that have it."""
    if not indent or is_blank(code):
        return code
    return "\n".join(line.removeprefix(indent) for line in code.split("\n"))
