"""What a hostile reviewer got through, and what honest programs stumbled over."""

import pytest

from rlbench.errors import InputError
from rlbench.sandbox import Limits, Program, open_judge
from rlbench.sandbox.admission import admit

RANDOM_TESTS = """
import random
for _ in range(5):
    number = random.randint(0, 10**9)
    assert solve(number) == number + 1
"""
# Draws as the tests do, from what it started with.
REPLAY = """
import random
def solve(number):
    return random.randint(0, 10**9) + 1
"""


@pytest.fixture(scope="module")
def judge():
    with open_judge(lanes=2, limits=Limits(cpu_seconds=2, wall_seconds=20)) as made:
        yield made


def test_a_program_cannot_draw_the_random_numbers_of_the_tests(judge):
    assert judge.run(REPLAY, tests=RANDOM_TESTS).status == "failed"
    assert judge.run("def solve(number): return number + 1", tests=RANDOM_TESTS).passed


def test_the_same_tests_draw_the_same_numbers(judge):
    tests = "import random\nassert False, random.random()\nsolve()"
    first, second = (judge.run(f"{comment}\ndef solve(): pass", tests=tests) for comment in ("# one", "# two"))
    assert first.reason == second.reason


def test_a_program_cannot_stand_in_for_helpers_of_the_tests(judge):
    source = "def solve(x): return 0\ndef isclose(*positional, **named): return True"
    assert judge.run(source, tests="assert isclose(solve(3), 7)", setup="from math import *").status == "failed"


def test_several_builtins_are_never_entry_points(judge):
    with pytest.raises(InputError, match="no entry"):
        judge.run("def max(xs): return 99\ndef abs(x): return 0", tests="assert abs(max([1, 2]) - 2) < 1")


def test_exceptions_arrive_as_they_were_raised(judge):
    tests = """
try:
    solve()
except ValueError as error:
    assert str(error) == "negative"
    assert error.args == ("negative",)
try:
    find()
except KeyError as error:
    assert error.args == ("k",)
else:
    raise AssertionError
"""
    source = "def solve(): raise ValueError('negative')\ndef find(): return {}['k']"
    assert judge.run(source, tests=tests).passed


def test_cutting_the_tests_short_earns_no_share(judge):
    tests = "for x in range(100):\n    found = solve(x)\n    assert found == 2 * x + 1"
    verdict = judge.run("def solve(x):\n    if x < 3: return 2*x+1\n    raise ValueError", tests=tests)
    assert (verdict.status, verdict.fraction) == ("error", 0.0)


def test_tests_may_call_from_threads(judge):
    tests = "from concurrent.futures import ThreadPoolExecutor\n"
    tests += "assert list(ThreadPoolExecutor(4).map(solve, range(100))) == [2 * x for x in range(100)]"
    assert judge.run("def solve(x): return 2*x", tests=tests).passed


@pytest.mark.parametrize("cookie", ["latin-1", "ascii", "no-such-encoding"])
def test_what_a_source_says_about_its_encoding_does_not_count(judge, cookie):
    assert judge.run(f"# -*- coding: {cookie} -*-\ndef solve(): return 'é'", tests="assert solve() == 'é'").passed


def test_fixtures_of_unittest_classes_run(judge):
    tests = """
import unittest
class Cases(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.x = 3
    def test_right(self): self.assertEqual(solve(self.x), 4)
    def test_wrong(self): self.assertEqual(solve(1), 3)
"""
    verdict = judge.run("def solve(x): return x+1", tests=tests)
    assert (verdict.status, verdict.checks_passed, verdict.checks_total) == ("failed", 1, 2)


@pytest.mark.parametrize(
    "report",
    [
        '{"status": "passed"}',
        '{"status": "passed", "reason": "", "passed": 1000, "total": 1}',
        '{"status": "passed", "reason": "", "passed": 1' + "0" * 4000 + ', "total": 1}',
        '{"status": "infra_error", "reason": "", "passed": 0, "total": 1}',
        '{"status": "tests_broken", "reason": "", "passed": 0, "total": 1}',
        '{"status": "gone", "reason": "", "passed": 0, "total": 1}',
    ],
)
def test_a_weak_program_that_writes_its_own_report_escapes_nothing(judge, report):
    source = f"import os\nos.write(5, {report!r}.encode())\nos._exit(0)"
    verdict = judge.run(source, tests="assert solve()", weak=True)
    assert verdict.status in ("candidate_exit", "protocol_violation")
    assert verdict.fraction == 0.0


@pytest.mark.parametrize("tier", ["none", "E", ""])
def test_no_tier_is_made_up(tier):
    with pytest.raises(InputError, match="tier"):
        open_judge(tier)


def test_what_a_program_prints_does_not_fill_the_judge(judge):
    verdict = judge.run("def solve(): print('x' * 3_000_000)", tests="assert solve() is None")
    assert verdict.passed
    assert len(verdict.output) == 1 << 16


@pytest.mark.parametrize(
    ("tests", "control"),
    [
        ("xs = [1, 2, 3]\nassert solve(xs) == sum(xs)", "empties its arguments and returns 0"),
        ("xs = [1, 2, 3]\nassert solve(xs) == len(xs)", "empties its arguments and returns 0"),
        ("assert all(a == b for a, b in zip(solve([1, 2]), [3]))", "returns an empty list"),
    ],
)
def test_tests_that_look_at_what_the_program_has_emptied_are_refused(judge, tests, control):
    reference = "def solve(xs): return sum(xs) if isinstance(xs, list) and len(xs) == 3 else [3]"
    reference = "def solve(xs): return len(xs)" if "len" in tests else reference
    (found,) = admit(judge, [Program(reference, tests, ("solve",))])
    assert found.refusal == f"a program that {control} passes"
