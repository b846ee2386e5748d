"""Finds the one Python program that a completion means.

The rules are in docs/extraction.md. What they share: the text alone decides, never the outcome of a test; the choice
among several programs in a completion does not depend on which of them is sound; and nothing is repaired but the
indentation of a body that continues a given signature.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlbench.graders.fences import Block, blocks, indented_blocks, without
from rlbench.graders.statements import (
    code_lines,
    defined_names,
    indentation,
    is_addition,
    is_blank,
    line_at,
    parses,
    starts_code,
    statement_end,
    statements,
    stays_code,
)

LONGEST = 65_536
"""Characters of an answer, thoughts not counted: a longer one is no program, as reading it would hold up the caller."""
_TURN_END = (
    r"<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|eom_id|end|EOT|user|assistant|system)\|>|<end_of_turn>"
    r"|<｜end▁of▁sentence｜>"
)
_FIRST_TURN_END = re.compile(rf"^(?P<line>[^\n]*?)(?:{_TURN_END})(?P<rest>[^\n]*)", re.MULTILINE)
_ONLY_TURN_ENDS = re.compile(rf"(?:\s|{_TURN_END})*+\Z")
_THOUGHT_END = re.compile(r"</think>[ \t]*+(?:\n|\Z)")
_NO_CODE = re.compile(r"(?:[ \t]*+(?:\#[^\n]*+)?\n)*+")
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_DEFINITION = re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
_OUTSIDE = re.compile(r"(?:async[ \t]+)?(?:def|class)\b|@|if[ \t]+__name__\b")
_RETURN = re.compile(r"return\b")
_FINISHED = re.compile(r"(?::|\"\"\"|''')[ \t]*\Z")
_FUTURE_IMPORTS = re.compile(r"(?:\s*from __future__ import [^\n]*\n)*")
_STEP = "    "


@dataclass(frozen=True)
class _Starter:
    """Given code: `before` is always needed; `opened` is the definition that a completion may continue, or empty."""

    before: str
    opened: str
    wanted: frozenset[str]
    """What a program has to define. Without any, a program is whatever is code."""

    @property
    def last_line(self) -> str:
        """What stands behind the last line end: nothing, the indentation of the next line, or a part of it."""
        return self.opened.rpartition("\n")[2]

    @property
    def stops_within_a_line(self) -> bool:
        """Whether the last line wants to be finished: it is not blank, not a header, and not the end of a docstring."""
        if is_blank(self.last_line):
            return False
        head = self.opened + "\n"
        return not (_FINISHED.search(self.opened) and parses(f"{head}{_body_indentation(head)}pass"))


def extract_code(completion: str, *, starter: str = "", entry_points: Sequence[str] = ()) -> str:
    """Return the Python program that `completion` means, or "" if it holds none, which is always wrong.

    An answer of more than LONGEST characters holds none.

    `starter` is code that the prompt showed and the completion may continue or repeat. `entry_points` are the names
    that the tests call; without them (programs that read standard input) every statement belongs to the program.
    Never raises, whatever the text; time is linear in its length.
    """
    answer = _readable(completion)
    if len(answer) > LONGEST:
        return ""
    with warnings.catch_warnings():  # the parser warns of odd escapes; python -W error would make it refuse them
        warnings.simplefilter("ignore")
        return _program(answer, _read_starter(_line_ends(starter), entry_points))


def _program(text: str, starter: _Starter) -> str:
    found = [block._replace(code=_unindented(block.code, starter)) for block in blocks(text)]
    text = _unindented(text, starter)
    first = _first_code(text)
    line = line_at(text, first)
    if _continues(line, starter, any(block.language == "python" for block in found)):
        return _continued(text, starter)
    if starts_code(line):  # the prompt opened the block: the first fence closes it
        end, complete = _extent(text, first, starter.wanted)
        if complete or not starter.wanted:
            return _joined(text[first:end].rstrip(), starter)
    code = _chosen(found, starter.wanted)
    if code is None:
        code = _bare(without(text, found), starter)
        if not starter.wanted & defined_names(code):
            code = _chosen_indented(text, starter.wanted) or code
    if is_blank(code):
        return ""
    if starter.opened and not starter.wanted & defined_names(code):
        return _continued(code, starter)
    return _joined(code, starter)


def _readable(completion: str) -> str:
    """Return the answer in `completion`: without a thought before it, and up to the end of the turn."""
    text = _line_ends(completion.removeprefix("\ufeff"))
    thought = _THOUGHT_END.search(text)
    if thought:
        text = text[thought.end() :]
    elif text.lstrip().startswith("<think>"):
        return ""
    for found in _FIRST_TURN_END.finditer(text):
        line = found["line"]
        in_string = line.count('"') % 2 or line.count("'") % 2
        if not in_string or _ONLY_TURN_ENDS.match(found["rest"]):
            return text[: found.end("line")]
    ended = text.rstrip()
    return ended.removesuffix("</s>") if ended.endswith("</s>") else text


def _line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_starter(starter: str, entry_points: Sequence[str]) -> _Starter:
    """Split given code before its last definition, unless it is complete because an entry point is not in it at all."""
    given = defined_names(starter)
    missing = frozenset(name for name in entry_points if name not in given)
    last, name = None, ""
    for start, end in statements(starter):
        found = _DEFINITION.search(starter, start, end)
        if found:
            last, name = start, found[1]
    if last is None or missing:
        return _Starter(starter, "", missing or frozenset(entry_points))
    return _Starter(starter[:last], starter[last:], frozenset((name,)))


def _unindented(text: str, starter: _Starter) -> str:
    """Return `text` shifted to the margin if its first line of code is indented without continuing a definition."""
    indent = indentation(text, _first_code(text))
    if not indent or (starter.opened and not starter.wanted & defined_names(text, indent)):
        return text
    return "\n".join(line.removeprefix(indent) for line in text.split("\n"))


def _first_code(text: str) -> int:
    """Return where the first line starts that is neither blank nor a comment."""
    found = _NO_CODE.match(text)
    return found.end() if found else 0


def _continues(line: str, starter: _Starter, any_block: bool) -> bool:
    """Whether a completion with this first line of code goes on where the starter stops."""
    if not starter.opened or is_blank(line) or _FENCE.match(line) or starter.wanted & defined_names(line):
        return False
    if starter.stops_within_a_line:
        return not any_block or stays_code(line)
    if indentation(line):
        return not any_block or stays_code(line.strip())
    return bool(starter.last_line) and stays_code(line)


def _chosen(found: Sequence[Block], wanted: frozenset[str]) -> str | None:
    """Return the block that counts, or None: for each wanted name the last that defines it, else the last of all.

    Whether a block is sound Python makes no difference.
    """
    usable = [block for block in found if block.language != "other" and block.code.strip()]
    last = {name: index for index, block in enumerate(usable) for name in wanted & defined_names(block.code)}
    if last:
        return "\n\n".join(usable[index].code for index in sorted(set(last.values())))
    marked = [block for block in usable if block.language == "python"]
    return (marked or usable)[-1].code if usable else None


def _chosen_indented(text: str, wanted: frozenset[str]) -> str:
    """Return the last block of indented code that defines a wanted name, or "": it counts where nothing else does."""
    return next((code for code in reversed(list(indented_blocks(text))) if wanted & defined_names(code)), "")


def _bare(text: str, starter: _Starter) -> str:
    """Return the first stretch of code in prose that defines what is wanted, else the first stretch of code."""
    position, fallback = 0, ""
    while position < len(text):
        line = line_at(text, position)
        if not starts_code(line):
            if starter.opened and not fallback and indentation(line) and stays_code(line.strip()):
                fallback = text[position:]
            position += len(line) + 1
            continue
        end, complete = _extent(text, position, starter.wanted)
        stretch = text[position:end].rstrip()
        if complete or not starter.wanted:
            return stretch
        fallback = fallback or stretch
        position = max(end, position + len(line) + 1)
    return fallback


def _extent(text: str, position: int, wanted: frozenset[str], *, complete: bool = False) -> tuple[int, bool]:
    """Return where the program at `position` ends, and whether it defines all that is wanted.

    It ends at the first line that is no code. Once it is complete it also ends at what would not be missed: a statement
    that does not parse or does not add names, and a second definition of what is wanted.
    """
    names: set[str] = set()
    while position < len(text):
        line = line_at(text, position)
        if _FENCE.match(line) or not stays_code(line):
            break
        end = statement_end(text, position)
        statement = text[position:end]
        defined = defined_names(statement)
        if complete and (wanted & defined or not is_addition(statement)):
            break
        names |= defined
        complete = complete or (bool(wanted) and wanted <= names)
        position = end
    return position, complete


def _joined(code: str, starter: _Starter) -> str:
    """Return `code` behind what the starter gives before its last definition, unless `code` repeats that too."""
    before = starter.before.strip()
    if not before or code.lstrip().startswith(before):
        return code
    future = _FUTURE_IMPORTS.match(code)
    split = future.end() if future else 0
    return code[:split] + starter.before.rstrip("\n") + "\n\n\n" + code[split:]


def _continued(body: str, starter: _Starter) -> str:
    """Return the starter with its open definition continued by `body`, and what `body` adds behind that."""
    readings = list(_readings(starter.opened, body))
    reading = next((reading for reading in readings if parses(reading[: statement_end(reading, 0)])), readings[0])
    end, _ = _extent(reading, statement_end(reading, 0), starter.wanted, complete=True)
    return starter.before + reading[:end].rstrip()


def _readings(opened: str, body: str) -> Iterator[str]:
    """Yield `opened` continued by `body` in every way to indent it; the first is what the text says literally."""
    last = opened.rpartition("\n")[2]
    head = opened.removesuffix(last) if is_blank(last) else opened + "\n"
    first = next((start for start in code_lines(body)), 0)
    rest, own = body[first:], indentation(body, first)
    if not is_blank(last) and not is_blank(line_at(body, 0)):
        yield opened + body
    if own:
        yield head + (last if is_blank(last) else "") + body
        yield head + rest
        yield head + _reindented(rest, own, _body_indentation(head))
        return
    indent = _body_indentation(head)
    yield head + _indented(rest, indent)
    yield head + indent + rest
    deeper = [space for start in code_lines(rest) if (space := indentation(rest, start))]
    yield head + min(deeper, key=len, default=indent) + rest


def _body_indentation(head: str) -> str:
    """Return how the next statement after `head` has to be indented."""
    lines = code_lines(head)
    last = indentation(head, lines[-1]) if lines else ""
    return next((indent for indent in (last, last + _STEP) if parses(f"{head}{indent}pass")), _STEP)


def _indented(body: str, indent: str) -> str:
    """Indent the statements of `body` that belong in a function: up to a definition, unless a `return` comes behind."""
    end, outside = 0, False
    for start, stop in statements(body):
        line = line_at(body, start)
        if start and (_FENCE.match(line) or not stays_code(line)):
            break
        outside = outside or bool(start and _OUTSIDE.match(line))
        if not outside or _RETURN.match(line):
            end = stop
    return _reindented(body[:end], "", indent) + body[end:]


def _reindented(body: str, before: str, after: str) -> str:
    """Replace the indentation `before` by `after`, but not on lines that start inside a string."""
    parts, position = [], 0
    for start in code_lines(body):
        if body.startswith(before, start):
            parts += [body[position:start], after]
            position = start + len(before)
    return "".join([*parts, body[position:]])
