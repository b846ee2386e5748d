"""Verdicts of the real judge: every status comes about, and `infra_error` only through the judge's own fault."""

from typing import get_args

import pytest

from rlbench.errors import InputError
from rlbench.sandbox import Program
from rlbench.sandbox.verdict import Status, Verdict

TESTS = "assert solve(3) == 7\nassert solve(10) == 21"
RIGHT = "def solve(x):\n    return 2 * x + 1\n"
LOOP = "def solve(x):\n    while True:\n        pass\n"
SLEEP = "import time\ndef solve(x):\n    time.sleep(60)\n"
EXAMPLES: list[tuple[str, str, str]] = [
    ("passed", RIGHT, ""),
    ("failed", "def solve(x):\n    return 7\n", "line 2"),
    ("failed", "def solve(x):\n    assert False, 'never'\n", "never"),
    ("error", "def solve(x):\n    return undefined\n", "NameError"),
    ("error", "def other(x):\n    return 7\n", "name 'solve' is not defined"),
    ("error", "solve = 7\n", "TypeError"),
    ("error", "def solve(x):\n    return solve(x)\n", "RecursionError"),
    ("load_error", "def solve(x:\n", "SyntaxError"),
    ("load_error", "import nothing_like_this\n", "ModuleNotFoundError"),
    ("load_error", "1 / 0\n", "ZeroDivisionError: division by zero (line 1)"),
    ("load_error", "x = '\0'\n", "null bytes"),
    ("load_error", "x = '\ud800'\n", ""),
    ("load_error", "#" * (1 << 21), "longer than"),
    ("cpu_limit", LOOP, "CPU"),
    ("cpu_limit", "while True: pass\n", "CPU"),
    ("wall_limit", SLEEP, "longer"),
    ("wall_limit", "import signal\nsignal.raise_signal(signal.SIGSTOP)\n", "longer"),
    ("memory_limit", "def solve(x):\n    return bytearray(1 << 33)\n", ""),
    ("memory_limit", "x = ' ' * (1 << 33)\n", ""),
    ("output_limit", "def solve(x):\n    while True:\n        print('x' * 10_000)\n", "printed more"),
    ("output_limit", RIGHT + "print('x' * 100_000)\n", "printed more"),
    ("crashed", "import signal\ndef solve(x):\n    signal.raise_signal(signal.SIGSEGV)\n", "Segmentation"),
    ("crashed", "import os\nos.abort()\n", "Aborted"),
    ("crashed", "import ctypes\ndef solve(x):\n    ctypes.string_at(8)\n", "Segmentation"),
    ("candidate_exit", "import os\ndef solve(x):\n    os._exit(0)\n", "status 0"),
    ("candidate_exit", "raise SystemExit(0)\n", "SystemExit"),
    ("candidate_exit", "def solve(x):\n    raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    (
        "protocol_violation",
        "import os\ndef solve(x):\n    os.write(3, b'\\x04\\0\\0\\0null')\n    return 7\n",
        "does not belong",
    ),
    ("protocol_violation", "import os\nos.write(3, b'\\x02\\0\\0\\0{}')\n", ""),
    ("protocol_violation", "import os\nos.write(3, b'\\xff' * 8)\n" + RIGHT, "at most"),
    ("sandbox_violation", "import os\nos.execv('/bin/true', ['true'])\n", "forbidden"),
    ("sandbox_violation", "import ctypes\ndef solve(x):\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n", "forbidden"),
    ("unsupported_return", "def solve(x):\n    return object()\n", "an object of type object"),
    ("unsupported_return", "def solve(x):\n    return lambda: 7\n", "function"),
    ("unsupported_return", "def solve(x):\n    x = []\n    x.append(x)\n    return x\n", "deep"),
]


def test_there_is_an_example_of_every_status():
    assert {status for status, _, _ in EXAMPLES} == set(get_args(Status)) - {"infra_error"}


@pytest.fixture(scope="module")
def verdicts(judge):
    programs = [Program(source, TESTS, ("solve",)) for _, source, _ in EXAMPLES]
    return judge.run_many(programs)


@pytest.mark.slow
def test_every_status_comes_about(verdicts, judge):
    wrong = []
    for (status, source, reason), verdict in zip(EXAMPLES, verdicts, strict=True):
        if verdict.status != status or reason not in verdict.reason:
            wrong.append((status, reason, source[:80], verdict.status, verdict.reason))
        assert verdict.passed == (status == "passed")
        assert (verdict.tier, verdict.weak) == (judge.tier, False)
        assert verdict.checks_passed <= max(verdict.checks_total, 1)
    assert not wrong


def sending(frame):
    return f"import os\nframe = {frame!r}\nos.write(3, len(frame).to_bytes(4, 'little') + frame)\n"


HOSTILE = {
    "the status of a process that could not be confined": "import os\nos._exit(120)\n",
    "it in a call": "import os\ndef solve(x):\n    os._exit(120)\n",
    "closing everything": "import os\nos.closerange(0, 1000)\n" + RIGHT,
    "closing the channel": "import os\ndef solve(x):\n    os.close(3)\n    return 7\n",
    "closing the channel and going on": "import os\ndef solve(x):\n    os.close(3)\n    while True: pass\n",
    "shutting the channel": "import socket\ndef solve(x):\n    socket.socket(fileno=3).shutdown(2)\n    return 7\n",
    "killing itself": "import signal\nsignal.raise_signal(signal.SIGKILL)\n",
    "stopping itself": "import signal\ndef solve(x):\n    signal.raise_signal(signal.SIGSTOP)\n",
    "killing everybody": "import os, signal\nos.kill(-1, signal.SIGKILL)\n" + RIGHT,
    "killing the parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n" + RIGHT,
    "the first frame again": "import os\nos.write(3, b'\\x05\\0\\0\\0ready')\n" + RIGHT.replace("2 * x", "x"),
    "words of being unconfined": "import os\nos.write(3, b'\\x0b\\0\\0\\0infra_error')\n" + RIGHT,
    "an error with a huge number": sending(
        b'{"dict":[["error",{"int":"0x' + b"f" * 9000 + b'"}],["kind","x"],["message","x"]]}'
    ),
    "an exit with a huge number": sending(b'{"dict":[["exit",{"int":"0x' + b"f" * 9000 + b'"}]]}'),
    "an empty deque": sending(b'{"deque":[]}'),
    "a fraction that takes for ever": (
        'import os, struct, time\nframe = b\'{"fraction":[{"decimal":"1E+999999999"}]}\'\n'
        "def solve(x):\n    os.write(3, struct.pack('<I', len(frame)) + frame)\n    time.sleep(60)\n"
    ),
    "a large answer": "def solve(x):\n    return ['x' * 1000] * 8000\n",
    "a very large answer": "def solve(x):\n    return 'x' * (1 << 26)\n",
    "a deep answer": "def solve(x):\n    for _ in range(190):\n        x = {1: (x,)}\n    return x\n",
    "an error without a text": "class E(Exception):\n    def __str__(self): 1 / 0\ndef solve(x):\n    raise E\n",
    "an error called as a base": "class SystemExit(Exception): pass\ndef solve(x):\n    raise SystemExit\n",
    "no modules left": "import sys\nsys.modules.clear()\n" + RIGHT.replace("2 * x", "x"),
    "a broken codec": "import sys\nsys.modules['rlbench.sandbox.inside.codec'].dumps = lambda value: b'null'\n" + RIGHT,
    "a broken builtin": "import builtins\nbuiltins.len = None\n" + RIGHT.replace("2 * x", "x"),
    "no stack": "import sys\nsys.setrecursionlimit(10**9)\ndef solve(x):\n    return solve(x)\n",
    "alarm": "import signal, time\nsignal.alarm(1)\ntime.sleep(5)\n",
    "a thread that holds on": (
        "import threading\ndef run():\n    while True: pass\nthreading.Thread(target=run).start()\n"
        + RIGHT.replace("2 * x", "x")
    ),
    "many threads": "import threading, time\nfor _ in range(500): threading.Timer(9, time.time).start()\n",
    "no files": "import os\nwhile True:\n    os.dup(0)\n",
    "reading the request": "import os\ndef solve(x):\n    while True:\n        os.read(3, 1)\n",
}


@pytest.mark.slow
def test_no_program_makes_the_judge_fail(judge):
    verdicts = judge.run_many([Program(source, TESTS, ("solve",)) for source in HOSTILE.values()])
    found = {what: verdict.status for what, verdict in zip(HOSTILE, verdicts, strict=True)}
    reasons = {what: verdict.reason for what, verdict in zip(HOSTILE, verdicts, strict=True)}
    assert not {what: reasons[what] for what, status in found.items() if status in ("infra_error", "passed")}
    assert found["the status of a process that could not be confined"] == "candidate_exit"
    assert found["stopping itself"] == "wall_limit"


@pytest.mark.slow
def test_no_script_makes_the_judge_fail(judge):
    cases = (("1\n", "2\n"), ("2\n", "4\n"))
    verdicts = judge.run_many([Program(source + "\nsolve(3)\n", cases=cases) for source in HOSTILE.values()])
    assert not {
        what: verdict
        for what, verdict in zip(HOSTILE, verdicts, strict=True)
        if verdict.status in ("infra_error", "passed")
    }


@pytest.mark.parametrize("setup", ["1 / 0", "import nothing_like_this", "raise AssertionError"])
def test_a_setup_that_fails_says_nothing_about_the_program(judge, setup):
    verdict = judge.run(RIGHT, tests=TESTS, setup=setup)
    assert verdict.status == "infra_error"
    assert verdict.reason.startswith("the setup of the tests fails: ")


def test_checks_are_counted(judge):
    verdict = judge.run("def solve(x):\n    return 7 if x < 5 else None\n", tests=TESTS)
    assert (verdict.status, verdict.checks_passed, verdict.checks_total, verdict.fraction) == ("failed", 1, 2, 0.5)
    verdict = judge.run("def solve(x):\n    return 7 if x < 5 else 1 / 0\n", tests=TESTS)
    assert (verdict.status, verdict.checks_passed, verdict.checks_total, verdict.fraction) == ("error", 1, 2, 0.5)
    verdict = judge.run("import os\ndef solve(x):\n    return 7 if x < 5 else os._exit(0)\n", tests=TESTS)
    assert (verdict.status, verdict.fraction) == ("candidate_exit", 0.0)
    assert judge.run(RIGHT, tests=TESTS).fraction == 1.0


def test_fraction_is_zero_where_the_program_was_stopped():
    assert Verdict("cpu_limit", checks_passed=3, checks_total=4).fraction == 0.0
    assert Verdict("failed", checks_passed=3, checks_total=4).fraction == 0.75
    assert Verdict("error").fraction == 0.0
    assert Verdict("passed").fraction == 1.0


KINDS = {
    "ValueError": "raise ValueError('x')",
    "KeyError": "return {}[1]",
    "ZeroDivisionError": "return 1 / 0",
    "IndexError": "return [][1]",
    "TypeError": "return 1 + ''",
    "AttributeError": "return x.nothing",
    "OSError": "raise FileNotFoundError('x')",
    "FileNotFoundError": "raise FileNotFoundError('x')",
    "LookupError": "return {}[1]",
    "ArithmeticError": "return 1 / 0",
    "NotImplementedError": "raise NotImplementedError",
    "Exception": "raise UnicodeDecodeError('utf-8', b'', 0, 1, 'x')",
    "ValueError of its own": "class Mine(ValueError): pass\n    raise Mine('x')",
    "Exception of its own": "class Mine(Exception): pass\n    raise Mine('x')",
    "AssertionError": "assert x is None",
}


def test_exceptions_arrive_as_the_builtin_kind_that_they_are(judge):
    tests = "try:\n    solve(1)\n    seen = None\nexcept {} as error:\n    seen = error\nassert isinstance(seen, {})"
    programs = [
        Program(f"def solve(x):\n    {body}\n", tests.replace("{}", kind.split()[0]), ("solve",))
        for kind, body in KINDS.items()
    ]
    verdicts = judge.run_many(programs)
    assert {kind: verdict.reason for kind, verdict in zip(KINDS, verdicts, strict=True) if not verdict.passed} == {}


def test_arguments_that_are_changed_in_place_are_changed_for_the_tests(judge):
    source = """
def solve(items, table, seen, raw, key=None):
    items.sort(); items.append(9); table["new"] = 1; table.pop("old"); seen.add(3); raw.extend(b"z"); key.clear()
"""
    tests = """
items, table, seen, raw, key = [3, 1], {"old": 0}, {1}, bytearray(b"a"), [1]
assert solve(items, table, seen, raw, key=key) is None
assert items == [1, 3, 9]
assert table == {"new": 1}
assert seen == {1, 3}
assert raw == bytearray(b"az")
assert key == []
"""
    verdict = judge.run(source, tests=tests, entry_points=["solve"])
    assert (verdict.status, verdict.checks_passed) == ("passed", 6), verdict.reason
    untouched = "x = [2, 1]\nassert solve(x) == [1, 2]\nassert x == [2, 1]"
    assert judge.run("def solve(x):\n    return sorted(x)\n", tests=untouched).passed
    assert judge.run("def solve(x):\n    x.sort()\n    return x\n", tests=untouched).checks_passed == 1


def test_entry_points_are_found_and_may_be_called_as_builtins(judge):
    assert judge.run(
        "def double(x): return 2 * x\ndef half(x): return x / 2", tests="assert half(double(4)) == 4"
    ).passed
    source = "def sum(x, y):\n    return x * y\n"
    assert judge.run(source, tests="assert sum(2, 5) == 10", entry_points=["sum"]).passed
    assert not judge.run(source, tests="assert sum([2, 5]) == solve(7)").passed
    verdict = judge.run("def all(x): return True\ndef solve(x): return x\n", tests="assert all([solve(0), solve(1)])")
    assert not verdict.passed  # the tests' own `all` is Python's


def test_programs_may_be_classes_and_print(judge):
    verdict = judge.run(
        "print('loading')\ndef solve(x):\n    print('got', x)\n    return 7\n", tests="assert solve(3) == 7"
    )
    assert (verdict.status, verdict.output) == ("passed", "loading\ngot 3\n")


@pytest.mark.parametrize("tests", ["assert 1 == 1", "x = 1", "assert len('abc') == 3"])
def test_tests_that_never_call_the_program_pass_nobody(judge, tests):
    verdict = judge.run(RIGHT, tests=tests, entry_points=["solve"])
    assert verdict.status == "error"


def test_weak_verdicts_say_so(judge):
    (verdict,) = judge.run_many([Program(RIGHT, TESTS, ("solve",))], weak=True)
    assert (verdict.status, verdict.weak, verdict.checks_passed) == ("passed", True, 2)
    (verdict,) = judge.run_many([Program("import os\nos._exit(0)", TESTS, ("solve",))], weak=True)
    assert (verdict.status, verdict.weak) == ("candidate_exit", True)


SCRIPT = "for line in open(0):\n    print(2 * int(line))\n"


@pytest.mark.parametrize(
    ("source", "status", "passed"),
    [
        (SCRIPT, "passed", 3),
        (SCRIPT + "import sys\nsys.exit(0)", "passed", 3),
        ("print(2)", "failed", 1),
        ("import sys\nprint(2 * int(input()))\nsys.exit(3)", "error", 0),
        ("print(int(input()) * 2 / 0)", "error", 0),
        ("print(2", "load_error", 0),
        ("while True: pass", "cpu_limit", 0),
        ("import os\nprint(2, flush=True)\nos._exit(0)", "failed", 1),
        ("print('x' * 100_000)", "output_limit", 0),
        ("import signal\nsignal.raise_signal(signal.SIGSEGV)", "crashed", 0),
        ("print(2 * int(input()), ' ')\nprint()", "passed", 3),
    ],
)
def test_scripts_are_judged_by_what_they_print(judge, source, status, passed):
    verdict = judge.run(source, cases=[("1\n", "2\n"), ("2\n", "4"), ("0", "0\n\n")])
    assert (verdict.status, verdict.checks_passed, verdict.checks_total) == (status, passed, 3), verdict.reason


@pytest.mark.parametrize(
    "program",
    [
        {"source": "x"}, {"source": "x", "tests": " "}, {"source": "x", "tests": "assert f()", "cases": [("", "")]},
        {"source": "x", "tests": "assert ("}, {"source": "x", "tests": "assert f(1)", "entry_points": "solve"},
        {"source": "x", "tests": "assert f(1)", "entry_points": ["a b"]}, {"nothing": 1},
        {"source": "x", "tests": "assert f(1)", "setup": "("},
    ],
    ids=lambda program: ",".join(program),
)  # fmt: skip
def test_users_mistakes_are_input_errors(judge, program):
    with pytest.raises(InputError, match="judge: "):
        judge.run_many([program])
    assert judge.run(RIGHT, tests=TESTS).passed
