"""A task: what policies are trained and measured on. Loaded by name (built-in) or from a folder with a task.yaml."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import rlbench
from rlbench.errors import InputError
from rlbench.records import Sample
from rlbench.registry import unknown
from rlbench.tasks.definition import Definition, read_definition
from rlbench.tasks.sources import Row, Rows, file_rows, split_rows
from rlbench.tasks.template import fill, fill_all
from rlbench.tasks.unit_tests import unit_tests
from rlbench.yaml_file import read_yaml

DEMONSTRATIONS = "demonstrations"


@dataclass(frozen=True, eq=False)
class Task:
    """A task and its data, which is read when it is asked for and then kept.

    `reward` is (grader, column); `graders` the options that the task gives to graders; `metrics` the names that are
    reported unless others are asked for; `prompt`, `references` and `answer` the templates that rows are filled into.
    """

    name: str
    description: str
    licence: str
    splits: tuple[str, ...]
    prompt: str
    references: tuple[str, ...]
    answer: str | None
    has_demonstrations: bool
    max_new_tokens: int
    reward: tuple[str, str]
    graders: Mapping[str, Mapping[str, Any]]
    metrics: tuple[str, ...]
    primary: str
    folder: Path
    _definition: Definition = field(repr=False)
    _data_dir: Path | None = field(repr=False)
    _rows: dict[str, Rows] = field(default_factory=dict, repr=False)
    _samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)

    def samples(self, split: str) -> tuple[Sample, ...]:
        """Return the samples of a split in the order of its rows.

        Raises:
            InputError: the task has no such split, or its data is missing or malformed.
        """
        if split not in self._samples:
            rows = self._split(split).rows
            self._samples[split] = tuple(self._sample(split, index, row) for index, row in enumerate(rows))
        return self._samples[split]

    def demonstrations(self) -> tuple[tuple[str, str], ...]:
        """Return (prompt, completion) pairs to imitate.

        Raises:
            InputError: the task has none, or their data is missing or malformed.
        """
        spec = self._definition.demonstrations
        if spec is None:
            raise InputError(f"task {self.name!r} has no demonstrations; choose `sft: none` or another task")
        if spec.split is not None:
            rows = self._split(spec.split).rows
        else:
            assert spec.file is not None
            if DEMONSTRATIONS not in self._rows:
                self._rows[DEMONSTRATIONS] = file_rows(self.folder, spec.file)
            rows = self._rows[DEMONSTRATIONS].rows
        pairs = tuple((self._prompt(row), fill(spec.completion, row.fields, row.where)) for row in rows)
        for row, (_, completion) in zip(rows, pairs, strict=True):
            if not completion.strip():
                raise InputError(f"{row.where}: the completion is empty; expected a text to imitate")
        return pairs

    def fingerprint(self, *splits: str) -> str:
        """Return the sha256 of what the named splits (default: all) hold and of how the task judges them.

        `"demonstrations"` names the demonstrations. Where the data was read from, the description and the licence do
        not count.
        """
        if not splits:
            splits = (*self.splits, DEMONSTRATIONS) if self.has_demonstrations else self.splits
        judged = ["name", "graders", "reward", "metrics", "primary", "max_new_tokens"]
        parts = {split: self._digest(split) for split in sorted(set(splits))}
        return _hash([{key: self._definition.model_dump(mode="json")[key] for key in judged}, parts])

    def _digest(self, split: str) -> str:
        """Hash what a split (or the demonstrations) holds, once."""
        if split not in self._digests:
            rows = (
                self.demonstrations()
                if split == DEMONSTRATIONS
                else [_content(sample) for sample in self.samples(split)]
            )
            self._digests[split] = _hash(rows)
        return self._digests[split]

    def provenance(self) -> dict[str, str]:
        """Return for every split that was read so far what identifies its bytes (a hash, or a revision on the hub)."""
        return {split: rows.provenance for split, rows in sorted(self._rows.items())}

    def _split(self, split: str) -> Rows:
        if split not in self.splits:
            known = ", ".join(sorted(self.splits))
            raise InputError(f"task {self.name!r}: split {split!r} not found (has: {known}); choose one with --split")
        if split not in self._rows:
            self._rows[split] = split_rows(self._definition, self.folder, self._data_dir, split)
        return self._rows[split]

    def _sample(self, split: str, index: int, row: Row) -> Sample:
        tests = self._definition.tests
        return Sample(
            sample_id=f"{split}-{index:05d}",
            prompt=self._prompt(row),
            references=fill_all(self.references, row.fields, row.where),
            answer=None if self.answer is None else fill(self.answer, row.fields, row.where),
            tests=None if tests is None else unit_tests(tests, row),
        )

    def _prompt(self, row: Row) -> str:
        prompt = fill(self.prompt, row.fields, row.where)
        if not prompt.strip():
            raise InputError(f"{row.where}: the prompt is empty; expected text")
        return prompt


def task_names() -> list[str]:
    """Return the sorted names of the built-in tasks."""
    return sorted(path.parent.name for path in _builtin_tasks().glob("*/task.yaml"))


def load_task(name_or_path: str | Path, data_dir: Path | None = None) -> Task:
    """Load a built-in task by name, or the task in a folder. Only its task.yaml is read until data is asked for.

    `data_dir` holds local copies of public data sets; default is the environment's RLBENCH_DATA_DIR, and without
    either they come from the hub.

    Raises:
        InputError: there is no such task, its task.yaml is wrong, or `data_dir` is not a folder.
    """
    if data_dir is None and os.environ.get("RLBENCH_DATA_DIR"):
        data_dir = Path(os.environ["RLBENCH_DATA_DIR"])
    if data_dir is not None and not data_dir.is_dir():
        raise InputError(f"data folder {data_dir} is not a folder; check --data-dir and RLBENCH_DATA_DIR")
    folder = _folder(name_or_path)
    document = read_yaml(folder / "task.yaml")
    definition = read_definition(document)
    grader, _, column = definition.reward.partition(".")
    return Task(
        name=definition.name,
        description=definition.description,
        licence=definition.licence,
        splits=tuple(definition.source.splits),
        prompt=definition.prompt,
        references=definition.references,
        answer=definition.answer,
        has_demonstrations=definition.demonstrations is not None,
        max_new_tokens=definition.max_new_tokens,
        reward=(grader, column),
        graders=definition.graders,
        metrics=definition.metrics,
        primary=definition.primary,
        folder=folder,
        _definition=definition,
        _data_dir=data_dir,
    )


def _folder(name_or_path: str | Path) -> Path:
    name = str(name_or_path)
    if name in task_names() and not isinstance(name_or_path, Path):
        return _builtin_tasks() / name
    path = Path(name_or_path)
    if path.is_dir():
        return path
    if isinstance(name_or_path, Path) or "/" in name or os.sep in name:
        raise InputError(f"task folder {name} does not exist; expected a folder with a task.yaml")
    raise unknown("task", name, task_names())


def _builtin_tasks() -> Path:
    """Return the folder of the built-in tasks: inside an installed package, or beside it in a checkout."""
    package = Path(rlbench.__file__).parent
    installed = package / "builtin_tasks"
    return installed if installed.is_dir() else package.parent / "tasks"


def _content(sample: Sample) -> list[Any]:
    """Return what a sample adds to the fingerprint of its split."""
    content = [sample.sample_id, sample.prompt, sample.references, sample.answer]
    if sample.tests is None:
        return content
    return [*content, {key: value for key, value in asdict(sample.tests).items() if key != "admitted"}]


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
