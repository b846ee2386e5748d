"""Which functions of a program tests call, where nobody says so, and how tests are made ready."""

import builtins

import pytest

from rlbench.errors import InputError
from rlbench.sandbox.entry_points import free_names
from rlbench.sandbox.inside.splitting import split_tests
from rlbench.sandbox.prepared import prepare


@pytest.mark.parametrize(
    ("tests", "setup", "names"),
    [
        ("assert solve(3) == 7", "", ("solve",)),
        ("assert second(first(1)) == first(2)", "", ("second", "first")),
        ("assert first(1)\nassert second(2)", "", ("first", "second")),
        ("import math\nassert math.isclose(area(1), math.pi)", "", ("area",)),
        ("from math import pi as p, tau\nassert area(p, tau)", "", ("area",)),
        ("import os.path as where\nimport xml.dom\nassert f(where, xml)", "", ("f",)),
        ("for x in range(3):\n    assert f(x) == sorted([x])[0]", "", ("f",)),
        ("assert [f(y) for y in range(3)] == list(map(lambda z: z, [0]))", "", ("f",)),
        ("def check(candidate):\n    assert candidate(1)\ncheck(f)", "", ("f",)),
        ("class Near:\n    def __eq__(self, other): return True\nassert f(1) == Near()", "", ("f",)),
        ("assert f(TABLE)", "TABLE = [1]", ("f",)),
        ("assert f(Node(1))", "class Node:\n    def __init__(self, x): self.x = x", ("f",)),
        ("try:\n    f(1)\nexcept ValueError as error:\n    assert str(error)", "", ("f",)),
        ("with open('x') as file:\n    assert f(file)", "", ("f",)),
        ("match f(1):\n    case [a, *b]:\n        assert a, b\n    case str() as c:\n        assert c", "", ("f",)),
        ("assert (n := f(1)) and n > 0", "", ("f",)),
        ("x: int = f(1)\nassert x", "", ("f",)),
        ("assert f.attribute and f", "", ("f",)),
        ("if __name__ == '__main__':\n    assert f(1)", "", ("f",)),
        ("assert 1 == 1", "", ()),
        ("def f(*args, key=None, **more):\n    return args, key, more\nassert g(f)", "", ("g",)),
    ],
)
def test_names_that_nobody_defines_are_the_programs(tests, setup, names):
    assert free_names(tests, setup) == names


def test_a_name_that_the_setup_defines_is_not_the_programs():
    assert free_names("assert f(helper(1))", "def helper(x): return x") == ("f",)
    assert prepare("assert f(1)", "def f(x): ...", ("f",), 100).entry_points == ("f",)  # unless somebody says so


@pytest.mark.parametrize("name", ["sum", "max", "sorted", "len", "ValueError"])
def test_builtin_names_are_not_taken_from_the_program_unless_asked_for(name):
    assert hasattr(builtins, name)
    assert free_names(f"assert {name}([1]) == f(1)") == ("f",)
    assert prepare(f"assert {name}([1]) == f(1)", "", (name,), 100).entry_points == (name,)


def test_tests_are_made_ready_once():
    first = prepare("assert f(1) == 2\nassert g(2)", "x = 1", (), 1000)
    assert first is prepare("assert f(1) == 2\nassert g(2)", "x = 1", (), 1000)
    assert (first.entry_points, first.expected, first.reply_bytes) == (("f", "g"), 2, 1000)
    assert first.compiled()["tests"] == split_tests("assert f(1) == 2\nassert g(2)")[0]
    assert first.text()["tests"] == "assert f(1) == 2\nassert g(2)"
    assert first is not prepare("assert f(1) == 2\nassert g(2)", "x = 2", (), 1000)


@pytest.mark.parametrize("tests", ["assert", "x = \0", "(" * 500, "return 1"])
def test_tests_that_are_no_python_are_refused(tests):
    with pytest.raises(InputError, match="the tests are no Python"):
        prepare(tests, "", (), 1000)
    with pytest.raises(InputError, match="no Python"):
        prepare("assert f(1)", tests, (), 1000)


@pytest.mark.parametrize("name", ["", "a b", "f()", "1f", "a.b"])
def test_entry_points_are_names(name):
    with pytest.raises(InputError, match="expected names of functions"):
        prepare("assert f(1)", "", (name,), 1000)
