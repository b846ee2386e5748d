"""Finds top-level statements in text that may be Python, may be broken, and may go on as prose.

Nothing here runs, imports or compiles what it reads, nothing raises, and the time is linear in the length of the text.
CPython's parser is quadratic, in memory too, in the length of a dotted name, and in that of an f-string: what is beyond
LONGEST_LINE or LONGEST_CHAIN is not handed to it and counts as text that does not parse.
Positions are offsets in characters; lines end with `\\n`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_LINE = 10_000
"""Characters of a logical line, with all lines that brackets, strings and backslashes join: the most that is parsed."""
LONGEST_CHAIN = 100
"""Names behind dots in one chain (`a.b.c` has two): the most that is parsed."""
_CHAIN = re.compile(r"(?:\.[\s\\]*+[\w\x80-\U0010ffff]++[\s\\]*+)++")  # \w lacks accents, which names may have
_LEXEME = re.compile(
    r"(?P<triple>\"\"\"|''')"
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?)"
    r"|(?P<comment>\#[^\n]*+)"
    r"|(?P<fence>^[ \t]*+(?:`{3,}+|~{3,}+)[^\n`]*+$)"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<newline>\n++)|(?P<escape>\\.)",
    re.MULTILINE | re.DOTALL,
)
_TRIPLE_END = {
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.DOTALL),
}
_CLAUSE = re.compile(r"(?:else|elif|except|finally)\b")
_DEFINITION = re.compile(
    r"^(?:(?:async[ \t]+)?(?:def|class)[ \t]+(?P<block>\w+)|(?P<value>[^\W\d]\w*)[ \t]*(?::[^=\n]*)?=(?!=))",
    re.MULTILINE,
)
_HEADER = re.compile(
    r"(?:async[ \t]+)?def[ \t]+\w+[ \t]*[(\[]|class[ \t]+\w+[ \t]*[:(\[]|@[^\W\d]"
    r"|from[ \t]+[\w.]+[ \t]+import\b|import[ \t]+[\w.]+[ \t]*(?:$|[,;\#]|as\b)"
)
_GOES_ON = re.compile(  # the first line of a statement that has more lines
    r"(?:[\w.\[\]'\"*,: \t]+[-+*/%&|^@<>]{0,2}=(?!=)|[^\W\d][\w.]*\(|(?:if|for|while|with|assert|return|print|raise)\b"
    r"|[(\[{]).*(?:[(\[{,\\]|\"\"\"|''')[ \t]*\Z|match[ \t]+[\w.,()\[\]]+[ \t]*:|try[ \t]*:|\"\"\"|'''"
)
_BROKEN = re.compile(  # what is meant as code whether or not it parses
    r"[^\W\d][\w.]*(?:\[[^\]\n]*\])*[ \t]*[-+*/%&|^@<>]{0,2}=(?!=)|[^\W\d][\w.]*\("
    r"|(?:return|raise|yield|assert|pass|break|continue|del|global|nonlocal)\b|else[ \t]*:"
    r"|(?:if|for|while|with|elif|except)\b.*:[ \t]*(?:\#.*)?\Z"
)
_ADDITIONS = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom,
    ast.Assign, ast.AnnAssign, ast.AugAssign,
)  # fmt: skip


class Lexeme(NamedTuple):
    """A string, comment, bracket, line end or Markdown fence, from `start` to `end`."""

    kind: str
    start: int
    end: int


def lexemes(text: str, start: int = 0, *, open_string_ends_text: bool = True) -> Iterator[Lexeme]:
    """Yield what decides where statements end, from `start` on.

    A string in triple quotes that is never closed reaches to the end of the text, or counts as no string at all.
    """
    position, never_closed = start, set[str]()
    while found := _LEXEME.search(text, position):
        kind, position = str(found.lastgroup), found.end()
        if kind == "triple":
            quote = found[0]
            end = None if quote in never_closed else _TRIPLE_END[quote].match(text, position)
            if end is None and not open_string_ends_text:
                never_closed.add(quote)
                continue
            kind, position = "string", end.end() if end else len(text)
        yield Lexeme(kind, found.start(), position)


def statement_end(text: str, start: int) -> int:
    """Return where the top-level statement at `start` ends: with its decorators, clauses, and comments behind it."""
    depth, line = 0, start
    for lexeme in lexemes(text, start):
        if lexeme.kind == "open":
            depth += 1
        elif lexeme.kind == "close":
            depth = max(0, depth - 1)
        elif lexeme.kind == "fence" and not depth and lexeme.start > start:
            return lexeme.start
        elif lexeme.kind == "newline" and not depth:
            if lexeme.end == len(text) or text[lexeme.end] in " \t#" or _CLAUSE.match(text, lexeme.end):
                continue
            if text[line] != "@":
                return lexeme.end
            line = lexeme.end
    return len(text)


def statements(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every top-level statement, taking all of `text` for Python."""
    start = 0
    while start < len(text):
        end = max(statement_end(text, start), start + 1)
        yield start, end
        start = end


def code_lines(text: str) -> list[int]:
    """Return where those lines start that are not blank and do not start inside a string."""
    starts = [0, *(lexeme.end for lexeme in lexemes(text) if lexeme.kind == "newline")]
    return [start for start in starts if not is_blank(line_at(text, start))]


def is_blank(line: str) -> bool:
    """Whether a line holds nothing but spaces and tabs."""
    return not line.strip(" \t\n")


def indentation(text: str, start: int = 0) -> str:
    """Return the spaces and tabs at `start`."""
    end = start
    while end < len(text) and text[end] in " \t":
        end += 1
    return text[start:end]


def line_at(text: str, start: int) -> str:
    """Return the line that starts at `start`, without its end."""
    end = text.find("\n", start)
    return text[start : end if end >= 0 else len(text)]


def defined_names(text: str, indent: str = "") -> set[str]:
    """Return the names that lines of `text`, indented by `indent`, define: functions, classes and assigned names.

    Lines are read one by one, so that a program that does not parse also has names.
    """
    pattern = _DEFINITION if not indent else re.compile(_DEFINITION.pattern.replace("^", "^" + indent, 1), re.MULTILINE)
    return {found["block"] or found["value"] for found in pattern.finditer(text)}


def parses(source: str) -> bool:
    """Whether this Python can parse `source`."""
    return _tree(source) is not None


def starts_code(line: str) -> bool:
    """Whether a line, without its indentation, can be where code begins. Prose that happens to parse cannot."""
    if _HEADER.match(line) or _GOES_ON.match(line):
        return True
    tree = _tree(line) or (_tree(f"{line}\n pass") if ":" in line else None)
    if tree is None or not tree.body:
        return False
    first = tree.body[0]
    if isinstance(first, ast.Expr):
        return isinstance(first.value, ast.Call | ast.Await | ast.Yield | ast.ListComp)
    return not (isinstance(first, ast.AnnAssign) and first.value is None)


def stays_code(line: str) -> bool:
    """Whether a line after code is still meant as code, be it broken."""
    return bool(_BROKEN.match(line)) or starts_code(line)


def is_addition(statement: str) -> bool:
    """Whether `statement` parses and only adds names: definitions, imports and assignments."""
    tree = _tree(statement)
    return tree is not None and all(isinstance(node, _ADDITIONS) for node in tree.body)


def _is_readable(source: str) -> bool:
    """Whether `source` is cheap to parse: no logical line and no dotted chain in it is too long."""
    if source.count(".") > LONGEST_CHAIN and any(
        found[0].count(".") > LONGEST_CHAIN for found in _CHAIN.finditer(source)
    ):
        return False
    return len(source) <= LONGEST_LINE or _longest_line(source) <= LONGEST_LINE


def _longest_line(source: str) -> int:
    """Return the length of the longest logical line."""
    depth = line = longest = 0
    for lexeme in lexemes(source):
        if lexeme.kind == "open":
            depth += 1
        elif lexeme.kind == "close":
            depth = max(0, depth - 1)
        elif lexeme.kind == "newline" and not depth:
            longest, line = max(longest, lexeme.start - line), lexeme.end
    return max(longest, len(source) - line)


def _tree(source: str) -> ast.Module | None:
    if not _is_readable(source):
        return None
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes, lone surrogates, too deeply nested
        return None
