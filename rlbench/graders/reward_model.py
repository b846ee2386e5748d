"""Judges completions with a reward model, or with the mean of several.

Columns: `reward` (the mean over the models), `lowest` (the smallest reward that one of them gives: a cautious reward,
Coste et al. 2023, arXiv:2310.02743) and `spread` (their standard deviation, with n − 1; NaN for a single model).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from rlbench.errors import InputError
from rlbench.graders.memory import Memory, key
from rlbench.graders.options import Options, read_options
from rlbench.records import Candidate, Chat, Grader, Judgement, Scored

if TYPE_CHECKING:
    from rlbench.policies.reward_model import RewardModel

COLUMNS = ("reward", "lowest", "spread")


class _Options(Options):
    """`paths` are folders of models, several make an ensemble; `hub` with a `revision` is one of the hub instead.

    `label` names the output of a classifier with several whose log odds are the reward. `batch_size` is how many texts
    are judged at a time; a fixed size keeps a reward from depending on what is judged beside it. `device` is where.
    """

    paths: tuple[str, ...] = Field(default=(), strict=False)
    hub: str | None = None
    revision: str | None = None
    label: str | int | None = None
    batch_size: int = Field(default=16, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _one_source(self) -> _Options:
        if self.paths and self.hub:
            raise ValueError("expected paths or hub, got both")
        if self.revision and not self.hub:
            raise ValueError("revision is that of a hub id; expected hub beside it")
        return self


def reward_model(**options: object) -> Grader:
    """Return the grader of a reward model.

    Without `paths` and `hub` there is nothing to judge with yet: an experiment that trains its reward model puts them
    in. Models are loaded once per process, when the first completion is judged.

    Raises:
        InputError: an option is unknown or wrong.
    """
    chosen = read_options("reward_model", _Options, options)
    memory = Memory[tuple[float, ...]]()

    def grade(candidates: Sequence[Candidate]) -> list[Judgement]:
        models = _models(chosen)

        def ask(positions: list[int]) -> list[tuple[float, ...]]:
            new = [candidates[position] for position in positions]
            texts = [(candidate.sample.prompt, candidate.completion) for candidate in new]
            return list(zip(*(model.rewards(texts, chosen.batch_size) for model in models), strict=True))

        keys = [key(*_prompt(candidate.sample.prompt), candidate.completion) for candidate in candidates]
        return [_judge(each) for each in memory.answers(keys, ask)]

    return Grader(
        name="reward_model",
        version=1,
        columns=COLUMNS,
        grade=grade,
        description="reward that a sequence classifier, or the mean of several, gives the completion of the prompt",
        options=chosen.model_dump(mode="json"),
    )


def _judge(rewards: Sequence[float]) -> Judgement:
    spread = stdev(rewards) if len(rewards) > 1 else math.nan
    return Scored({"reward": fmean(rewards), "lowest": min(rewards), "spread": spread})


def _prompt(prompt: str) -> tuple[object, ...]:
    """What a prompt says: the messages of a chat are not the text that they make."""
    return ("chat", *prompt.messages) if isinstance(prompt, Chat) else ("text", str(prompt))


def _models(chosen: _Options) -> list[RewardModel]:
    sources = chosen.paths or ((chosen.hub,) if chosen.hub else ())
    if not sources:
        raise InputError(
            "grader 'reward_model': no reward model: give paths or hub, or let an experiment train one "
            "(docs/reward_model.md)"
        )
    return [_load(source, chosen.revision, chosen.label, chosen.device) for source in sources]


@cache
def _load(
    source: str, revision: str | None, label: str | int | None, device: Literal["auto", "cpu", "cuda"]
) -> RewardModel:
    from rlbench.policies.device import resolve_device
    from rlbench.policies.reward_model import load_reward_model

    return load_reward_model(source, resolve_device(device), revision=revision, label=label)
