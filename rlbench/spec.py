"""The experiment file: what a user writes in YAML, with every default spelled out. Unknown keys are errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from rlbench.errors import InputError
from rlbench.yaml_file import YamlDocument, parse_yaml, read_yaml, validate

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def check_name(value: str) -> str:
    """Return `value` if it can be part of a folder's name, else raise ValueError."""
    if not NAME.fullmatch(value):
        raise ValueError("expected a name of lower-case letters, digits, '.', '_' and '-', at most 64 characters")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BasePolicy(_Section):
    """The policy everything starts from: exactly one of `builder`, `path`, `data` and `hub`."""

    builder: Literal["tiny"] | None = None
    """`tiny`: an untrained Llama with a character tokenizer, made for the experiment's tasks."""
    path: str | None = None
    """A Hugging Face model folder."""
    data: str | None = None
    """The name of a model folder under --data-dir."""
    hub: str | None = None
    """A Hugging Face hub id."""
    revision: str | None = None
    """The commit of the hub repository; resolved and recorded if not given."""
    stop_token_ids: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Tokens that end a completion; those of the model's generation config by default."""
    hidden_size: int = Field(default=128, ge=8)
    """Width of the tiny policy."""
    layers: int = Field(default=2, ge=1)
    """Blocks of the tiny policy."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of the tiny policy."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in ("builder", "path", "data", "hub") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of builder, path, data and hub, got {', '.join(given) or 'none'}")
        if self.data is not None and (self.data.startswith("/") or ".." in self.data.split("/")):
            raise ValueError(f"data: expected the name of a folder under the data folder, got {self.data!r}")
        if self.revision is not None and self.hub is None:
            raise ValueError("revision belongs to a hub id")
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be an even multiple of heads {self.heads}")
        return self


class Sft(_Section):
    """Supervised fine-tuning of the base policy on each task's demonstrations, shared by all algorithms."""

    source: Literal["demonstrations", "none"] = "demonstrations"
    epochs: int = Field(default=20, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)


class AlgorithmEntry(_Section):
    """One arm of the comparison. Every further key is an option of the algorithm."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str
    label: str = ""
    """Name of the arm; the algorithm's by default. It lets one algorithm appear with different options."""
    budget: Budget | None = None
    """Overrides the experiment's budget for this arm alone. The audit then fails: the arms are not matched."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.label:
            object.__setattr__(self, "label", self.name)
        check_name(self.label)
        if self.label in ("sft", "base"):
            raise ValueError(f"{self.label!r} is the name of a shared policy; choose another label")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The algorithm's options as written."""
        return dict(self.model_extra or {})


class Budget(_Section):
    """What every arm may spend. One currency is fixed; all others are metered and reported."""

    completions: int = Field(ge=1)
    """Completions sampled for training, per run."""


class Rollout(_Section):
    """How training samples, the same for every arm."""

    prompts_per_batch: int = Field(default=16, ge=1)
    completions_per_prompt: int = Field(default=8, ge=2)
    temperature: float = Field(default=1.0, gt=0)
    """Divides the logits in sampling and in every log-probability of training."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Length limit of training and evaluation; the task's by default."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Longer prompts are cut, in training and evaluation; by default a prompt that does not fit is an error."""
    truncation_side: Literal["left", "right"] = "left"
    """Where a longer prompt loses tokens; its beginning token stays."""
    shared_pairs: bool = False
    """Whether preference pairs are the same for all seeds. It hides the variation that comes from drawing them."""


class Evaluation(_Section):
    """How every policy is evaluated, once per seed."""

    split: str = "test"
    prompts: int | None = Field(default=None, ge=2)
    """The first so many prompts of the split; all by default."""
    samples_per_prompt: int = Field(default=4, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    metrics: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Metrics to report; the task's by default."""

    @field_validator("split")
    @classmethod
    def _held_out(cls, value: str) -> str:
        if value == "train":
            raise ValueError("expected a split that training does not see; choose dev or test")
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = sorted({name for name in value or () if (value or ()).count(name) > 1})
        if twice:
            raise ValueError(f"given twice: {', '.join(twice)}; every metric counts once in the family of tests")
        return value


class RewardEntry(_Section):
    """A grader's column in the role of the reward or of the gold reward. `grader.column` is its short form."""

    grader: str
    column: str
    options: dict[str, Any] = {}


class RewardModelTraining(_Section):
    """How a reward model is trained for every task, from pairs of completions; all arms share it."""

    labels: Literal["gold", "preferences"] = "gold"
    """`gold`: pairs of the SFT policy, labelled by the gold reward; `preferences`: the task's own pairs."""
    pairs: int = Field(default=2000, ge=1)
    """Pairs to train on."""
    held_out: int = Field(default=500, ge=2)
    """Pairs that only measure its accuracy."""
    noise: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the training pairs whose label is turned round."""
    ensemble: int = Field(default=1, ge=1)
    """Models that are trained with seeds of their own; the reward is their mean."""
    epochs: int = Field(default=4, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    margin: float = Field(default=0.0, ge=0)
    """By how much the better completion should lead; 0 is the Bradley-Terry loss of the papers."""
    centre: bool = True
    """Whether the mean reward of the training pairs' completions is taken off."""


class Training(_Section):
    """Bookkeeping of training that does not change its result."""

    checkpoint_every: int = Field(default=20, ge=1)
    """Rollout batches (or, for preference-based algorithms, optimizer steps / 4) between checkpoints."""
    dev_every: int = Field(default=8, ge=1)
    """Rollout batches between evaluations on the dev split for the learning curves (not charged to the budget)."""
    dev_prompts: int = Field(default=100, ge=0)
    """Dev prompts per evaluation, one completion each; 0 or a task without dev split: no such curve."""


class Comparison(_Section):
    """What is tested, declared before the run."""

    primary: str | None = None
    """The metric that verdicts are about; the task's by default."""
    confidence: float = Field(default=0.95, gt=0.5, le=0.999)
    replicates: int = Field(default=10_000, ge=100)
    """Bootstrap replicates."""
    margin: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Smallest difference that matters, per metric; used to call arms equivalent."""


class Experiment(_Section):
    """A whole experiment file."""

    name: str
    base_policy: BasePolicy
    sft: Sft = Sft()
    tasks: tuple[str, ...] = Field(min_length=1)
    """Names of built-in tasks, or paths of task folders."""
    reward: RewardEntry | None = None
    """What training maximises; the task's reward by default. `reward_model.reward` is a model that is trained here."""
    gold: RewardEntry | None = None
    """What is only measured, beside the reward; the task's gold reward by default."""
    reward_model: RewardModelTraining | None = None
    """How the reward model is trained, where the reward is one and names no files of its own."""
    algorithms: tuple[AlgorithmEntry, ...] = Field(min_length=1)
    trainer: Literal["native"] = "native"
    seeds: tuple[StrictInt, ...] = Field(min_length=1)
    budget: Budget
    rollout: Rollout = Rollout()
    evaluation: Evaluation = Evaluation()
    training: Training = Training()
    comparison: Comparison = Comparison()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of forward passes; weights and optimizer stay in float32."""

    _check_name = field_validator("name")(check_name)

    @field_validator("sft", mode="before")
    @classmethod
    def _sft_by_word(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value

    @field_validator("reward", "gold", mode="before")
    @classmethod
    def _reward_by_column(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        grader, point, column = value.partition(".")
        if not (grader and point and column):
            raise ValueError(f"expected grader.column, such as rouge.rougeL, got {value!r}")
        return {"grader": grader, "column": column}

    @field_validator("algorithms", mode="before")
    @classmethod
    def _algorithm_by_name(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [{"name": entry} if isinstance(entry, str) else entry for entry in value]
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, values in (
            ("seeds", self.seeds),
            ("tasks", self.tasks),
            ("algorithms (set label to tell them apart)", [entry.label for entry in self.algorithms]),
        ):
            twice = sorted({str(value) for value in values if list(values).count(value) > 1})
            if twice:
                raise ValueError(f"{what}: given twice: {', '.join(twice)}")
        batch = self.rollout.prompts_per_batch * self.rollout.completions_per_prompt
        for budget in [self.budget, *(entry.budget for entry in self.algorithms if entry.budget)]:
            if budget.completions % batch:
                raise ValueError(
                    f"budget.completions is {budget.completions}, expected a multiple of the rollout batch of {batch} "
                    f"completions (rollout.prompts_per_batch x rollout.completions_per_prompt)"
                )
        if self.base_policy.builder == "tiny" and self.sft.source == "none":
            raise ValueError("base_policy: {builder: tiny} is untrained; it needs sft: demonstrations")
        return self


AlgorithmEntry.model_rebuild()


def read_experiment(path: Path, changes: list[str] | None = None) -> tuple[Experiment, YamlDocument]:
    """Read an experiment file and apply `changes` of the form "a.b=value" (the value is YAML).

    Raises:
        InputError: the file or a change is wrong; the message names file and line.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        raise InputError(f"{path}:1: expected a mapping of experiment keys, got {type(document.data).__name__}")
    for change in changes or []:
        _apply(document.data, change)
    return validate(document, Experiment), document


def _apply(data: Any, change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator or not key:
        raise InputError(f"--set {change}: expected KEY=VALUE, for example budget.completions=1024")
    *parents, last = key.split(".")
    for part in parents:
        if isinstance(data, list):
            index = _index(change, part, data)
            if isinstance(data[index], str):  # an algorithm that is written as its name alone
                data[index] = {"name": data[index]}
            data = data[index]
        else:
            data = data.setdefault(part, {})
        if not isinstance(data, dict | list):
            raise InputError(f"--set {change}: {part!r} holds a single value, so nothing can be set inside it")
    value = parse_yaml(text, f"--set {key}").data if text.strip() else None
    if isinstance(data, list):
        data[_index(change, last, data)] = value
    else:
        data[last] = value


def _index(change: str, part: str, data: list[Any]) -> int:
    if not (part.isascii() and part.isdigit()) or int(part) >= len(data):
        raise InputError(f"--set {change}: expected an index from 0 to {len(data) - 1}, got {part!r}")
    return int(part)


def pinned(experiment: Experiment, revision: str) -> Experiment:
    """The experiment with the revision of its hub policy written down."""
    return experiment.model_copy(
        update={"base_policy": experiment.base_policy.model_copy(update={"revision": revision})}
    )


def dump_experiment(experiment: Experiment) -> str:
    """YAML of the experiment with every default written out; reading it gives the same experiment."""
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
