"""Which program a completion means: the table of rules, and published completions."""

import ast
import json
import random
import re

import pytest

from rlbench.graders.extraction import LONGEST, extract_code
from rlbench.graders.statements import parses
from rlbench.sandbox import Program, SandboxUnavailable, open_judge
from rlbench.sandbox.entry_points import free_names

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape")  # in the data
PROGRAM = "def f(x):\n    return x + 1"
OTHER = "def f(x):\n    return x - 1"
NEXT, DEEPER = "\n", "\n    "
BROKEN = "def f(x:\n    return x + 1"
HEAD = "import math\n\n\ndef helper(x):\n    return x\n\n\n"
OPENED = 'def f(x):\n    """Add one.\n\n    >>> f(1)\n    2\n    """\n'
STARTER = HEAD + OPENED


def block(code, mark="python", fence="```"):
    return f"{fence}{mark}\n{code}\n{fence}"


FENCED = {
    "python": (block(PROGRAM), PROGRAM),
    "py": (block(PROGRAM, "py"), PROGRAM),
    "python3 in capitals, with attributes": (block(PROGRAM, ' Python3 title="a.py"'), PROGRAM),
    "attribute braces": (block(PROGRAM, "{.python .numberLines}"), PROGRAM),
    "unmarked": (block(PROGRAM, ""), PROGRAM),
    "tildes": (block(PROGRAM, "python", "~~~"), PROGRAM),
    "prose around": (f"Sure! Here's it:\n\n{block(PROGRAM)}\n\nIt (really) works.", PROGRAM),
    "CRLF": (f"Here:\r\n{block(PROGRAM)}\r\n".replace("\n", "\r\n"), PROGRAM),
    "byte order mark": ("\ufeff" + block(PROGRAM), PROGRAM),
    "indented fence": ("1. So:\n\n" + "\n".join("   " + line for line in block(PROGRAM).split("\n")), PROGRAM),
    "behind prose": (f"The code is: {block(PROGRAM)}", PROGRAM),
    "cut off": (f"Here:\n```python\n{PROGRAM}", PROGRAM),
    "cut off in a statement": ("```python\ndef f(x):\n    return x +", "def f(x):\n    return x +"),
    "fence behind the last line": (f"```python\n{PROGRAM}```", PROGRAM),
    "longer fence around shorter": (f"````python\n{PROGRAM}\n```\n````", f"{PROGRAM}\n```"),
    "a heading is no comment": (f"# Solution\n\n{block(PROGRAM)}", PROGRAM),
    "shell and output are ignored": (
        f"{block(PROGRAM)}\n{block('python a.py', 'bash')}\n{block('def f(x): out', 'text')}",
        PROGRAM,
    ),
    "a session is no program": (f"{block(PROGRAM)}\nThen:\n{block('>>> def f(x): pass')}", PROGRAM),
    "the last that defines it": (f"Draft:\n{block(OTHER)}\nFinal:\n{block(PROGRAM)}", PROGRAM),
    "and not the usage behind it": (f"{block(PROGRAM)}\nUse:\n{block('print(f(2))')}", PROGRAM),
    "the last, be it broken": (f"{block(PROGRAM)}\nBetter:\n{block(BROKEN)}", BROKEN),
    "the last, be it cut off": (f"{block(PROGRAM)}\nBetter:\n```python\ndef f(x):\n    retu", "def f(x):\n    retu"),
    "an unmarked one that defines it": (f"{block(PROGRAM, '')}\n{block('print(f(2))')}", PROGRAM),
    "none defines it: the last": (f"{block('a = 1')}\n{block('b = 1')}", "b = 1"),
    "none defines it: the last that is marked": (f"{block('b = 1')}\n{block('4 5', '')}", "b = 1"),
    "class": (block("class f:\n    pass"), "class f:\n    pass"),
    "assigned": (f"{block('f = abs')}\n{block('g = f')}", "f = abs"),
    "whole block, with what it prints": (block(PROGRAM + "\n\nprint(f(2))"), PROGRAM + "\n\nprint(f(2))"),
    "shifted": (block("    def f(x):\n        return x + 1"), PROGRAM),
    "fence in a docstring": (
        block('def f(x):\n    """Add.\n\n```\nf(1)\n```\n    """\n    return x + 1'),
        'def f(x):\n    """Add.\n\n```\nf(1)\n```\n    """\n    return x + 1',
    ),
    "block in a string": (
        block(f"S = '''\n{block('def f(x): 0')}\n'''\n{PROGRAM}"),
        f"S = '''\n{block('def f(x): 0')}\n'''\n{PROGRAM}",
    ),
    "null bytes stay": (block("def f(x):\n    return '\0'"), "def f(x):\n    return '\0'"),
    "end of turn": (block(PROGRAM) + "<|im_end|>\n<|im_start|>user\n" + block(OTHER), PROGRAM),
    "end of turn in a string stays": (block(f"{PROGRAM}\nEND = '<|im_end|>'"), f"{PROGRAM}\nEND = '<|im_end|>'"),
    "thought before the answer": (f"<think>\n{block(OTHER)}\n</think>\n{block(PROGRAM)}", PROGRAM),
    "thought without an answer": (f"<think>\nLet me see.\n{block(PROGRAM)}", ""),
    "empty block": ("```python\n```", ""),
}
BARE = {
    "alone": (PROGRAM, PROGRAM),
    "CRLF": (PROGRAM.replace("\n", "\r\n"), PROGRAM),
    "prose around": (f"Here's the function (as asked:\n\n{PROGRAM}\n\nIt works; isn't it nice?", PROGRAM),
    "imports and helpers before": (f"import math\nN = 3\n\n\n{PROGRAM}", f"import math\nN = 3\n\n\n{PROGRAM}"),
    "helper behind": (f"{PROGRAM}\n\n\ndef g(x):\n    return x", f"{PROGRAM}\n\n\ndef g(x):\n    return x"),
    "ends at print": (f"{PROGRAM}\n\nprint(f(2))\n\ndef g(): pass", PROGRAM),
    "ends at main": (f"{PROGRAM}\n\nif __name__ == '__main__':\n    main()", PROGRAM),
    "ends at assert": (f"{PROGRAM}\nassert f(1) == 3", PROGRAM),
    "ends at a second definition": (f"{PROGRAM}\n\n{OTHER}", PROGRAM),
    "ends at a second definition, be it broken": (f"{PROGRAM}\n\n{BROKEN}", PROGRAM),
    "ends at a helper that is cut off": (f'{PROGRAM}\n\ndef g(x):\n    """Do', PROGRAM),
    "ends at the fence that the prompt opened": (f"{PROGRAM}\n```\nUse:\n{block('print(f(3))')}", PROGRAM),
    "ends at [DONE]": (f"{PROGRAM}\n[DONE]\n\nNext task:\n{OTHER}", PROGRAM),
    "ends at the end of the text": (f"{PROGRAM}<|endoftext|>import os", PROGRAM),
    "ends at </s>": (f"{PROGRAM}</s>", PROGRAM),
    "ends at a session": (f"{PROGRAM}\n>>> f(1)\n2", PROGRAM),
    "other block beside it": (f"{block('pip install x', 'bash')}\n\n{PROGRAM}", PROGRAM),
    "decorators, clauses, comments": (
        "import a\n@a.b\n# kept\ndef f(x):\n    if x:\n        return 1\n# here too\n    return 2\nDone",
        "import a\n@a.b\n# kept\ndef f(x):\n    if x:\n        return 1\n# here too\n    return 2",
    ),
    "prose in a string": (
        'def f(x):\n    return """\nThis is prose.\n\ndef f(y): no\n"""\n\nThis is too.',
        'def f(x):\n    return """\nThis is prose.\n\ndef f(y): no\n"""',
    ),
    "indented block": (f"So:\n\n    {PROGRAM.replace(NEXT, DEEPER)}\n\nDone.", PROGRAM),
    "indented block, the last": (
        f"So:\n\n    {OTHER.replace(NEXT, DEEPER)}\n\nNo:\n\n    {PROGRAM.replace(NEXT, DEEPER)}\n",
        PROGRAM,
    ),
    "broken": (BROKEN, BROKEN),
    "broken at once": ("def f(x)\n    return x", "def f(x)\n    return x"),
    "only prose": ("I cannot do that.", ""),
    "only a number": ("42", ""),
    "only a session": (">>> f(1)\n2", ""),
    "only a comment": ("# to do", ""),
    "empty": ("", ""),
    "blank": (" \n\t\n", ""),
}
CONTINUED = {
    "4 spaces": ("    return x + 1", "    return x + 1"),
    "2 spaces": ("  y = x\n  if y:\n    y += 1\n  return y", "    y = x\n    if y:\n      y += 1\n    return y"),
    "tab": ("\ty = x\n\treturn y", "    y = x\n    return y"),
    "2 spaces and a string": ('  y = """\n  a"""\n  return y', '    y = """\n  a"""\n    return y'),
    "first indentation missing": ("y = x\n    return y", "    y = x\n    return y"),
    "first indentation missing before a block": (
        "for y in x:\n        pass\n    return y",
        "    for y in x:\n        pass\n    return y",
    ),
    "no indentation": ("for y in x:\n    pass\nreturn y", "    for y in x:\n        pass\n    return y"),
    "no indentation, own helper inside": (
        "z = 1\ndef g(y):\n    return y\nreturn g(x)",
        "    z = 1\n    def g(y):\n        return y\n    return g(x)",
    ),
    "comment first": ("    # add\n    return x", "    # add\n    return x"),
    "helper behind": ("    return g(x)\n\n\ndef g(x):\n    return x", "    return g(x)\n\n\ndef g(x):\n    return x"),
    "stop words": ("    return x\n# Test\nprint(f(1))\nclass A: pass", "    return x\n# Test"),
    "repeated function": (f"    return x\n\n{OTHER}", "    return x"),
    "closing fence": (f"    return x\n```\n\nThis works.\n{block(OTHER)}", "    return x"),
    "indented closing fence": ("    return x\n    ```\nThis works.", "    return x"),
    "prose behind": ("    return x\n\nThis doesn't fail.", "    return x"),
    "prose before": ("The body is:\n\n    return x\n\nThat is it.", "    return x"),
    "in a block": (f"The body is:\n{block('    return x')}", "    return x"),
    "in a block without indentation": ("The body is:\n" + block("y = x\nreturn y"), "    y = x\n    return y"),
    "broken": ("    return x +\n", "    return x +"),
    "cut off": ("    y = (x,\n", "    y = (x,"),
    "wrongly indented": ("    y = x\n      return y", "    y = x\n      return y"),
}


@pytest.mark.parametrize("case", FENCED)
def test_fenced(case):
    completion, program = FENCED[case]
    assert extract_code(completion, entry_points=["f"]) == program


@pytest.mark.parametrize("case", BARE)
def test_bare(case):
    completion, program = BARE[case]
    assert extract_code(completion, entry_points=["f"]) == program


@pytest.mark.parametrize(
    "case", [case for case, (_, program) in (FENCED | BARE).items() if re.search(r"(def|class) f|f =", program)]
)
def test_a_repeated_function_gets_what_the_starter_has_before_it(case):
    completion, program = (FENCED | BARE)[case]
    for entry_points in (["f"], ["helper", "f"], []):
        assert extract_code(completion, starter=STARTER, entry_points=entry_points) == HEAD + program


@pytest.mark.parametrize("case", CONTINUED)
def test_continued(case):
    completion, body = CONTINUED[case]
    assert extract_code(completion, starter=STARTER, entry_points=["f"]) == STARTER + body
    assert extract_code(completion, starter=STARTER) == STARTER + body


@pytest.mark.parametrize("case", [case for case in CONTINUED if case not in ("broken", "cut off", "wrongly indented")])
def test_continued_where_the_prompt_or_the_completion_has_other_line_ends(case):
    completion, body = CONTINUED[case]
    for text, starter in (
        (completion, OPENED.rstrip()),
        ("\n\n" + completion, OPENED),
        ("\n" + completion, OPENED.rstrip()),
    ):
        assert same(extract_code(text, starter=starter), OPENED + body)


@pytest.mark.parametrize("completion", ["return x + 1", "    return x + 1", "y = x\n    return y", "\n    return x"])
@pytest.mark.parametrize("spaces", ["    ", "  ", "\t"])
def test_the_prompt_ended_with_the_indentation(completion, spaces):
    program = extract_code(completion, starter=OPENED + spaces)
    assert ast.dump(ast.parse(program)) == ast.dump(ast.parse(OPENED + "    " + completion.lstrip()))


def test_the_prompt_ended_within_a_line():
    assert extract_code("x + 1\n\nprint(f(1))", starter="def f(x):\n    return ") == "def f(x):\n    return x + 1"
    assert extract_code(" return x", starter="def f(x):") == "def f(x): return x"


def test_a_method_is_continued():
    starter = "class A:\n    def f(self, x):\n        "
    for completion in ("return x", "        return x", f"```python\n{starter}return x\n```"):
        program = extract_code(completion, starter=starter, entry_points=["A"])
        assert ast.dump(ast.parse(program)) == ast.dump(ast.parse(f"{starter}return x"))


def test_a_starter_without_the_entry_point_is_always_needed():
    starter = "import math\n\ndef helper(x):\n    return x\n"
    program = extract_code(block(PROGRAM), starter=starter, entry_points=["f"])
    assert program == starter + "\n\n" + PROGRAM
    assert extract_code(program, starter=starter, entry_points=["f"]) == program


def test_future_imports_stay_first():
    code = f"from __future__ import annotations\n{PROGRAM}"
    compile(extract_code(block(code), starter=STARTER), "program", "exec")


def test_several_entry_points_in_several_blocks():
    text = f"{block(PROGRAM)}\nand\n{block('def g(x): return f(x)')}\n{block('print(g(1))')}"
    assert extract_code(text, entry_points=["f", "g"]) == f"{PROGRAM}\n\ndef g(x): return f(x)"


STANDARD_INPUT = "n = int(input())\nfor i in range(n):\n    print(i)\nif n:\n    print('end')"


@pytest.mark.parametrize(
    "completion",
    [
        STANDARD_INPUT,
        block(STANDARD_INPUT),
        f"Draft:\n{block('print(0)')}\nBetter:\n{block(STANDARD_INPUT)}\nIt prints\n{block('0 1', '')}",
        f"Read n first.\n\n{STANDARD_INPUT}\n\nThis prints all numbers.",
        f"{STANDARD_INPUT}\n```\nThis prints all numbers.",
    ],
)
def test_without_entry_points_every_statement_belongs(completion):
    assert extract_code(completion) == STANDARD_INPUT


UNREAD = {
    "chain": "from a" + ".a" * 101 + " import b",
    "chain with spaces and joined lines": "import a" + " . \\\n a" * 101,
    "chain with accents": "import a" + ".a\u0301" * 101,
    "line": f"x = [{'1, ' * 4_000}]",
    "lines in brackets": "x = [\n" + "1,\n" * 4_000 + "]",
    "f-string": "x = f'" + "{a}" * 4_000 + "'",
    "f-string of many lines": "x = f'''" + "{a}\n" * 4_000 + "'''",
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_statement_that_is_too_long_to_parse_counts_as_broken(name):
    assert ast.parse(UNREAD[name])
    assert not parses(UNREAD[name])
    assert extract_code(f"{PROGRAM}\n{UNREAD[name]}", entry_points=["f"]) == PROGRAM  # as with any broken statement
    for whole in (f"{UNREAD[name]}\n{PROGRAM}", f"{PROGRAM}\n{UNREAD[name]}"):
        assert extract_code(block(whole), entry_points=["f"]) == whole  # a block stays whole, be it broken
    body = "    " + UNREAD[name] + "\n    return x"
    assert extract_code(body, starter=STARTER, entry_points=["f"]) == STARTER + body


def test_what_is_just_short_enough_is_parsed():
    for statement in (
        "from a" + ".a" * 100 + " import b",
        f"x = [{' ' * 9_994}]",
        "x = 1.5\n" * 200,
        "a = b.c\n" * 200,
    ):
        assert parses(statement)
        assert extract_code(f"{PROGRAM}\n{statement}", entry_points=["f"]) == f"{PROGRAM}\n{statement}".rstrip()
    assert not parses(f"x = [{' ' * 9_995}]")


def test_a_completion_that_is_too_long_holds_no_program():
    for text in (f"{PROGRAM}\n#", block(PROGRAM) + "\n"):
        longest = text + "x" * (LONGEST - len(text))
        assert extract_code(longest, entry_points=["f"]).startswith(PROGRAM)
        assert extract_code(longest + "x", entry_points=["f"]) == ""


def test_a_broken_statement_among_others_stays():
    program = "n = int(input())\nm = n +\nprint(n)"
    assert extract_code(program) == extract_code(block(program)) == program


@pytest.mark.parametrize("order", [(PROGRAM, OTHER), (OTHER, PROGRAM), (BROKEN, PROGRAM), (PROGRAM, BROKEN)])
@pytest.mark.parametrize("starter", ["", STARTER])
def test_one_program_counts_whichever_is_sound(order, starter):
    given = HEAD if starter else ""
    fenced = extract_code("\nor\n".join(map(block, order)), starter=starter, entry_points=["f"])
    assert fenced == given + order[1]
    bare = extract_code("\n\n".join(order), starter=starter, entry_points=["f"])
    if order[0] == BROKEN:  # its open bracket takes in what follows
        assert bare == given + "\n\n".join(order)
    else:
        assert bare == given + order[0]


def rows(path):
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def humaneval(data_dir):
    return rows(data_dir / "humaneval" / "HumanEval.jsonl")


@pytest.fixture(scope="module")
def judge():
    try:
        with open_judge() as judge:
            yield judge
    except SandboxUnavailable as unavailable:
        pytest.skip(str(unavailable))


def judged(judge, problems, completions):
    programs = []
    for row, completion in zip(problems, completions, strict=True):
        source = extract_code(completion, starter=row["prompt"], entry_points=[row["entry_point"]])
        tests = f"{row['test']}\ncheck({row['entry_point']})\n"
        programs.append(Program(source, tests, tuple(free_names(tests, ""))))
    return [verdict.status for verdict in judge.run_many(programs)]


def same(one, other):
    return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))


def test_humaneval_continued_or_repeated(humaneval):
    """However the reference is written down, it is the same program as prompt and completion joined."""
    for row in humaneval:
        prompt, body, name = row["prompt"], row["canonical_solution"], row["entry_point"]
        whole = (prompt + body).rstrip()
        for completion in (body, f"{body}\n\nprint({name}(1))\n", f"{body}\n```\nThat's it.", f"```\n{body}```"):
            assert extract_code(completion, starter=prompt, entry_points=[name]) == whole
        for completion in (block(whole), f"Here's it:\n\n{whole}\n\nThat's it.", f"{whole}\n```\n"):
            assert extract_code(completion, starter=prompt, entry_points=[name]).strip() == whole.strip()
        for completion in (body.lstrip(), "\n" + body):
            for starter in (prompt, prompt + "    ", prompt.rstrip()):
                assert same(extract_code(completion, starter=starter, entry_points=[name]), whole)
        function = whole[f"\n{prompt}".rindex("\ndef ") :]
        assert function.startswith(f"def {name}(")
        assert same(extract_code(f"Sure:\n{block(function)}", starter=prompt, entry_points=[name]), whole)


@pytest.mark.slow
def test_humaneval_references_pass(humaneval, judge):
    assert judged(judge, humaneval, [row["canonical_solution"] for row in humaneval]) == ["passed"] * 164
    assert "passed" not in judged(judge, humaneval, ["    return None\n"] * 164)


@pytest.mark.slow
def test_every_published_verdict_of_reflexion(data_dir, judge):
    solutions = rows(data_dir / "code_outputs_reflexion" / "reflexion_humaneval_py_pass_at_1.jsonl")
    published = [row["is_solved"] for row in solutions]
    assert sum(published) == 150
    plain = judged(judge, solutions, [row["solution"] for row in solutions])
    assert [status == "passed" for status in plain] == published
    fenced = judged(judge, solutions, [f"Here:\n{block(row['solution'])}\nGood?" for row in solutions])
    assert [status == "passed" for status in fenced] == published


def test_the_example_samples_of_human_eval(data_dir, judge):
    samples = rows(data_dir / "humaneval" / "example_samples.jsonl")
    problem = rows(data_dir / "humaneval" / "example_problem.jsonl") * len(samples)
    statuses = judged(judge, problem, [row["completion"] for row in samples])
    right = ["    return 1", "  return 1", "\treturn 1"]
    assert [row["completion"] for row, status in zip(samples, statuses, strict=True) if status == "passed"] == right


def test_mbpp_references_survive_any_wrapping(data_dir):
    problems = rows(data_dir / "mbpp" / "mbpp.jsonl")
    assert len(problems) == 974
    for row in problems:
        code = row["code"].replace("\r\n", "\n")
        called = set(re.findall(r"\w+", " ".join(row["test_list"])))
        names = sorted(called & set(re.findall(r"^(?:def|class) (\w+)", code, re.MULTILINE)))
        for completion in (
            row["code"],
            f"Here's how (it's short):\r\n\r\n```python\r\n{row['code']}\r\n```\r\nIt can't fail.",
            f"Here's how (it's short):\n\n{row['code']}\n\nIt can't fail.",
            f"{row['code']}\n[DONE]\n\nYou are an expert Python programmer, and here is your task.",
        ):
            for entry_points in (names, []):
                program = extract_code(completion, entry_points=entry_points)
                assert same(program, code), (row["task_id"], completion)
                assert extract_code(program, entry_points=entry_points).strip() == program.strip(), row["task_id"]


def test_a_completion_that_is_cut_off_stays_cut_off(humaneval):
    stream = random.Random(0)
    for row in stream.sample(humaneval, 40):
        whole = row["prompt"] + row["canonical_solution"]
        for _ in range(5):
            cut = row["canonical_solution"][: stream.randrange(1, len(row["canonical_solution"]))]
            assert whole.startswith(extract_code(cut, starter=row["prompt"])), row["task_id"]
