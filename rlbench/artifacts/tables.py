"""Row data as Parquet, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.artifacts.sealing import SCHEMA_VERSION
from rlbench.errors import CorruptArtifact


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns of equal length. None is missing; floats that are NaN are written as missing too."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(list(values), from_pandas=True) for name, values in columns.items()}
    table = pa.table(arrays).replace_schema_metadata({"schema_version": str(SCHEMA_VERSION)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Raises:
        CorruptArtifact: it is missing or not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(f"{path}: cannot be read as Parquet ({error})") from error
    return frame
