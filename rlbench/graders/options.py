"""Checks the options that a grader's factory is called with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rlbench.errors import InputError


class Options(BaseModel):
    """Base of the options of one grader: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


AnyOptions = TypeVar("AnyOptions", bound=Options)


def read_options(grader: str, model: type[AnyOptions], options: Mapping[str, object]) -> AnyOptions:
    """Return the options as a value of `model`.

    Raises:
        InputError: an option is unknown, missing or has a wrong value.
    """
    try:
        return model.model_validate(options)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors(include_url=False))
        known = ", ".join(sorted(model.model_fields)) or "none"
        raise InputError(f"grader {grader!r}: {problems} (options: {known})") from error


def _explain(problem: object) -> str:
    assert isinstance(problem, dict)
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown option {name!r}"
    if problem["type"] == "missing":
        return f"option {name!r} is missing"
    if not name:  # about several options together
        return str(problem["msg"]).removeprefix("Value error, ")
    return f"option {name!r}: {str(problem['msg']).removeprefix('Value error, ')} (got {problem['input']!r})"
