"""The records that floors hand to each other. Plain frozen values without behaviour, torch or file names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
OutcomeStatus = Literal["completed", "diverged", "failed"]


@dataclass(frozen=True)
class UnitTests:
    """How code is judged: by Python `code` that calls `entry_points`, or by `cases` of standard input and output.

    `setup` is trusted code that the tests need (it never reaches the program); `starter` is code that a completion
    may continue, such as a signature with a docstring.
    """

    code: str = ""
    entry_points: tuple[str, ...] = ()
    setup: str = ""
    cases: tuple[tuple[str, str], ...] = ()
    starter: str = ""
    admitted: bool = False
    """Whether a grader's `admits` has passed them before, so that it need not check them again."""


@dataclass(frozen=True)
class Message:
    """One message of a chat; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class Chat(str):
    """A prompt that is written as chat messages. As text it is "role: content" paragraphs, for people.

    A policy writes the messages through its tokenizer's chat template, and refuses them if there is none.
    """

    messages: tuple[Message, ...]

    def __new__(cls, messages: Sequence[Message]) -> Chat:
        """Join the messages into the text that people read."""
        chat = super().__new__(cls, "\n\n".join(f"{message.role}: {message.content}" for message in messages))
        chat.messages = tuple(messages)
        return chat

    def __getnewargs__(self) -> tuple[tuple[Message, ...]]:  # type: ignore[override]
        """Say what a copy or a pickle is made from again."""
        return (self.messages,)


@dataclass(frozen=True)
class Preference:
    """Two completions of a prompt of which one is better."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Sample:
    """One item of a task.

    `references` are the texts a completion is compared with (possibly none); `answer` is the text that holds
    the gold answer of a verifiable task, or None; `tests` judge code, or None. `slices` names the group of the prompt
    in every slice that the task declares; nothing is judged by it.
    """

    sample_id: str
    prompt: str
    references: tuple[str, ...] = ()
    answer: str | None = None
    tests: UnitTests | None = None
    slices: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Candidate:
    """A completion of a sample, ready to be judged.

    `measured` holds what the sampling stage measured with a model (see `stages/sample.py`); it is empty for
    completions that somebody else produced.
    """

    sample: Sample
    completion: str
    completion_index: int = 0
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """The values of one completion by column name, and in a few words why they are what they are."""

    values: Mapping[str, float]
    reason: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)
    """How it was judged, in words, by column of text (such as `sandbox`)."""


@dataclass(frozen=True)
class Unscored:
    """A completion that could not be judged, and why. It is never counted as zero."""

    reason: str


Judgement = Scored | Unscored


@dataclass(frozen=True)
class Rewards:
    """What training maximises, one finite value per completion, and beside it whatever else the grader measured."""

    values: Sequence[float]
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By column of the grader; NaN where a completion has no such value."""


@dataclass(frozen=True)
class Grader:
    """What judges completions. The same grader trains (as a reward) and measures (as a score).

    `grade` takes all candidates at once and returns one judgement per candidate in order: `Scored` with a value
    for every name in `columns`, or `Unscored`. `version` is raised by hand when judgements change. `options` are
    what the factory was called with. `admits`, where a grader can tell, says of each sample why it cannot be judged
    soundly, or "": training leaves such samples out.
    """

    name: str
    version: int
    columns: tuple[str, ...]
    grade: Callable[[Sequence[Candidate]], Sequence[Judgement]]
    description: str
    options: Mapping[str, object] = field(default_factory=dict)
    admits: Callable[[Sequence[Sample]], Sequence[str]] | None = None


@dataclass(frozen=True)
class Metric:
    """How a grader's columns become one number.

    `components` maps the values of one grader, [..., len(columns)] with rows that were scored, to sufficient
    statistics [..., c] that add up over completions; `aggregate` maps their sum [..., c] to the metric [...].
    `higher_is_better` is None for a monitor that has no good direction.

    A metric that is no function of such total sums, as pass@k, has `per_prompt`: it maps the sums over the completions
    of each prompt [..., c] to what adds up over prompts [..., c'], zeros where nothing was scored, and `aggregate`
    takes the sum of that. `component_names` then name the c sums, which comparison.json keeps for every prompt.
    `completions_needed` is how many scored completions each prompt needs.
    """

    name: str
    grader: str
    columns: tuple[str, ...]
    components: Callable[[FloatArray], FloatArray]
    aggregate: Callable[[FloatArray], FloatArray]
    higher_is_better: bool | None
    unit: str
    description: str
    signature: str
    per_prompt: Callable[[FloatArray], FloatArray] | None = None
    component_names: tuple[str, ...] = ()
    completions_needed: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `completed`, `diverged` (at `step`) or `failed` (it crashed)."""

    status: OutcomeStatus
    detail: str = ""
    step: int | None = None
