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
from rlbench.records import Message, Preference, Sample
from rlbench.registry import unknown
from rlbench.tasks.definition import PLACES, Definition, Demonstrations, Preferences, PublicSource, read_definition
from rlbench.tasks.derivation import derive, roots
from rlbench.tasks.prompts import fill_prompt, prompt_content, prompt_hash
from rlbench.tasks.rows import Row, Rows, file_rows
from rlbench.tasks.slices import check_groups, slices_of_row
from rlbench.tasks.sources import describe_source, missing_data, split_rows
from rlbench.tasks.template import fill, fill_all
from rlbench.tasks.unit_tests import unit_tests
from rlbench.yaml_file import read_yaml

DEMONSTRATIONS, PREFERENCES = PLACES


@dataclass(frozen=True, eq=False)
class Task:
    """A task and its data, which is read when it is asked for and then kept.

    `reward` is the (grader, column) that trains and `gold` the one that is only measured, which may be the same;
    `graders` are the options that the task gives to graders; `metrics` the names that are reported unless others are
    asked for; `prompt`, `references` and `answer` the templates that rows are filled into; `source` says in words where
    the data comes from, and `contamination` what is known of its standing in training corpora.
    """

    name: str
    description: str
    licence: str
    contamination: str | None
    source: str
    is_public: bool
    splits: tuple[str, ...]
    prompt: str | tuple[Message, ...]
    references: tuple[str, ...]
    answer: str | None
    has_demonstrations: bool
    has_preferences: bool
    max_new_tokens: int
    reward: tuple[str, str]
    gold: tuple[str, str]
    graders: Mapping[str, Mapping[str, Any]]
    metrics: tuple[str, ...]
    primary: str
    folder: Path
    _definition: Definition = field(repr=False)
    _data_dir: Path | None = field(repr=False)
    _rows: dict[str, Rows] = field(default_factory=dict, repr=False)
    _kept: dict[str, tuple[Row, ...]] = field(default_factory=dict, repr=False)
    _samples: dict[str, tuple[Sample, ...]] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)

    def samples(self, split: str) -> tuple[Sample, ...]:
        """Return the samples of a split in the order of its rows.

        Raises:
            InputError: the task has no such split, or its data is missing or malformed.
        """
        if split not in self._samples:
            rows = self._split(split)
            samples = tuple(self._sample(split, index, row) for index, row in enumerate(rows))
            check_groups(self._definition.slices, samples, split, str(self.folder / "task.yaml"))
            self._samples[split] = samples
        return self._samples[split]

    def where(self, sample_id: str) -> str:
        """Return "file:line" (or the place on the hub) of the row that a sample was made from.

        Raises:
            InputError: the task has no such sample, or its data is missing or malformed.
        """
        split, _, number = sample_id.rpartition("-")
        rows = self._split(split) if split in self.splits else ()
        if not number.isdecimal() or int(number) >= len(rows):
            raise InputError(f"task {self.name!r}: sample {sample_id!r} not found (splits: {', '.join(self.splits)})")
        return rows[int(number)].where

    def demonstrations(self) -> tuple[tuple[str, str], ...]:
        """Return (prompt, completion) pairs to imitate.

        Raises:
            InputError: the task has none, or their data is missing or malformed.
        """
        spec = self._definition.demonstrations
        if spec is None:
            raise InputError(f"task {self.name!r} has no demonstrations; choose `sft: none` or another task")
        return tuple(
            (fill_prompt(self.prompt, row), _text(spec.completion, row, "completion")) for row in self._place(spec)
        )

    def preferences(self) -> tuple[Preference, ...]:
        """Return prompts with a chosen and a rejected completion.

        Raises:
            InputError: the task has none, or their data is missing or malformed.
        """
        spec = self._definition.preferences
        if spec is None:
            raise InputError(f"task {self.name!r} has no preferences; label pairs by gold, or choose another task")
        return tuple(
            Preference(
                fill_prompt(self.prompt, row),
                _text(spec.chosen, row, "chosen completion"),
                _text(spec.rejected, row, "rejected completion"),
            )
            for row in self._place(spec)
        )

    def missing_data(self) -> str:
        """Return why the data is not on this machine, or ""; nothing is loaded to find out."""
        return missing_data(self._definition, self._data_dir)

    def data_fields(self, *templates: str) -> set[str]:
        """Return the fields of the data that templates are made from, by way of derived ones or not."""
        return {field for template in templates for field in roots(template, self._definition.derive)}

    def split_of(self, place: str) -> str | None:
        """Return the split that the demonstrations or preferences are, or None if they are a file or there are none."""
        spec: Demonstrations | Preferences | None = getattr(self._definition, place)
        return None if spec is None else spec.split

    def fingerprint(self, *splits: str) -> str:
        """Return the sha256 of what the named splits (default: all) hold and of how the task judges them.

        `"demonstrations"` and `"preferences"` name those. Where the data was read from, the description, the licence
        and the slices do not count.
        """
        if not splits:
            beside = {DEMONSTRATIONS: self.has_demonstrations, PREFERENCES: self.has_preferences}
            splits = (*self.splits, *(place for place, has in beside.items() if has))
        judged = ["name", "graders", "reward", "metrics", "primary", "max_new_tokens"]
        if self._definition.gold is not None:
            judged.append("gold")
        parts = {split: self._digest(split) for split in sorted(set(splits))}
        return _hash([self._definition.model_dump(mode="json", include=set(judged)), parts])

    def slices_fingerprint(self, split: str) -> str:
        """Return the sha256 of the groups that the task's slices make of a split, or "" if it declares none."""
        if not self._definition.slices:
            return ""
        return _hash(
            [[name, [sample.slices[name] for sample in self.samples(split)]] for name in self._definition.slices]
        )

    def _digest(self, split: str) -> str:
        """Hash what a split (or the demonstrations, or the preferences) holds, once."""
        if split not in self._digests:
            rows: list[list[Any]]
            if split == DEMONSTRATIONS:
                rows = [[prompt_content(prompt), completion] for prompt, completion in self.demonstrations()]
            elif split == PREFERENCES:
                rows = [[prompt_content(each.prompt), each.chosen, each.rejected] for each in self.preferences()]
            else:
                rows = [_content(sample) for sample in self.samples(split)]
            self._digests[split] = _hash(rows)
        return self._digests[split]

    def provenance(self) -> dict[str, str]:
        """Return for every split that was read so far what identifies its bytes (a hash, or a revision on the hub)."""
        return {split: rows.provenance for split, rows in sorted(self._rows.items())}

    def _split(self, split: str) -> tuple[Row, ...]:
        """Return the rows of a split without those whose prompt also stands in the splits that it must not repeat."""
        if split not in self._kept:
            others = getattr(self._definition.source.splits.get(split), "without", ())
            rows = self._read(split)
            known = {prompt_hash(fill_prompt(self.prompt, row)) for other in others for row in self._read(other)}
            if known:
                rows = tuple(row for row in rows if prompt_hash(fill_prompt(self.prompt, row)) not in known)
            if not rows:
                raise InputError(
                    f"task {self.name!r}: all prompts of split {split!r} also stand in {', '.join(others)}"
                )
            self._kept[split] = rows
        return self._kept[split]

    def _read(self, split: str) -> tuple[Row, ...]:
        """Return all rows of a split, with derived fields."""
        if split not in self.splits:
            known = ", ".join(sorted(self.splits))
            raise InputError(f"task {self.name!r}: split {split!r} not found (has: {known}); choose one with --split")
        if split not in self._rows:
            self._keep(split, split_rows(self._definition, self.folder, self._data_dir, split))
        return self._rows[split].rows

    def _place(self, spec: Demonstrations | Preferences) -> tuple[Row, ...]:
        """Return the rows of the demonstrations or preferences."""
        if spec.split is not None:
            return self._split(spec.split)
        assert spec.file is not None
        place = DEMONSTRATIONS if isinstance(spec, Demonstrations) else PREFERENCES
        if place not in self._rows:
            self._keep(place, file_rows(self.folder, spec.file))
        return self._rows[place].rows

    def _keep(self, place: str, read: Rows) -> None:
        derived = (derive(row, self._definition.derive) for row in read.rows)
        rows = tuple(row for row in derived if row is not None)
        if not rows:
            raise InputError(f"task {self.name!r}: all rows of {place!r} are dropped, because a pattern never matches")
        self._rows[place] = Rows(rows, read.provenance)

    def _sample(self, split: str, index: int, row: Row) -> Sample:
        tests = self._definition.tests
        return Sample(
            sample_id=f"{split}-{index:05d}",
            prompt=fill_prompt(self.prompt, row),
            references=fill_all(self.references, row.fields, row.where),
            answer=None if self.answer is None else fill(self.answer, row.fields, row.where),
            tests=None if tests is None else unit_tests(tests, row),
            slices=slices_of_row(self._definition.slices, row),
        )


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
    return Task(
        name=definition.name,
        description=definition.description,
        licence=definition.licence,
        contamination=definition.contamination,
        source=describe_source(definition.source),
        is_public=isinstance(definition.source, PublicSource),
        splits=tuple(definition.source.splits),
        prompt=definition.prompt,
        references=definition.references,
        answer=definition.answer,
        has_demonstrations=definition.demonstrations is not None,
        has_preferences=definition.preferences is not None,
        max_new_tokens=definition.max_new_tokens,
        reward=_grader_column(definition.reward),
        gold=_grader_column(definition.gold or definition.reward),
        graders=definition.graders,
        metrics=definition.metrics,
        primary=definition.primary,
        folder=folder,
        _definition=definition,
        _data_dir=data_dir,
    )


def _grader_column(text: str) -> tuple[str, str]:
    grader, _, column = text.partition(".")
    return grader, column


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


def _text(template: str, row: Row, what: str) -> str:
    text = fill(template, row.fields, row.where)
    if not text.strip():
        raise InputError(f"{row.where}: the {what} is empty; expected text")
    return text


def _content(sample: Sample) -> list[Any]:
    """Return what a sample adds to the fingerprint of its split."""
    content: list[Any] = [sample.sample_id, prompt_content(sample.prompt), sample.references, sample.answer]
    if sample.tests is None:
        return content
    return [*content, {key: value for key, value in asdict(sample.tests).items() if key != "admitted"}]


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
