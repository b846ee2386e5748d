"""Checkpoints: exact, the newest two are kept, and a damaged one gives way to the one before it."""

import random

import pytest
import torch

from rlbench.artifacts.checkpoints import KEPT, Checkpoints


def tensors(number):
    generator = torch.Generator().manual_seed(number)
    return {
        "weights": torch.randn(5, 3, generator=generator),
        "moments": torch.randn(7, generator=generator).double(),
        "steps": torch.tensor(number),
        "odd": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
    }


def same(found, number):
    expected = tensors(number)
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype and found[name].numpy().tobytes() == expected[name].numpy().tobytes()
        for name in expected
    )


@pytest.fixture
def saved(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in (3, 6, 9, 12):
        checkpoints.save(number, tensors(number), {"step": number, "curve": [{"loss": 0.1 * number}]})
    return checkpoints


def names(checkpoints):
    return sorted(path.name for path in checkpoints.folder.iterdir())


def flip(path, position=-1):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_the_newest_comes_back_bit_for_bit(saved):
    latest = saved.latest()
    assert same(latest.tensors, 12)
    assert latest.state == {"step": 12, "curve": [{"loss": 0.1 * 12}]}


def test_the_newest_two_are_kept_and_no_draft(saved):
    assert KEPT == 2
    assert names(saved) == ["checkpoint-000009", "checkpoint-000012"]


def test_none_is_none(tmp_path):
    assert Checkpoints(tmp_path / "nothing").latest() is None
    assert Checkpoints(tmp_path).load(3) is None


@pytest.mark.parametrize("file", ["tensors", "state.json", "manifest.json", "manifest.sha256"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_one_gives_way_to_the_one_before(saved, file, damage, capsys):
    path = saved.folder / "checkpoint-000012" / file
    if damage == "flip":
        flip(path, random.Random(file).randrange(path.stat().st_size))
    elif damage == "truncate":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    assert same(saved.latest().tensors, 9)
    assert "damaged checkpoint removed" in capsys.readouterr().err
    assert names(saved) == ["checkpoint-000009"]


def test_all_damaged_means_a_fresh_start(saved, capsys):
    for number in (9, 12):
        flip(saved.folder / f"checkpoint-{number:06d}" / "tensors")
    assert saved.latest() is None
    assert capsys.readouterr().err.count("damaged checkpoint removed") == 2


def test_a_draft_left_by_a_crash_is_in_nobodys_way(saved):
    draft = saved.folder / ".checkpoint.draft"
    draft.mkdir()
    (draft / "tensors").write_text("half")
    assert same(saved.latest().tensors, 12)
    saved.save(15, tensors(15), {"step": 15})
    assert same(saved.latest().tensors, 15)
    assert not draft.exists()


def test_a_half_deleted_old_one_is_in_nobodys_way(saved):
    """A crash between the files of an old checkpoint that is being deleted."""
    half = saved.folder / "checkpoint-000003"
    half.mkdir()
    (half / "tensors").write_text("half")
    assert same(saved.latest().tensors, 12)
    saved.save(15, tensors(15), {"step": 15})
    assert names(saved) == ["checkpoint-000012", "checkpoint-000015"]


def test_the_same_number_can_be_saved_again(saved):
    saved.save(12, tensors(99), {"step": 12})
    assert same(saved.latest().tensors, 99)


def test_purposes_do_not_meet(saved):
    chunks = Checkpoints(saved.folder, "chunk", keep=None)
    for number in range(5):
        chunks.save(number, {}, {"rows": [number]})
    assert [chunks.load(number).state["rows"] for number in range(5)] == [[number] for number in range(5)]
    assert same(saved.latest().tensors, 12)


def test_the_tenth_million_is_newer_than_the_first(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in (999_999, 1_000_000):
        checkpoints.save(number, {}, {"step": number})
    assert checkpoints.latest().state == {"step": 1_000_000}
