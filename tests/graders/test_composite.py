"""Weighted sums of other graders' columns."""

import json

import pytest

from rlbench.errors import InputError
from rlbench.graders import composite as module
from rlbench.graders.composite import composite
from rlbench.graders.length import length
from rlbench.graders.pattern import pattern
from rlbench.graders.roles import as_reward, load_grader
from rlbench.records import Candidate, Grader, Rewards, Sample, Scored, Unscored

POLITE = {"grader": "pattern", "column": "matched", "weight": 2, "options": {"pattern": "please"}}
WORDS = {"grader": "length", "column": "words", "weight": -0.01, "low": 3}


def candidates(*texts, **sample):
    return [Candidate(Sample("s", "p", **sample), text, index) for index, text in enumerate(texts)]


def part(grader, column, weight=1.0, **more):
    return {"grader": grader, "column": column, "weight": weight} | more


def test_the_total_is_the_weighted_sum_of_clipped_values():
    grader = composite(parts={"polite": POLITE, "words": WORDS})
    assert grader.columns == ("total", "polite", "words")
    assert grader.grade(candidates("please do", "a b c d e", "")) == [
        Scored({"total": 2 - 0.03, "polite": 1.0, "words": 3.0}, "polite 1, words 2 (counts as 3)"),
        Scored({"total": -0.05, "polite": 0.0, "words": 5.0}, "polite 0, words 5"),
        Scored({"total": -0.03, "polite": 0.0, "words": 3.0}, "polite 0, words 0 (counts as 3)"),
    ]
    assert grader.grade([]) == []


def test_high_bounds_what_a_part_can_give():
    grader = composite(parts={"long": part("length", "characters", low=1, high=4)})
    assert [judged.values["total"] for judged in grader.grade(candidates("", "ab", "abcdefgh"))] == [1, 2, 4]


def test_one_part_of_weight_one_is_that_grader():
    texts = candidates("a cat", "the cat sat", references=("the cat sat", "cats"))
    alone = load_grader("rouge", {"references": "best"}).grade(texts)
    whole = composite(parts={"overlap": part("rouge", "rougeL", options={"references": "best"})}).grade(texts)
    assert [judged.values["total"] for judged in whole] == [judged.values["rougeL"] for judged in alone]


def test_the_same_grader_twice():
    parts = {"yes": part("pattern", "matched", options={"pattern": "yes"})}
    parts |= {"no": part("pattern", "matched", -1.0, options={"pattern": "no"})}
    judged = composite(parts=parts).grade(candidates("yes", "no", "yes and no"))
    assert [one.values["total"] for one in judged] == [1, -1, 0]


def test_parts_that_share_a_grader_are_judged_together(monkeypatch):
    calls = []

    def counting(name, options):
        def grade(texts):
            calls.append(name)
            return [Scored({"a": 1.0, "b": 2.0}) for _ in texts]

        return Grader(name, 3, ("a", "b"), grade, "for tests", options)

    monkeypatch.setattr(module, "load_grader", counting)
    parts = {"one": part("x", "a"), "two": part("x", "b"), "other": part("x", "a", options={"k": 1})}
    grader = composite(parts=parts)
    assert grader.grade(candidates("t"))[0].values == {"total": 4, "one": 1, "two": 2, "other": 1}
    assert calls == ["x", "x"]
    assert grader.version == 1 + 3 + 3


def test_options_tell_everything_and_make_the_same_grader():
    grader = composite(parts={"polite": POLITE, "words": WORDS})
    assert grader.options["parts"]["polite"]["options"] == {"pattern": "please", "ignore_case": False}
    again = composite(**json.loads(json.dumps(grader.options)))
    assert again.options == grader.options
    texts = candidates("please do", "a b c d e")
    assert again.grade(texts) == grader.grade(texts)
    assert grader.version == 1 + pattern(pattern="x").version + length().version


def test_the_order_of_the_parts_does_not_change_the_total():
    parts = {f"p{n}": part("length", "words", weight) for n, weight in enumerate([0.1, 1e16, 0.7, -1e16, 0.2])}
    backwards = dict(reversed(parts.items()))
    text = candidates("one two three")
    assert composite(parts=parts).grade(text)[0].values == composite(parts=backwards).grade(text)[0].values


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        (part("rouge", "rouge1"), "part 'missing': the sample has no references"),
        (part("length", "tokens"), "part 'missing': length.tokens is nan"),
        (part("length", "tokens", low=0), "part 'missing': length.tokens is nan"),
        (part("correctness", "correct", 0.0), "part 'missing': the sample has no gold answer"),
    ],
)
def test_a_part_that_is_missing_makes_the_whole_missing(missing, reason):
    grader = composite(parts={"polite": POLITE, "missing": missing})
    assert grader.grade(candidates("please")) == [Unscored(reason)]
    with pytest.raises(InputError, match=reason):
        as_reward(grader, "total")(candidates("please"))


def test_as_a_reward_it_tells_its_parts():
    reward = as_reward(composite(parts={"polite": POLITE, "tokens": part("length", "tokens", -0.5)}), "total")
    measured = [Candidate(Sample("s", "p"), "please", 0, {"tokens": 3.0, "truncated": 0.0})]
    assert reward(measured) == Rewards([0.5], {"polite": [1.0], "tokens": [3.0]})


@pytest.mark.parametrize("options", [{"unsafe": True}, {"unsplittable": "weak"}])
def test_a_part_that_could_be_forged_is_no_reward(options):
    grader = composite(parts={"polite": POLITE, "tests": part("unit_tests", "passed", options=options)})
    with pytest.raises(InputError, match=rf"option 'parts.tests.options.{next(iter(options))}' is"):
        as_reward(grader, "total")
    as_reward(composite(parts={"tests": part("unit_tests", "passed")}), "total")


def test_stamps_and_admission_of_the_parts_are_kept(monkeypatch):
    def stamped(name, options):
        return Grader(
            name,
            1,
            ("a",),
            lambda texts: [Scored({"a": 1.0}, "", {"sandbox": name}) for _ in texts],
            "for tests",
            options,
            (lambda samples: [f"{name} cannot" * (one.sample_id == "s") for one in samples])
            if name != "free"
            else None,
        )

    monkeypatch.setattr(module, "load_grader", stamped)
    grader = composite(parts={"x": part("A", "a"), "y": part("none", "a"), "z": part("free", "a")})
    (judged,) = grader.grade(candidates("t"))
    assert judged.stamps == {"sandbox": "none"}
    with pytest.raises(InputError, match="its verdict is stamped sandbox: none"):
        as_reward(grader, "total")(candidates("t"))
    assert grader.admits([Sample("s", "p"), Sample("t", "p")]) == ["A cannot; none cannot", ""]
    assert composite(parts={"z": part("free", "a")}).admits is None


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "option 'parts'"),
        ({"a b": WORDS}, "identifiers, like 'polite', got 'a b'"),
        ({"total": WORDS}, "part 'total' has the name of another column"),
        ({"reason": WORDS}, "part 'reason' has the name of another column"),
        ({"a": {**WORDS, "column": "wrods"}}, "part 'a': column of grader 'length' 'wrods' does not exist"),
        ({"a": {**WORDS, "grader": "lenght"}}, "part 'a': grader 'lenght' does not exist"),
        ({"a": {**WORDS, "options": {"x": 1}}}, "part 'a': grader 'length': unknown option 'x'"),
        ({"a": {**WORDS, "weight": "1"}}, "option 'parts.a.weight'"),
        ({"a": {**WORDS, "weight": float("inf")}}, "option 'parts.a.weight'"),
        ({"a": {"grader": "length", "column": "words"}}, "option 'parts.a.weight' is missing"),
        ({"a": {**WORDS, "high": 3}}, "expected low below high, got low 3 and high 3"),
        ({"a": {**WORDS, "lo": 3}}, "unknown option 'parts.a.lo'"),
        ({"a": {**WORDS, "grader": "composite", "column": "total"}}, "expected a grader that is no composition"),
    ],
)
def test_wrong_parts(parts, message):
    with pytest.raises(InputError) as caught:
        composite(parts=parts)
    assert message in str(caught.value)
