"""Sealed folders: any change to any byte or to the set of files is noticed, and nothing is ever overwritten."""

import random
import shutil

import pytest

from rlbench.artifacts.sealing import MANIFEST, SEAL, seal, verify
from rlbench.errors import CorruptArtifact

FLIPS = 600
TRUNCATIONS = 200


@pytest.fixture
def sealed(tmp_path):
    draft = tmp_path / "draft"
    (draft / "model").mkdir(parents=True)
    (draft / "model" / "weights.bin").write_bytes(random.Random(0).randbytes(300))
    (draft / "model" / MANIFEST).write_text("a file of the user that happens to have this name\n")
    (draft / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (draft / "empty").touch()
    seal(draft, tmp_path / "sealed", {"stage": "train", "fingerprint": "f" * 64})
    return tmp_path / "sealed"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_verify_returns_the_manifest_and_counts_every_file(sealed):
    manifest = verify(sealed)
    assert manifest["stage"] == "train"
    assert manifest["schema_version"] == 1
    assert set(manifest["files"]) == {"model/weights.bin", f"model/{MANIFEST}", "rows.jsonl", "empty"}
    assert manifest["files"]["model/weights.bin"]["bytes"] == 300


def test_every_single_bit_flip_is_noticed(sealed):
    positions = [(path, byte, bit) for path in files(sealed) for byte in range(path.stat().st_size) for bit in range(8)]
    last_bytes = [(path, path.stat().st_size - 1, bit) for path in files(sealed)[1:] for bit in range(8)]
    for path, byte, bit in [*random.Random(1).sample(positions, FLIPS), *last_bytes]:
        if not path.stat().st_size:
            continue
        sound = path.read_bytes()
        damaged = bytearray(sound)
        damaged[byte] ^= 1 << bit
        path.write_bytes(damaged)
        with pytest.raises(CorruptArtifact, match=str(sealed)):
            verify(sealed)
        path.write_bytes(sound)
    verify(sealed)


def test_the_seal_itself_is_checked_to_its_last_bit(sealed):
    sound = (sealed / SEAL).read_bytes()
    for position in range(8 * len(sound)):
        damaged = bytearray(sound)
        damaged[position // 8] ^= 1 << position % 8
        (sealed / SEAL).write_bytes(damaged)
        with pytest.raises(CorruptArtifact):
            verify(sealed)


def test_every_truncation_is_noticed(sealed):
    lengths = [(path, length) for path in files(sealed) for length in range(path.stat().st_size)]
    for path, length in random.Random(2).sample(lengths, TRUNCATIONS):
        sound = path.read_bytes()
        path.write_bytes(sound[:length])
        with pytest.raises(CorruptArtifact):
            verify(sealed)
        path.write_bytes(sound)
    for path in files(sealed):
        if path.stat().st_size:  # the last byte of each
            sound = path.read_bytes()
            path.write_bytes(sound[:-1])
            with pytest.raises(CorruptArtifact):
                verify(sealed)
            path.write_bytes(sound)
    verify(sealed)


@pytest.mark.parametrize("name", ["rows.jsonl", "empty", "model/weights.bin", f"model/{MANIFEST}", MANIFEST, SEAL])
def test_a_removed_file_is_noticed(sealed, name):
    (sealed / name).unlink()
    with pytest.raises(CorruptArtifact, match=name.replace(".", r"\.")):
        verify(sealed)


@pytest.mark.parametrize("name", ["extra", "model/extra", "model/manifest.sha256", ".hidden"])
def test_an_added_file_is_noticed(sealed, name):
    (sealed / name).touch()
    with pytest.raises(CorruptArtifact, match="missing or added"):
        verify(sealed)


def test_a_renamed_file_is_noticed(sealed):
    (sealed / "rows.jsonl").rename(sealed / "rows2.jsonl")
    with pytest.raises(CorruptArtifact, match=r"rows\.jsonl, rows2\.jsonl"):
        verify(sealed)


def test_swapped_files_are_noticed(sealed):
    a, b = sealed / "rows.jsonl", sealed / "model" / "weights.bin"
    of_a, of_b = a.read_bytes(), b.read_bytes()
    a.write_bytes(of_b)
    b.write_bytes(of_a)
    with pytest.raises(CorruptArtifact, match="not those that were sealed"):
        verify(sealed)


def test_a_folder_that_is_not_sealed_or_not_there_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CorruptArtifact, match="is not a sealed folder"):
            verify(folder)


def test_sealing_never_overwrites(sealed, contents, tmp_path):
    before = contents(sealed)
    other = tmp_path / "other"
    other.mkdir()
    (other / "rows.jsonl").write_text("something else\n")
    with pytest.raises(CorruptArtifact, match="never overwritten"):
        seal(other, sealed, {})
    assert contents(sealed) == before
    assert (other / "rows.jsonl").exists(), "what could not be sealed is kept"


def test_sealing_leaves_no_draft_behind_and_makes_parents(tmp_path):
    draft = tmp_path / "draft"
    draft.mkdir()
    (draft / "file").write_text("x")
    seal(draft, tmp_path / "a" / "b" / "c", {})
    assert not draft.exists()
    assert verify(tmp_path / "a" / "b" / "c")["files"].keys() == {"file"}


def test_a_sealed_folder_can_be_moved_and_copied(sealed, tmp_path):
    verify(shutil.copytree(sealed, tmp_path / "copy"))
    verify(sealed.rename(tmp_path / "moved"))
