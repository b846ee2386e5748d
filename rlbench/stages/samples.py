"""What is known of each prompt beside its scores: `samples.parquet`, by which a comparison groups prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rlbench.artifacts.tables import read_table, write_table
from rlbench.records import Sample

SAMPLES = "samples.parquet"
CHARACTERS = "prompt_characters"
SLICE = "slice_"
"""Starts the name of a column that holds the groups of a declared slice."""


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """Write a row per prompt to `folder`/samples.parquet: `sample_id`, `prompt_characters`, `slice_NAME`."""
    columns: dict[str, list[Any]] = {
        "sample_id": [sample.sample_id for sample in samples],
        CHARACTERS: [len(sample.prompt) for sample in samples],
    }
    for name in dict.fromkeys(name for sample in samples for name in sample.slices):
        columns[SLICE + name] = [sample.slices.get(name) for sample in samples]
    write_table(folder / SAMPLES, columns)


def read_samples(folder: Path) -> pd.DataFrame | None:
    """Read what `write_samples` wrote; None where scores are older than that."""
    path = folder / SAMPLES
    return read_table(path) if path.is_file() else None
