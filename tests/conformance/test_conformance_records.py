"""Verdicts, exit codes and JSON, without any trainer."""

import json

import pytest

from rlbench.conformance.axis import EXIT_CODES, Check, Difference, axis, from_json, to_json, worst
from rlbench.conformance.table import render
from rlbench.conformance.trainers import TRAINERS, Trainer, conform
from rlbench.errors import InputError

EQUAL = Difference(1e-7, 1e-7)
SAME = axis("beta", 0.04, 0.04)
OTHER = axis("aggregation", "sequence_mean", "token_mean", "weights")
UNKNOWN = axis("ratio", "token", None)


def make(axes, explained=EQUAL):
    return Check("grpo", {"beta": 0.04}, {}, tuple(axes), EQUAL, explained, ("ratio",), ("a note",))


def raises(options, ours):
    raise TypeError("no such argument\nand more")


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (make([SAME]), "agrees"),
        (make([SAME, OTHER]), "differs"),
        (make([SAME, UNKNOWN]), "cannot tell"),
        (make([OTHER, UNKNOWN], explained=None), "differs"),
        (make([SAME], explained=None), "cannot tell"),
        (make([SAME], explained=Difference(1e-7, 2e-5)), "cannot tell"),
        (make([SAME], explained=Difference(2e-5, 1e-7)), "cannot tell"),
    ],
)
def test_a_check_agrees_only_if_every_axis_does_and_the_numbers_are_explained(check, verdict):
    assert check.verdict == verdict


def test_numbers_agree_within_what_a_probe_can_locate():
    assert axis("clip_low", 0.2, 0.2000001).verdict == "agrees"
    assert axis("clip_low", 0.2, 0.201).verdict == "differs"
    assert axis("clip_low", 0.2, "off").verdict == "differs"
    assert axis("beta", 0.0, 1e-9).verdict == "differs"


def test_over_several_algorithms_a_difference_is_the_worst():
    agrees, differs, unclear = make([SAME]), make([OTHER]), make([UNKNOWN])
    assert EXIT_CODES[worst([agrees, agrees])] == 0
    assert EXIT_CODES[worst([agrees, unclear])] == 3
    assert EXIT_CODES[worst([unclear, differs, agrees])] == 1


def test_json_gives_back_what_was_written():
    checks = [make([SAME, OTHER, UNKNOWN]), make([SAME], explained=None)]
    data = json.loads(json.dumps(to_json("trl", "1.16.0", checks)))
    assert from_json(data) == checks
    assert (data["schema_version"], data["trainer"], data["trainer_version"]) == (1, "trl", "1.16.0")
    assert data["verdict"] == "differs"
    assert [row["verdict"] for row in data["checks"]] == ["differs", "cannot tell"]


def test_the_table_names_axes_that_cannot_be_set_alike_and_numbers_that_are_not_explained():
    text = render("trl", "1.16.0", [make([OTHER], explained=Difference(0.5, 0.1))])
    assert "cannot be set alike in ours: ratio" in text
    assert "do not explain their numbers" in text
    assert "note: a note" in text


def test_a_trainer_whose_loss_cannot_be_run_tells_nothing(monkeypatch):
    place = f"{__name__}:raises"
    monkeypatch.setitem(TRAINERS, "other", Trainer(f"{__name__}:version", {"grpo": place}, {"grpo": frozenset()}))
    _, [check] = conform("other", "grpo")
    assert check.verdict == "cannot tell"
    assert "TypeError: no such argument" in check.axes[0].evidence
    assert "not computed" in render("other", "2", [check])
    assert from_json(to_json("other", "2", [check])) == [check]


def version():
    return "2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tlr",), "did you mean 'trl'"),
        (("trl", "gpro"), "algorithm of trl 'gpro' does not exist"),
        (("trl", None, {"beta": 1}), "name it with --algorithm"),
    ],
)
def test_unknown_names_are_told_before_anything_is_imported(arguments, message):
    with pytest.raises(InputError, match=message):
        conform(*arguments)
