"""Plain files inside artefacts, and what is said when the disk does not take them."""

import errno
import hashlib
import json

import pytest

from rlbench.artifacts.files import (
    explain_disk_errors,
    hash_file,
    make_folder,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)
from rlbench.errors import Busy, CorruptArtifact, DiskFull, InputError


def test_json_is_canonical_and_comes_back(tmp_path):
    value = {"b": [1, 2.5, None, True], "a": {"ü": "\u2028 </script>"}}
    write_json(tmp_path / "a.json", value)
    write_json(tmp_path / "b.json", dict(reversed(value.items())))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": [bad]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(tmp_path / "a.jsonl", [{"x": bad}])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1} x'])
def test_what_is_no_json_is_called_corrupt(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"a\.json: cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(CorruptArtifact, match=r"b\.json"):
        read_json(tmp_path / "b.json")


def test_json_lines_hold_one_row_per_line_whatever_is_in_it(tmp_path):
    rows = [{"text": "a\nb\r\n\u2028\u2029\x85\x1c"}, {"text": ""}, {}]
    write_jsonl(tmp_path / "a.jsonl", rows)
    assert (tmp_path / "a.jsonl").read_bytes().count(b"\n") == 3
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().split(b"\n")[:-1]] == rows
    assert read_jsonl(tmp_path / "a.jsonl") == rows


def test_hash_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 5000)
    assert hash_file(tmp_path / "a") == hashlib.sha256(bytes(range(256)) * 5000).hexdigest()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as safetensors words it
        ValueError("[Errno 27] Error writing bytes to file. Detail: [errno 27] File too large"),  # as pyarrow does
    ],
)
def test_a_full_disk_is_called_that_whoever_noticed_it(tmp_path, error):
    with pytest.raises(DiskFull, match=r"no space left on the device.*run the same command again") as caught:  # noqa: SIM117
        with explain_disk_errors(tmp_path):
            raise error
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_that_cannot_be_written_is_the_users_to_change(tmp_path, code):
    with pytest.raises(InputError, match="choose another folder with --out"), explain_disk_errors(tmp_path):
        raise OSError(code, "no")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyError("x"), FileNotFoundError(2, "x")])
def test_other_errors_pass_unchanged(tmp_path, error):
    with pytest.raises(type(error)) as caught, explain_disk_errors(tmp_path):
        raise error
    assert caught.value is error


def test_what_is_explained_already_is_not_explained_twice(tmp_path):
    with pytest.raises(DiskFull) as caught, explain_disk_errors(tmp_path), explain_disk_errors(tmp_path / "inner"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value).count("no space left on the device") == 1
    with pytest.raises(Busy), explain_disk_errors(tmp_path):
        raise Busy("No space left, they say")


def test_folders_are_made_with_their_parents_unless_a_file_stands_there(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for wrong in ("file", "file/below"):
        with pytest.raises(InputError, match=r"is not a folder.*choose another folder with --out"):
            make_folder(tmp_path / wrong)
