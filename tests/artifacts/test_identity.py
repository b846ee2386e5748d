"""Fingerprints: everything that shapes a result counts, and nothing else."""

import random
from dataclasses import replace

import pytest

from rlbench.artifacts.files import hash_json
from rlbench.artifacts.identity import STAGES, Identity

BASE = Identity("prepare", "base", {}, {"hidden_size": 16}, {"stage": 1})
TRAIN = Identity(
    "train", "arithmetic.grpo.s0", {"sft": BASE}, {"seed": 0, "options": {"beta": 0.1}}, {"stage": 1, "algorithm": 1}
)


@pytest.mark.parametrize(
    "changed",
    [
        replace(TRAIN, stage="sample"),
        replace(TRAIN, config={"seed": 1, "options": {"beta": 0.1}}),
        replace(TRAIN, config={"seed": 0, "options": {"beta": 0.2}}),
        replace(TRAIN, config={"seed": 0, "options": {"beta": 0.1}, "more": None}),
        replace(TRAIN, config={"seed": "0", "options": {"beta": 0.1}}),
        replace(TRAIN, versions={"stage": 1, "algorithm": 2}),
        replace(TRAIN, inputs={}),
        replace(TRAIN, inputs={"reference": BASE}),
        replace(TRAIN, inputs={"sft": replace(BASE, config={"hidden_size": 32})}),
        replace(TRAIN, inputs={"sft": replace(BASE, versions={"stage": 2})}),
    ],
)
def test_what_shapes_a_result_changes_its_fingerprint(changed):
    assert changed.fingerprint != TRAIN.fingerprint


def test_names_are_only_labels():
    assert replace(TRAIN, name="other").fingerprint == TRAIN.fingerprint
    assert replace(TRAIN, inputs={"sft": replace(BASE, name="other")}).fingerprint == TRAIN.fingerprint


def test_the_order_of_keys_does_not_count():
    turned = replace(TRAIN, config={"options": {"beta": 0.1}, "seed": 0}, versions={"algorithm": 1, "stage": 1})
    assert turned.fingerprint == TRAIN.fingerprint


def test_a_change_far_up_reaches_everything_made_from_it():
    chain = [BASE]
    other = [replace(BASE, config={"hidden_size": 17})]
    for stage in STAGES[1:]:
        chain.append(Identity(stage, stage, {"input": chain[-1]}))
        other.append(Identity(stage, stage, {"input": other[-1]}))
    assert not {each.fingerprint for each in chain} & {each.fingerprint for each in other}


def test_folders_carry_stage_name_and_fingerprint():
    place = TRAIN.place
    assert place.folder.as_posix() == f"train/arithmetic.grpo.s0-{TRAIN.fingerprint[:12]}"
    assert place.partial.as_posix() == f"train/.arithmetic.grpo.s0-{TRAIN.fingerprint[:12]}.partial"


def test_json_hashes_tell_apart_what_json_tells_apart():
    values = [None, True, 1, 1.5, "1", [1], ["1"], {"a": 1}, {"a": [1]}, {"a": "1"}, "", [], {}, [[]], "ä", "a\u0308"]
    assert len({hash_json(value) for value in values}) == len(values)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            hash_json({"x": bad})


def test_json_hashes_do_not_depend_on_the_order_of_keys():
    rng = random.Random(0)
    items = [(str(n), n) for n in range(50)]
    expected = hash_json(dict(items))
    for _ in range(20):
        rng.shuffle(items)
        assert hash_json(dict(items)) == expected
