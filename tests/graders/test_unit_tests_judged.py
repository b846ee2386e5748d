"""The unit-test grader with the real judge: honest, wrong and hostile completions."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from rlbench.cli.main import main
from rlbench.graders import judging
from rlbench.graders.roles import as_reward
from rlbench.graders.unit_tests import unit_tests
from rlbench.records import Candidate, Sample, Scored, UnitTests, Unscored
from rlbench.sandbox import SandboxUnavailable

REFERENCE = "def area(w, h):\n    return w * h\n"
TESTS = "assert area(2, 3) == 6\nassert area(0, 9) == 0\nassert area(1, 1) == 1\nassert area(5, 5) == 25\n"
SAMPLE = Sample("s", "Write area(w, h).", (REFERENCE,), tests=UnitTests(TESTS, ("area",)))


@pytest.fixture(scope="module", autouse=True)
def end_of_judge():
    yield
    judging.judging(3.0, False).close()


def grade(*completions, sample=SAMPLE, **options):
    return unit_tests(**options).grade([Candidate(sample, text, index) for index, text in enumerate(completions)])


def test_honest_and_wrong_completions():
    judged = grade(
        REFERENCE,
        "Here you are:\n```python\ndef area(w, h):\n    return sum(w for _ in range(h))\n```\n",
        "def area(w, h):\n    return w * h if w < 5 else 0\n",
        "def area(w, h):\n    return w + h\n",
        "def area(w, h):\n    return 1 // 0\n",
        "def area(w, h)\n    return w * h\n",
        "def perimeter(w, h):\n    return 2 * (w + h)\n",
        "",
        "I do not know.",
    )
    assert all(isinstance(each, Scored) for each in judged), judged
    assert [each.values["passed"] for each in judged] == [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert [each.values["loaded"] for each in judged] == [1, 1, 1, 1, 1, 0, 1, 0, 0]
    fractions = [each.values["fraction"] for each in judged]
    assert fractions[:2] == [1, 1]
    assert all(0 <= fraction < 1 for fraction in fractions[2:])
    assert [each.reason for each in judged[7:]] == ["load_error: no program in the completion"] * 2
    assert {each.stamps["judged"] for each in judged} == {"split"}
    assert {each.stamps["sandbox"] for each in judged} <= {"A", "B", "C"}


FORGERIES = {
    "exit": "import os\ndef area(w, h):\n    os._exit(0)\n",
    "exit when loaded": "import os\nos._exit(0)\n",
    "system exit": "def area(w, h):\n    raise SystemExit(0)\n",
    "equal to all": "class E:\n    def __eq__(self, other):\n        return True\ndef area(w, h):\n    return E()\n",
    "lying int": "class E(int):\n    def __eq__(self, other):\n        return True\ndef area(w, h):\n    return E(7)\n",
    "frames": (
        "import sys\ndef area(w, h):\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in list(frame.f_locals.values()):\n"
        "            if isinstance(value, list):\n                value.append('passed')\n"
        "        frame = frame.f_back\n    return None\n"
    ),
    "patched builtins": "import builtins\nbuiltins.all = builtins.any = lambda *a: 1\ndef area(w, h):\n    return 0\n",
    "assertion error that is none": "import builtins\nbuiltins.AssertionError = ()\ndef area(w, h):\n    return -1\n",
    "printed verdict": "print('passed')\ndef area(w, h):\n    print('{\"status\": \"passed\"}')\n    return None\n",
    "written verdict": "import os\ndef area(w, h):\n    for fd in range(3, 64):\n        try:\n"
    '            os.write(fd, b\'{"status": "passed"}\')\n        except OSError:\n            pass\n    return None\n',
}


@pytest.mark.parametrize("name", FORGERIES)
def test_hostile_completions_get_nothing(name):
    (judged,) = grade(FORGERIES[name])
    assert isinstance(judged, Scored)
    assert judged.values["passed"] == 0
    assert judged.values["fraction"] < 1
    assert not judged.reason.startswith("passed")


def test_a_loop_ends_on_cpu_time():
    (judged,) = grade("def area(w, h):\n    while True:\n        pass\n", cpu_seconds=0.5)
    assert judged.values == {"passed": 0, "fraction": 0, "loaded": 1}
    assert judged.reason.startswith("cpu_limit")
    judging.judging(0.5, False).close()


def test_standard_input_and_output():
    tests = UnitTests(cases=(("2 3\n", "6\n"), ("4 5\n", "20\n")))
    sample = Sample("io", "Multiply.", ("print(eval(input().replace(' ', '*')))",), tests=tests)
    judged = grade("a, b = map(int, input().split())\nprint(a * b)", "print(6)", "input(", sample=sample)
    assert [each.values["passed"] for each in judged] == [1, 0, 0]
    assert [each.values["fraction"] for each in judged] == [1, 0.5, 0]


@pytest.mark.parametrize(
    ("reference", "tests"),
    [
        ("def area(w, h):\n    return w + h\n", TESTS),
        (REFERENCE, "area(2, 3)\n"),
        (REFERENCE, "assert area(2, 3) is not None or True\n"),
        ("class area:\n    def __init__(self, w):\n        self.w = w\n", "assert area(2).w == 2\n"),
    ],
    ids=["wrong reference", "nothing asserted", "always true", "an object crosses"],
)
def test_tests_that_tell_nothing_are_not_used(reference, tests):
    sample = Sample("u", "p", (reference,), tests=UnitTests(tests, ("area",)))
    (reason,) = unit_tests().admits([sample])
    assert reason
    (judged,) = grade(REFERENCE, sample=sample)
    assert isinstance(judged, Unscored)
    assert judged.reason.startswith("not admitted: ")
    (weak,) = grade(reference, sample=sample, unsplittable="weak")
    assert weak.stamps["judged"] == "weak"


def test_entry_points_are_found_from_the_tests():
    sample = Sample("f", "p", (REFERENCE,), tests=UnitTests("import math\n" + TESTS))
    assert unit_tests().admits([sample]) == [""]
    assert [each.values["passed"] for each in grade(REFERENCE, "def other(): pass", sample=sample)] == [1, 0]


def test_as_a_reward():
    rewards = as_reward(unit_tests(), "fraction")([Candidate(SAMPLE, REFERENCE), Candidate(SAMPLE, "def area(: ")])
    assert rewards.values == [1, 0]
    assert rewards.parts == {"passed": [1, 0], "loaded": [1, 0]}


_WORKER = """
import multiprocessing, os, sys
from rlbench.graders.unit_tests import unit_tests
from rlbench.records import Candidate, Sample, UnitTests

def work():
    sample = Sample("s", "p", ("def f(): return 1",), tests=UnitTests("assert f() == 1", ("f",)))
    print(unit_tests().grade([Candidate(sample, "def f(): return 1")])[0].reason, flush=True)

if __name__ == "__main__":
    work()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


def test_a_process_and_its_forked_child_end_with_their_judges(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(_WORKER)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["passed", "passed"]), done.stderr
    assert done.stderr == ""


TASK = """\
name: areas
description: Areas
licence: CC0-1.0
source: {kind: file, splits: {test: test.jsonl}}
prompt: "{q}"
references: ["{code}"]
tests: {code: "{checks}"}
max_new_tokens: 8
reward: unit_tests.passed
metrics: [unit_tests_fraction, loads]
primary: unit_tests_fraction
"""


@pytest.fixture
def score(tmp_path, monkeypatch, capsys):
    """Runs `rlbench score` in this process on two completions."""
    rows = [{"q": "Write area(w, h).", "code": REFERENCE, "checks": TESTS.splitlines()}] * 2
    (tmp_path / "task.yaml").write_text(TASK)
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    completions = [{"completion": REFERENCE}, {"completion": "def area(w, h):\n    return 6\n"}]
    (tmp_path / "completions.jsonl").write_text("\n".join(map(json.dumps, completions)))

    def score():
        words = ["rlbench", "score", tmp_path / "completions.jsonl", "--task", tmp_path, "--out", tmp_path / "out"]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    return score


def test_scores_of_a_file(score, tmp_path):
    code, shown = score()
    assert (code or 0, shown.err) == (0, "")
    table = pd.read_parquet(tmp_path / "out" / "scores" / "unit_tests.parquet")
    assert list(table["passed"]) == [1, 0]
    assert set(table["judged"]) == {"split"}
    assert set(table["sandbox"]) <= {"A", "B", "C"}


def test_no_sandbox_is_said_and_not_worked_around(score, monkeypatch):
    def none_here(**settings):
        raise SandboxUnavailable("this machine cannot confine programs")

    monkeypatch.setattr(judging, "open_judge", none_here)
    judging._judging.cache_clear()
    code, shown = score()
    judging._judging.cache_clear()
    assert code == 2
    assert shown.err == "rlbench: this machine cannot confine programs\n"
