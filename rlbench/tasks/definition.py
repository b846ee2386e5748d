"""The format of task.yaml, as pydantic models. Unknown keys are errors."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rlbench.errors import InputError
from rlbench.records import Message
from rlbench.tasks.prompts import check_prompt
from rlbench.tasks.template import check_template, fields_of
from rlbench.yaml_file import YamlDocument, validate


def _check_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if groups != 1:
        raise ValueError(f"has {groups} groups; expected exactly one, which is what the new field gets")
    return pattern


def _check_fields(template: str) -> str:
    if not fields_of(template):
        raise ValueError("names no field of the data; write {field} where it belongs")
    return template


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
SliceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
FieldPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.\w+)*$")]
Template = Annotated[str, AfterValidator(check_template)]
PromptTemplate = Annotated[str | tuple[Message, ...], PlainValidator(check_prompt)]
GraderColumn = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NonNegativeInt = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, gt=0)]
RowRange = tuple[NonNegativeInt, NonNegativeInt]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSource(_Model):
    """JSON Lines files in the task's folder, by split."""

    kind: Literal["file"]
    splits: dict[Name, str] = Field(min_length=1)


class LocalFile(_Model):
    """A file of a local copy. Without `sha256` its hash is recorded when it is first read."""

    path: str
    sha256: Sha256 | None = None


class PublicSplit(_Model):
    """A split of a public data set: a file of the local copy, and where it is on the hub.

    `format` of the file: JSON Lines, one JSON array, or `lines` of text, which become rows {text: line} (blank lines
    are left out); `beside` then adds fields from files with as many lines. `rows` takes only the rows of the file from
    the first number to before the second, counted from 0. On the hub the split is `hub_split`, or has the same name,
    and `hub_rows` are taken of it. Without `path` the local copy is in the hub's layout. Rows whose prompt also stands
    in the splits of `without` are dropped.
    """

    path: str | None = None
    sha256: Sha256 | None = None
    format: Literal["jsonl", "json", "lines"] = "jsonl"
    beside: dict[FieldName, LocalFile] = Field(default_factory=dict)
    rows: RowRange | None = None
    hub_split: str | None = None
    hub_rows: RowRange | None = None
    without: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _of_a_file(self) -> PublicSplit:
        for key, (first, end) in {"rows": self.rows or (0, 1), "hub_rows": self.hub_rows or (0, 1)}.items():
            if first >= end:
                raise ValueError(f"{key} [{first}, {end}] are none; expected [first, end] with first < end")
        if self.path is None and (self.rows is not None or self.sha256 is not None or self.beside):
            raise ValueError("rows, sha256 and beside belong to a file: give its path (for the hub there is hub_rows)")
        if self.beside and self.format != "lines":
            raise ValueError("beside belongs to files with `format: lines`")
        if "text" in self.beside:
            raise ValueError("the lines of `path` are the field 'text'; call those beside it otherwise")
        return self


class HubSource(_Model):
    """Where a data set stands on the Hugging Face hub. `revision: null` takes the newest, which is then recorded.

    `data_dir` is a folder of the data set; `fields` gives our names to its fields.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    data_dir: str | None = None
    fields: dict[FieldName, FieldPath] = Field(default_factory=dict)


class PublicSource(_Model):
    """A public data set: under --data-dir in the folder `data_dir` if that is given, else from the hub.

    One that is on no hub has a `homepage`.
    """

    kind: Literal["public"]
    data_dir: str
    splits: dict[Name, PublicSplit] = Field(min_length=1)
    hub: HubSource | None
    homepage: str | None = None

    @model_validator(mode="after")
    def _findable(self) -> PublicSource:
        if self.hub is None and not self.homepage:
            raise ValueError("a data set that is on no hub needs a homepage: say where it can be got")
        for split, spec in self.splits.items():
            for other in spec.without:
                if other == split or other not in self.splits:
                    raise ValueError(f"split {split!r} is without {other!r}, which is no other split")
        return self


class ReasoningGymSource(_Model):
    """Rows that the package reasoning-gym generates: so many per split from a data set with options and a seed."""

    kind: Literal["reasoning_gym"]
    dataset: str = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)
    seed: NonNegativeInt = 0
    splits: dict[Name, Positive] = Field(min_length=1)


class Derivation(_Model):
    """A new field: the group of the first place where `pattern` matches the text that the template `from` makes.

    Where it matches nowhere, or there is no text, that is an error, or the row is dropped.
    """

    source: Annotated[Template, AfterValidator(_check_fields)] = Field(alias="from")
    pattern: Annotated[str, AfterValidator(_check_pattern)]
    otherwise: Literal["error", "drop"] = "error"


class _Place(_Model):
    """Rows beside the samples: of a JSON Lines `file` of the task, or of a `split`."""

    file: str | None = None
    split: Name | None = None

    @model_validator(mode="after")
    def _one_source(self) -> _Place:
        if (self.file is None) == (self.split is None):
            raise ValueError("these rows come from a file or from a split: give exactly one of the two")
        return self


class Demonstrations(_Place):
    """Prompts with a completion to imitate."""

    completion: Template = Field(min_length=1)


class Preferences(_Place):
    """Prompts with two completions of which people (or a rule) preferred one."""

    chosen: Template = Field(min_length=1)
    rejected: Template = Field(min_length=1)


class Tests(_Model):
    """How the code in a completion is judged: by tests in `code`, or by standard `inputs` and `outputs`.

    `code` is Python that calls `entry_point`, which is found from the tests where it is not given; `setup` is trusted
    code that runs before the tests, on their side; `starter` is code that a completion may continue. A template that
    is just a list field is joined with newlines in `code`, and gives several names or cases in the others.
    """

    code: Template | None = Field(default=None, min_length=1)
    entry_point: Template | None = Field(default=None, min_length=1)
    setup: Template = ""
    starter: Template = ""
    inputs: Template | None = None
    outputs: Template | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Tests:
        if (self.inputs is None) != (self.outputs is None):
            raise ValueError("inputs and outputs belong together: give both")
        if (self.code is None) == (self.inputs is None):
            raise ValueError("give either code, or inputs and outputs")
        if self.code is None and (self.entry_point is not None or self.setup):
            raise ValueError("entry_point and setup belong to tests in code; inputs and outputs have neither")
        return self


PLACES = ("demonstrations", "preferences")


class Definition(_Model):
    """A task. `reward` names the grader's column that trains, `gold` that which is only measured (by default the same);
    `primary` the metric that decides. `slices` maps names to the fields that group prompts.
    """

    name: Name
    description: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    contamination: str | None = Field(default=None, min_length=1)
    source: FileSource | PublicSource | ReasoningGymSource
    derive: dict[FieldName, Derivation] = Field(default_factory=dict)
    prompt: PromptTemplate
    references: tuple[Template, ...] = ()
    answer: Template | None = None
    tests: Tests | None = None
    demonstrations: Demonstrations | None = None
    preferences: Preferences | None = None
    max_new_tokens: int = Field(strict=True, gt=0, le=1_000_000)
    reward: GraderColumn
    gold: GraderColumn | None = None
    graders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metrics: tuple[str, ...] = Field(min_length=1)
    primary: str
    slices: dict[SliceName, FieldPath] = Field(default_factory=dict)

    # Each is a matter of one key, whose line an error gets. Keys are checked in the order above.

    @field_validator("source")
    @classmethod
    def _split_names(cls, source: FileSource | PublicSource | ReasoningGymSource) -> Any:
        for key in PLACES:
            if key in source.splits:
                raise ValueError(f"a split cannot be called {key!r}; give that file under `{key}:`")
        return source

    @field_validator(*PLACES)
    @classmethod
    def _of_a_split(cls, place: _Place | None, info: ValidationInfo) -> _Place | None:
        source = info.data.get("source")
        if place is not None and place.split is not None and source is not None and place.split not in source.splits:
            raise ValueError(f"{info.field_name} name split {place.split!r}, which the source does not have")
        return place

    @field_validator("metrics")
    @classmethod
    def _listed_once(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(metrics)) < len(metrics):
            raise ValueError("a metric is listed twice")
        return metrics

    @field_validator("primary")
    @classmethod
    def _among_the_metrics(cls, primary: str, info: ValidationInfo) -> str:
        metrics = info.data.get("metrics", (primary,))
        if primary not in metrics:
            raise ValueError(f"primary {primary!r} is not among the metrics ({', '.join(metrics)})")
        return primary


class _FileDefinition(Definition):
    source: FileSource


class _PublicDefinition(Definition):
    source: PublicSource
    contamination: str = Field(min_length=1)


class _ReasoningGymDefinition(Definition):
    source: ReasoningGymSource


_KINDS: dict[str, type[Definition]] = {
    "file": _FileDefinition,
    "public": _PublicDefinition,
    "reasoning_gym": _ReasoningGymDefinition,
}


def read_definition(document: YamlDocument) -> Definition:
    """Check a parsed task.yaml.

    Raises:
        InputError: every problem of the file, with its line.
    """
    data = document.data
    source = data.get("source") if isinstance(data, dict) else None
    kind = source.get("kind") if isinstance(source, dict) else "file"
    # The kind is looked at first, so that problems are reported for the right kind and in the right line.
    if not isinstance(kind, str) or kind not in _KINDS:
        place = document.where(("source", "kind"))
        known = " or ".join(repr(each) for each in _KINDS)
        raise InputError(f"{place}: source.kind is {kind!r}; expected {known}")
    return validate(document, _KINDS[kind])
