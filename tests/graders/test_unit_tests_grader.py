"""The unit-test grader around the judge: what is asked, how often, and what becomes of the answers.

The judge is replaced by one that answers by rule, so that failures of the judge itself can be had at will;
test_unit_tests_judged.py uses the real one.
"""

import pytest

from rlbench.errors import InputError
from rlbench.graders import judging
from rlbench.graders.roles import as_reward
from rlbench.graders.unit_tests import REASON_LENGTH, program, unit_tests
from rlbench.records import Candidate, Grader, Sample, Scored, UnitTests, Unscored
from rlbench.sandbox import Program, Verdict
from rlbench.sandbox.admission import Admission

TESTS = UnitTests("assert solve(1) == 2", ("solve",))
SAMPLE = Sample("s", "p", ("good",), tests=TESTS)
ANSWERS = {
    "good": ("passed", "", 4, 4),
    "half": ("failed", "assert solve(1) == 2", 2, 4),
    "crash": ("error", "ValueError: no", 1, 4),
    "syntax": ("load_error", "SyntaxError: invalid syntax", 0, 0),
    "slow": ("wall_limit", "no answer", 1, 4),
    "loop": ("cpu_limit", "3 s", 3, 4),
    "broken": ("infra_error", "the zygote is gone", 0, 0),
    "loud": ("error", "Boom\x1b[2J\n\ud800" + "x" * 500, 0, 4),
}


class Judge:
    """Answers by the words in a program's source and remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed = True

    def run_many(self, programs, weak=False):
        self.asked.append(([each.source for each in programs], weak))
        return [self.answer(each.source, weak) for each in programs]

    def answer(self, source, weak):
        word = next(word for word in ANSWERS if word in source)
        status, reason, passed, total = ANSWERS[word]
        return Verdict(status, reason, passed, total, "printed", tier="B", weak=weak)


@pytest.fixture
def judge(monkeypatch):
    made = Judge()
    settings = []

    def open_judge(**keywords):
        settings.append(keywords)
        return made

    def admit(judge, programs):
        made.admitted.append([each.source for each in programs])
        return [
            Admission("" if "good" in each.source else f"the reference is no good: {each.source}") for each in programs
        ]

    made.settings, made.admitted = settings, []
    monkeypatch.setattr(judging, "open_judge", open_judge)
    monkeypatch.setattr(judging, "admit", admit)
    monkeypatch.setattr("rlbench.graders.unit_tests.extract_code", lambda completion, **starter: completion)
    judging._judging.cache_clear()
    yield made
    judging._judging.cache_clear()


def candidates(*completions, sample=SAMPLE):
    return [Candidate(sample, text, index) for index, text in enumerate(completions)]


def asked(judge):
    return [sources for sources, _ in judge.asked]


def test_columns_by_verdict(judge):
    judged = unit_tests().grade(candidates("good", "half", "crash", "syntax", "slow", "loop"))
    assert [tuple(each.values.values()) for each in judged] == [
        (1, 1, 1),
        (0, 0.5, 1),
        (0, 0.25, 1),
        (0, 0, 0),
        (0, 0, 1),
        (0, 0, 1),
    ]
    assert [each.reason for each in judged][:4] == [
        "passed",
        "failed: assert solve(1) == 2",
        "error: ValueError: no",
        "load_error: SyntaxError: invalid syntax",
    ]
    assert all(each.stamps == {"sandbox": "B", "judged": "split"} for each in judged)
    assert all(tuple(each.values) == unit_tests().columns for each in judged)


def test_no_program_is_wrong_whatever_the_judge_says(judge):
    sample = Sample("s", "p", ("good",), tests=UnitTests(cases=(("", ""),)))
    judge.answer = lambda source, weak: Verdict("passed", "", 1, 1, tier="A")
    (judged,) = unit_tests().grade(candidates(" ", sample=sample))
    assert judged.values == {"passed": 0, "fraction": 0, "loaded": 0}
    assert judged.reason == "load_error: no program in the completion"


def test_a_failure_of_the_judge_is_no_failure_of_the_program(judge):
    assert unit_tests().grade(candidates("broken")) == [Unscored("infra_error: the zygote is gone")]


def test_reasons_are_one_short_printable_line(judge):
    (judged,) = unit_tests().grade(candidates("loud"))
    assert len(judged.reason) == REASON_LENGTH
    assert judged.reason.isprintable()
    assert judged.reason.startswith("error: Boom [2J xxx")
    judged.reason.encode()


def test_one_question_per_call_and_each_program_once(judge):
    grader = unit_tests()
    first = grader.grade(candidates("good", "half", "good", "half", "crash"))
    assert asked(judge) == [["good", "half", "crash"]]
    assert [each.values["fraction"] for each in first] == [1, 0.5, 1, 0.5, 0.25]
    again = unit_tests().grade(candidates("crash", "good", "loop"))
    assert asked(judge)[1:] == [["loop"]]
    assert again[:2] == [first[4], first[0]]
    assert len(judge.settings) == 1
    assert judge.admitted == [["good"]]


def test_other_tests_are_another_program(judge):
    other = Sample("t", "p", ("good",), tests=UnitTests("assert solve(2) == 3", ("solve",)))
    unit_tests().grade([*candidates("half"), *candidates("half", sample=other)])
    assert asked(judge) == [["half", "half"]]


@pytest.mark.parametrize("word", ["broken", "slow"])
def test_what_may_change_is_asked_again(judge, word):
    grader = unit_tests()
    grader.grade(candidates(word, word))
    grader.grade(candidates(word))
    assert asked(judge) == [[word], [word]]


def test_the_memory_is_bounded_and_forgets_the_oldest(judge, monkeypatch):
    monkeypatch.setattr(judging, "REMEMBERED", 3)
    grader = unit_tests()
    grader.grade(candidates("good 1", "good 2", "good 3"))
    grader.grade(candidates("good 1", "good 4"))  # 1 is used again, so that 2 is the oldest
    grader.grade(candidates("good 1", "good 3", "good 4"))
    grader.grade(candidates("good 2"))
    assert asked(judge) == [["good 1", "good 2", "good 3"], ["good 4"], ["good 2"]]
    (memory,) = [judging.judging(3.0, False)._verdicts]
    assert len(memory) == 3
    assert all(verdict.output == "" for verdict in memory._answers.values())


def test_the_judge_is_opened_when_it_is_needed_and_ends(judge):
    grader = unit_tests(cpu_seconds=2)
    assert grader.grade([]) == []
    assert judge.settings == []
    grader.grade(candidates("good"))
    (settings,) = judge.settings
    assert (settings["limits"].cpu_seconds, settings["limits"].wall_seconds, settings["unsafe"]) == (2, 6, False)
    judging.judging(2.0, False).close()
    assert judge.closed


def test_samples_that_are_not_admitted_are_unscored(judge):
    bad = Sample("b", "p", ("bad",), tests=TESTS)
    without = Sample("w", "p", tests=TESTS)
    none = Sample("n", "p", ("good",))
    grader = unit_tests()
    samples = [SAMPLE, bad, without, none]
    reasons = ["", "the reference is no good: bad", "no reference solution to check the tests with", "no unit tests"]
    reasons[3] = "the sample has no unit tests"
    assert list(grader.admits(samples)) == reasons
    judged = grader.grade([Candidate(sample, "good") for sample in samples])
    assert isinstance(judged[0], Scored)
    assert judged[1:] == [Unscored(f"not admitted: {reason}") for reason in reasons[1:]]
    assert asked(judge) == [["good"]]


def test_a_failure_of_the_judge_excludes_nothing(judge, monkeypatch):
    answers = [Admission("the judge failed: gone", decided=False), Admission()]
    monkeypatch.setattr(judging, "admit", lambda judge, programs: [answers.pop(0) for _ in programs])
    grader = unit_tests(unsplittable="weak")
    assert grader.grade(candidates("good")) == [Unscored("the judge failed: gone")]
    assert isinstance(grader.grade(candidates("good"))[0], Scored)
    other = Sample("o", "p", ("good other",), tests=TESTS)
    answers += [Admission("gone again", decided=False)]
    with pytest.raises(InputError, match="tests of sample 'o' could not be checked: gone again; run the same command"):
        grader.admits([other])


def test_samples_that_are_not_admitted_may_run_weakly(judge):
    bad = Sample("b", "p", ("bad",), tests=TESTS)
    none = Sample("n", "p", ("good",))
    judged = unit_tests(unsplittable="weak").grade([Candidate(sample, "half") for sample in (bad, SAMPLE, none)])
    assert judge.asked == [(["half"], False), (["half"], True)]
    assert judged[0].stamps == {"sandbox": "B", "judged": "weak"}
    assert judged[1].stamps == {"sandbox": "B", "judged": "split"}
    assert judged[2] == Unscored("not admitted: the sample has no unit tests")


def test_tests_without_a_reference_may_be_trusted(judge):
    without = Sample("w", "p", tests=TESTS)
    grader = unit_tests(trust_tests=True)
    assert grader.admits([without]) == [""]
    assert isinstance(grader.grade(candidates("half", sample=without))[0], Scored)
    assert grader.admits([Sample("b", "p", ("bad",), tests=TESTS)]) == ["the reference is no good: bad"]


def test_the_program_of_a_completion():
    sample = Sample("s", "p", tests=UnitTests("assert twice(1) == 2", setup="import math"))
    completion = "Here it is:\n```python\ndef twice(x):\n    return 2 * x\n```\nDone."
    made = program(sample, completion)
    assert made.source.strip() == "def twice(x):\n    return 2 * x"
    assert (made.tests, made.setup, made.entry_points) == (
        "assert twice(1) == 2",
        "import math",
        (),
    )  # the judge finds the name
    continued = Sample("s", "p", tests=UnitTests("assert f(1) == 2", starter="def f(x):\n"))
    assert program(continued, "    return 2 * x\n").source.strip() == "def f(x):\n    return 2 * x"
    cases = program(Sample("s", "p", tests=UnitTests(cases=(("1\n", "2\n"),))), "print(2)")
    assert cases == Program("print(2)", cases=(("1\n", "2\n"),))
    with pytest.raises(InputError, match="sample 'x' has no unit tests; expected `tests:`"):
        program(Sample("x", "p"), "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cpu_seconds": 0}, "option 'cpu_seconds'"),
        ({"cpu_seconds": 601}, "option 'cpu_seconds'"),
        ({"cpu_seconds": float("nan")}, "option 'cpu_seconds'"),
        ({"unsplittable": "skip"}, "option 'unsplittable'"),
        ({"unsafe": "yes"}, "option 'unsafe'"),
        ({"time": 3}, "unknown option 'time' (options: cpu_seconds, trust_tests, unsafe, unsplittable)"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError) as caught:
        unit_tests(**options)
    assert message in str(caught.value)


def test_options_are_recorded():
    assert unit_tests(cpu_seconds=1).options == {
        "cpu_seconds": 1,
        "unsplittable": "exclude",
        "trust_tests": False,
        "unsafe": False,
    }


@pytest.mark.parametrize("options", [{"unsafe": True}, {"unsplittable": "weak"}])
def test_a_reward_refuses_what_can_be_forged(options):
    with pytest.raises(InputError, match=rf"reward unit_tests.passed: option '{next(iter(options))}' is .*forge"):
        as_reward(unit_tests(**options), "passed")
    as_reward(unit_tests(trust_tests=True), "fraction")


@pytest.mark.parametrize("stamps", [{"sandbox": "none"}, {"judged": "weak", "sandbox": "A"}])
def test_a_reward_refuses_verdicts_that_could_be_forged(stamps):
    grader = Grader("mine", 1, ("good",), lambda each: [Scored({"good": 1.0}, "", stamps) for _ in each], "for tests")
    with pytest.raises(InputError, match=r"sample 's': its verdict is stamped (sandbox: none|judged: weak)"):
        as_reward(grader, "good")(candidates("x"))


def test_as_a_reward(judge):
    rewards = as_reward(unit_tests(), "fraction")(candidates("good", "half", "syntax"))
    assert rewards.values == [1, 0.5, 0]
    assert rewards.parts == {"passed": [1, 0, 0], "loaded": [1, 1, 0]}
