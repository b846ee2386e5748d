"""Splitting tests into checks and counting them: every assertion on its own, and nothing that is not an assertion."""

import ast
import textwrap

import pytest

from rlbench.sandbox.inside.checks import run_checks
from rlbench.sandbox.inside.splitting import split_tests


def run(tests, **names):
    """Run tests as their process does; `solve` doubles unless given."""
    code, expected = split_tests(textwrap.dedent(tests))
    namespace = {"__name__": "tests", "solve": lambda x: 2 * x, **names}
    return run_checks(code, expected, namespace)


def counts(tests, **names):
    tally = run(tests, **names)
    return tally.passed, tally.total


def test_every_assertion_is_counted_and_a_failing_one_stops_nothing():
    tests = "assert solve(1) == 2\nassert solve(2) == 5\nassert solve(3) == 6\nassert solve(4) == 9"
    tally = run(tests)
    assert (tally.passed, tally.total, tally.broken) == (2, 4, True)
    assert tally.problem == "the assertion in line 2 of the tests does not hold"


def test_the_message_of_the_first_failure_is_kept():
    tally = run("assert solve(1) == 3, f'got {solve(1)}'\nassert solve(1) == 4, 'later'")
    assert tally.problem == "the assertion in line 1 of the tests does not hold: got 2"
    long = run("assert False, 'x' * 10_000")
    assert len(long.problem) < 300

    class Silent:
        def __str__(self):
            raise ValueError

    assert run("assert False, silent", silent=Silent()).problem.endswith(": ?")


def test_a_message_is_made_only_where_an_assertion_fails():
    assert counts("assert solve(1) == 2, 1 / 0") == (1, 1)
    tally = run("assert solve(1) == 3, 1 / 0\nassert solve(1) == 2")
    assert (tally.passed, tally.total) == (1, 2)
    assert tally.problem.startswith("ZeroDivisionError")


def test_an_exception_in_an_assertion_is_a_problem_of_that_one_only():
    tally = run("assert 1 / 0\nassert solve(1) == 2")
    assert (tally.passed, tally.total, tally.broken) == (1, 2, False)
    assert tally.problem == "ZeroDivisionError in line 1 of the tests: division by zero"


def test_an_exception_outside_of_assertions_ends_the_tests():
    tally = run("assert solve(1) == 2\nsolve(1) / 0\nassert solve(2) == 4\nassert solve(3) == 6")
    assert (tally.passed, tally.total, tally.broken) == (1, 3, False)
    assert tally.problem == "ZeroDivisionError: division by zero"


def test_an_assertion_error_of_the_program_breaks_a_check():
    def solve(x):
        raise AssertionError("refused")

    tally = run("assert solve(1) == 2", solve=solve)
    assert (tally.passed, tally.total, tally.broken) == (0, 1, True)


def test_loops_count_every_turn():
    assert counts("for i in range(5):\n    assert solve(i) == 2 * i") == (5, 5)
    assert counts("for i in range(5):\n    assert solve(i) == 4") == (1, 5)
    assert counts("i = 0\nwhile i < 3:\n    assert solve(i) == 2 * i\n    i += 1") == (3, 3)
    assert counts("for i in []:\n    assert solve(i)\nassert solve(1) == 2") == (1, 1)


def test_functions_count_every_call():
    tests = """
        def check(candidate):
            assert candidate(1) == 2
            assert candidate(2) == 4, "two"
            assert candidate(3) == 0
        check(solve)
        check(solve)
    """
    assert counts(tests) == (4, 6)
    assert counts("def check(f):\n    def inner():\n        assert f(1) == 2\n    inner()\ncheck(solve)") == (1, 1)
    assert counts("def gen():\n    assert solve(1) == 2\n    yield 1\nlist(gen())") == (1, 1)


def test_an_assertion_that_is_not_reached_counts_where_the_tests_are_cut_short():
    assert counts("if solve(1) == 2:\n    assert True\nelse:\n    assert False") == (1, 1)
    assert counts("def check():\n    assert solve(1) == 2\nassert solve(2) == 4") == (1, 1)
    assert counts("assert solve(1) == 2\n1 / 0\nassert solve(2) == 4\nassert solve(3) == 6") == (1, 3)


def test_where_no_assertion_is_reached_none_holds():
    assert counts("def check():\n    assert solve(1) == 2") == (0, 1)
    assert counts("def check():\n    return\n    assert solve(1) == 2\ncheck()") == (0, 1)
    assert counts("for x in []:\n    assert x\n    assert solve(x)") == (0, 2)


def test_assertions_that_somebody_waits_for_are_left_alone():
    caught = """
        try:
            assert solve(1) == 3
        except AssertionError:
            seen = True
        assert seen
    """
    assert counts(caught) == (1, 1)
    suppressed = """
        import contextlib
        with contextlib.suppress(AssertionError):
            assert solve(1) == 3
            seen = False
        assert solve(1) == 2
    """
    assert counts(suppressed) == (1, 1)
    tally = run("with open('/dev/null'):\n    assert solve(1) == 3")
    assert (tally.passed, tally.broken) == (0, True)


def test_classes_are_left_alone():
    assert split_tests("class A:\n    def check(self):\n        assert False\nA().check()")[1] == 0
    assert split_tests("assert True\nclass A:\n    assert True\ntry:\n    assert 1\nfinally:\n    assert 2")[1] == 1


UNITTEST = """
    import unittest
    class Tests(unittest.TestCase):
        def setUp(self):
            self.one = 1
        def test_right(self):
            self.assertEqual(solve(self.one), 2)
        def test_wrong(self):
            self.assertEqual(solve(self.one), 3)
        def test_error(self):
            solve(None)
        @unittest.skip("not today")
        def test_skipped(self):
            pass
        def helper(self):
            raise ValueError
    class Others(unittest.TestCase):
        def test_raises(self):
            with self.assertRaises(TypeError):
                solve(None)
"""


def test_unittest_classes_count_by_method():
    tally = run(UNITTEST)
    assert (tally.passed, tally.total, tally.broken) == (2, 5, True)
    assert "Tests.test_wrong" in tally.problem
    assert counts("import unittest\nfrom unittest import TestCase\nassert solve(1) == 2") == (1, 1)


def test_an_expected_failure_that_does_not_fail_is_no_success():
    tests = """
        import unittest
        class Tests(unittest.TestCase):
            @unittest.expectedFailure
            def test_it(self):
                self.assertEqual(solve(1), {})
    """
    assert counts(tests.replace("{}", "3")) == (1, 1)
    assert counts(tests.replace("{}", "2")) == (0, 1)


def test_functions_called_test_are_run_where_nothing_else_was():
    tests = "def test_a():\n    assert solve(1) == 2\ndef test_b():\n    assert solve(1) == 3\ndef other():\n    1 / 0"
    assert counts(tests) == (1, 2)
    assert counts(tests + "\ntest_a()") == (1, 1)  # run by hand: not again
    assert counts("def test_raises():\n    try:\n        solve(None)\n    except TypeError:\n        pass") == (1, 1)
    tally = run("def test_a():\n    solve(None)\ndef test_b():\n    assert solve(1) == 2")
    assert tally.passed == 0
    assert tally.problem.startswith("TypeError")


def test_main_blocks_do_not_run():
    assert counts("assert solve(1) == 2\nif __name__ == '__main__':\n    import unittest\n    unittest.main()") == (
        1,
        1,
    )


def test_tests_that_check_in_their_own_way_hold_unless_they_raise():
    assert counts("if solve(1) != 2:\n    raise ValueError") == (1, 1)
    tally = run("if solve(1) != 3:\n    raise ValueError('not 3')")
    assert (tally.passed, tally.total, tally.broken, tally.problem) == (0, 1, False, "ValueError: not 3")


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_the_whole_run_is_let_through(error):
    def solve(x):
        raise error

    with pytest.raises(error):
        run("assert solve(1) == 2\nassert True", solve=solve)


def test_splitting_keeps_lines_and_refuses_what_is_no_python():
    code, count = split_tests("\n\nassert 1\n")
    assert (code.co_filename, count) == ("tests.py", 1)
    for wrong in ("assert", "def f(:", "x = \0"):
        with pytest.raises((SyntaxError, ValueError)):
            split_tests(wrong)


def test_tests_without_assertions_are_compiled_as_they_are():
    source = "async def f():\n    return 1\nx = [i for i in range(3)]\ny = lambda: 2\n"
    code, count = split_tests(source)
    plain = compile(ast.parse(source), "tests.py", "exec", dont_inherit=True)
    assert (code.co_code, code.co_names, count) == (plain.co_code, plain.co_names, 0)


def test_names_that_the_tests_use_for_themselves_change_no_count():
    tests = "passed = total = 0\nException = None\nassert solve(1) == 2\nassert 1 / 0\nassert solve(2) == 4"
    assert counts(tests) == (2, 3)
