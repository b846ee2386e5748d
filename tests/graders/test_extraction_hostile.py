"""Text that nobody means as a program: what is fenced comes back, nothing is invented, time and memory are bounded."""

import ast
import re
import tracemalloc

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rlbench.graders import statements
from rlbench.graders.extraction import LONGEST, extract_code

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape")  # in the data
OPENED = 'def f(x):\n    """Add one.\n\n    >>> f(1)\n    2\n    """\n'
STARTER = "import math\n\n\ndef helper(x):\n    return x\n\n\n" + OPENED


def block(code, mark="python", fence="```"):
    return f"{fence}{mark}\n{code}\n{fence}"


TEXT = st.text(st.characters(exclude_characters="\r"), max_size=200)
PIECES = (
    '``` ```` ~~~ python \n \n\n \t """ \' ( ] \\ # : = f @ else: if_x: import_a class_A: def_f(x):\n return_x'
    " Here_it_is >>>_ \0 \r\n <|im_end|> </s> <think> </think> \ud800 print(1) x_=_1 \ufeff \x0c \u2028 ____ _"
)
MARKDOWN = st.lists(st.sampled_from([piece.replace("_", " ") for piece in PIECES.split(" ")]), max_size=40).map("".join)


@given(TEXT)
@example("x = '''\n```\n'''")
@example("x = 1\n\n")
@example("'''")
def test_what_is_fenced_comes_back(code):
    assume(
        code.strip() and code[0] not in " \t\n" and code.split("\n")[0].strip() and code.lstrip()[:1] not in (">", "$")
    )
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", code)), default=0))
    assert extract_code(f"Here you are:\n{block(code, fence=fence)}\nEnjoy.") == code
    assert extract_code(block(code, fence="~" * 210)) == code


@settings(max_examples=400)
@given(MARKDOWN, st.sampled_from(["", STARTER, OPENED + "    ", OPENED.strip(), "def f(x): return"]), st.booleans())
def test_nothing_but_white_space_is_ever_invented(completion, starter, named):
    """What is not white space stands in the starter and the completion, in the same order."""
    program = extract_code(completion, starter=starter, entry_points=["f"] if named else [])
    given_text = iter(starter + completion)
    assert all(character in given_text for character in program if not character.isspace())


HOSTILE = {
    "backticks": "`", "spaces": " ", "line ends": "\n", "blank lines": "    \n", "tildes": "~~~\n", "fences": "```\n",
    "blocks": "```python\n```\n", "nested fences": "```\n````python\n`````\n", "quotes": '"', "triple": '"""',
    "triple lines": "'''\n", "escapes": '\\"""', "both quotes": "'\"", "backslashes": "\\", "joined lines": "\\\n",
    "open": "(", "open lines": "[\n", "comments": "#\n", "hashes": "#", "defs": "def f(x):\n", "decorators": "@a\n",
    "assignments": "a=", "statements": "a = 1\n", "half statements": "a = b c\n", "prose": "Well, (so.\n",
    "colons": "if :#", "ends": "<|im_end|>", "quoted ends": "'<|im_end|>", "ends of text": "</s>", "nulls": "\0",
    "thoughts": "</think> ", "functions": "def g(x):\n return x\n", "second": "Prose.\ndef g(x):\n return x\n",
    "commas": "x, ", "nots": "not ",
}  # fmt: skip


COSTLY = {
    "from": "from " + "a." * 40_000 + "a import b",
    "from, as long as may be": "from " + "a." * 32_000 + "a import b",
    "import": "import " + "a." * 32_000 + "a",
    "joined lines": "import a" + ".\\\na" * 16_000,
    "form feeds": "import a" + "\x0c.\x0ca" * 16_000,
    "accents": "import a" + ".a\u0301" * 20_000,
    "odd letters": "import a" + ".\u2118\u00b7" * 20_000,
    "attributes": "x = a" + ".a" * 32_000,
    "pattern": "match x:\n case a" + ".a" * 32_000 + ": pass",
    "many short chains": ("import a" + ".a" * 100 + "\n") * 300,
    "fields": "x = f'" + "{a}" * 21_000 + "'",
    "fields in lines": "x = f'''" + "{a}\n" * 16_000 + "'''",
    "nested fields": "x = f'" + "{a:{b}}" * 9_000 + "'",
    "f-strings": "x = (" + "f'{a}' " * 9_000 + ")",
    "long f-strings": ("x = f'" + "{a}" * 3_320 + "'\n") * 6,
    "semicolons": "a;" * 32_000,
    "statements": "a = b\n" * 10_000,
    "items": "x = [" + "a," * 31_000 + "]",
}


def measured(monkeypatch, text, **options):
    """Return the program, the peak of memory in bytes, and the number of characters that were parsed."""
    parsed = []
    parse = ast.parse
    monkeypatch.setattr(statements.ast, "parse", lambda source: (parsed.append(len(source)), parse(source))[1])
    tracemalloc.start()
    try:
        program = extract_code(text, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        monkeypatch.undo()
    return program, peak, sum(parsed)


@pytest.mark.parametrize("name", COSTLY)
def test_memory_and_the_work_of_the_parser_are_bounded(monkeypatch, name):
    """A dotted name of 80,000 characters alone would take 1.7 GB; every character is parsed a few times at most."""
    statement = COSTLY[name]
    for text in (statement, f"def f(x):\n    return x\n{statement}", f"    {statement}", f"Prose.\n\n{statement}"):
        for options in ({}, {"starter": STARTER, "entry_points": ["f"]}):
            _, peak, parsed = measured(monkeypatch, text, **options)
            assert peak < 150_000_000
            assert parsed <= 12 * (len(text) + len(STARTER))


def test_the_measure_sees_what_the_parser_takes(monkeypatch):
    """Without the bound on chains, the memory of a name of 8,000 characters is seen: it grows with the square."""
    monkeypatch.setattr(statements, "LONGEST_CHAIN", 10**6)
    tracemalloc.start()
    try:
        assert statements.parses("from " + "a." * 4_000 + "a import b\n")
        assert tracemalloc.get_traced_memory()[1] > 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_the_longest_completion_that_is_read(monkeypatch, name):
    unit, start = HOSTILE[name], "```python\n"
    text = start + unit * ((LONGEST - len(start)) // len(unit))
    _, peak, parsed = measured(monkeypatch, text, starter=STARTER, entry_points=["f"])
    assert peak < 150_000_000
    assert parsed <= 12 * (len(text) + len(STARTER))
    assert extract_code(text + unit * 20, starter=STARTER, entry_points=["f"]) == "" or len(unit) * 20 < len(start)


def test_ladders_and_towers(monkeypatch):
    ladders = ("".join(" " * n + "x\n" for n in range(350)), "".join("`" * n + "\n" for n in range(350, 3, -1)))
    towers = ("(" * 5000, "-" * 60_000 + "1", "x" + ".a" * 30_000, "not " * 15_000 + "x", "lambda:" * 5000)
    for text in (*ladders, *(f"y = {tower}" for tower in towers)):
        assert len(text) <= LONGEST
        for options in ({}, {"starter": STARTER, "entry_points": ["f"]}):
            program, peak, parsed = measured(monkeypatch, text, **options)
            assert peak < 150_000_000
            assert parsed <= 12 * (len(text) + len(STARTER))
            assert not program or program in text or program.startswith(STARTER.rstrip())
