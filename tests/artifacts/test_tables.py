"""Tables: what is missing stays missing, and the same rows give the same bytes."""

import math

import pytest

from rlbench.artifacts.tables import read_table, write_table
from rlbench.errors import CorruptArtifact

COLUMNS = {
    "sample_id": ["test-00000", "test-00001", "ünïcödé 🦊\n\x00"],
    "completion_index": [0, 1, 2],
    "value": [0.1, float("nan"), -0.0],
    "maybe": [None, 0.5, None],
    "count": [1, None, 3],
    "reason": ["", None, "x"],
    "truncated": [True, False, True],
}


def test_values_come_back(tmp_path):
    write_table(tmp_path / "deep" / "t.parquet", COLUMNS)
    frame = read_table(tmp_path / "deep" / "t.parquet")
    assert list(frame.columns) == list(COLUMNS)
    for name in ("sample_id", "completion_index", "truncated"):
        assert frame[name].tolist() == COLUMNS[name]
    assert frame["value"].tolist()[::2] == [0.1, -0.0]
    assert math.copysign(1, frame["value"][2]) == -1


def test_missing_stays_missing_and_is_never_zero(tmp_path):
    write_table(tmp_path / "t.parquet", COLUMNS)
    frame = read_table(tmp_path / "t.parquet")
    assert frame["value"].isna().tolist() == [False, True, False]
    assert frame["maybe"].isna().tolist() == [True, False, True]
    assert frame["count"].isna().tolist() == [False, True, False]
    assert frame["reason"].isna().tolist() == [False, True, False]


def test_a_column_of_nothing_stays_nothing(tmp_path):
    write_table(tmp_path / "t.parquet", {"a": ["x", "y"], "b": [None, None], "c": [float("nan")] * 2})
    assert read_table(tmp_path / "t.parquet")[["b", "c"]].isna().all(axis=None)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / f"{name}.parquet", COLUMNS)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    changed = COLUMNS | {"value": [0.1, float("nan"), 0.0]}
    write_table(tmp_path / "c.parquet", changed)
    assert (tmp_path / "a.parquet").read_bytes() != (tmp_path / "c.parquet").read_bytes()


def test_bytes_survive_a_round_trip(tmp_path):
    """None and NaN are the same thing on disk, so that rows which were read and written again have the same bytes."""
    columns = {"a": [1.0, None, 3.0], "b": ["x", "y", "z"]}
    write_table(tmp_path / "a.parquet", columns)
    frame = read_table(tmp_path / "a.parquet")
    write_table(tmp_path / "b.parquet", {name: frame[name].tolist() for name in frame})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_columns_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(ValueError, match="length"):
        write_table(tmp_path / "t.parquet", {"a": [1, 2], "b": [1]})


@pytest.mark.parametrize("content", [None, b"", b"not parquet", b"PAR1 and no more"])
def test_what_is_no_table_is_called_corrupt(tmp_path, content):
    path = tmp_path / "t.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorruptArtifact, match=r"t\.parquet: cannot be read as Parquet"):
        read_table(path)
