"""The format of task.yaml, as pydantic models. Unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from rlbench.errors import InputError
from rlbench.tasks.template import check_template, fields_of
from rlbench.yaml_file import YamlDocument, validate

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Template = Annotated[str, AfterValidator(check_template)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSource(_Model):
    """JSON Lines files in the task's folder, by split."""

    kind: Literal["file"]
    splits: dict[Name, str] = Field(min_length=1)


class PinnedFile(_Model):
    """A split of a local copy of a public data set: a file with the hash that it must have.

    `rows` takes only the rows from the first number to before the second, counted from 0. `hub_split` is the split's
    name on the hub, where it is another; there the split is taken whole.
    """

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: tuple[NonNegativeInt, NonNegativeInt] | None = None
    hub_split: str | None = None

    @model_validator(mode="after")
    def _some_rows(self) -> PinnedFile:
        if self.rows is not None and self.rows[0] >= self.rows[1]:
            raise ValueError(f"rows {list(self.rows)} are none; expected [first, end] with first < end")
        return self


class HubSource(_Model):
    """Where a data set stands on the Hugging Face hub. `revision: null` takes the newest, which is then recorded."""

    id: str
    config: str | None = None
    revision: str | None = None


class PublicSource(_Model):
    """A public data set: under --data-dir in the folder `data_dir` if that is given, else from the hub.

    On the hub, the splits have the same names unless `hub_split` says otherwise.
    """

    kind: Literal["public"]
    data_dir: str
    splits: dict[Name, PinnedFile] = Field(min_length=1)
    hub: HubSource


class Demonstrations(_Model):
    """Prompts with a completion to imitate: the rows of a JSON Lines `file` of the task, or of a `split`."""

    file: str | None = None
    split: Name | None = None
    completion: Template = Field(min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> Demonstrations:
        if (self.file is None) == (self.split is None):
            raise ValueError("demonstrations come from a file or from a split: give exactly one of the two")
        return self


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


class Definition(_Model):
    """A task. `reward` names the grader's column that trains; `primary` the metric that decides."""

    name: Name
    description: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    source: FileSource | PublicSource
    prompt: Template = Field(min_length=1)
    references: tuple[Template, ...] = ()
    answer: Template | None = None
    tests: Tests | None = None
    demonstrations: Demonstrations | None = None
    max_new_tokens: int = Field(gt=0, le=1_000_000)
    reward: str = Field(pattern=r"^[a-z][a-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*$")
    graders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metrics: tuple[str, ...] = Field(min_length=1)
    primary: str

    @model_validator(mode="after")
    def _consistent(self) -> Definition:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError("a metric is listed twice")
        if fields_of(self.prompt) == ():
            raise ValueError("the prompt names no field of the data; write {field} where it belongs")
        if self.primary not in self.metrics:
            raise ValueError(f"primary {self.primary!r} is not among the metrics ({', '.join(self.metrics)})")
        if "demonstrations" in self.source.splits:
            raise ValueError("a split cannot be called 'demonstrations'; give that file under `demonstrations:`")
        split = self.demonstrations.split if self.demonstrations else None
        if split is not None and split not in self.source.splits:
            raise ValueError(f"demonstrations name split {split!r}, which the source does not have")
        return self


class _FileDefinition(Definition):
    source: FileSource


class _PublicDefinition(Definition):
    source: PublicSource


def read_definition(document: YamlDocument) -> Definition:
    """Check a parsed task.yaml.

    Raises:
        InputError: every problem of the file, with its line.
    """
    data = document.data
    source = data.get("source") if isinstance(data, dict) else None
    kind = source.get("kind") if isinstance(source, dict) else "file"
    # The kind is looked at first, so that problems are reported for the right kind and in the right line.
    if kind not in ("file", "public"):
        place = document.where(("source", "kind"))
        raise InputError(f"{place}: source.kind is {kind!r}; expected 'file' or 'public'")
    return validate(document, _PublicDefinition if kind == "public" else _FileDefinition)
