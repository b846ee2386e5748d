"""TRL in general: is it there, which options does a trainer have, building one without noise."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import importlib
import importlib.util
import logging
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from rlbench.conformance.fixed import save_policy, save_policy_with_dropout
from rlbench.errors import InputError

P = ParamSpec("P")
T = TypeVar("T")


def require() -> str:
    """Return the installed version of TRL.

    Raises:
        InputError: it is not installed.
    """
    if importlib.util.find_spec("trl") is None:
        raise InputError("conform trl needs the package trl, which is not installed; pip install 'rlbench[trl]'")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here comes from the hub
    return version("trl")


def library() -> Any:
    """The package; imported by name because it may be missing and leaves its names untyped."""
    return importlib.import_module("trl")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, warnings or logs, and random states as they were before."""
    import datasets

    bars, level = datasets.are_progress_bars_disabled(), logging.root.manager.disable
    loading = transformers_logging.is_progress_bar_enabled()
    states = random.getstate(), np.random.get_state()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        random.setstate(states[0])
        np.random.set_state(states[1])
        if not bars:
            datasets.enable_progress_bars()
        if loading:
            transformers_logging.enable_progress_bar()


def silenced(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function under `quiet`."""

    @wraps(function)
    def run(*arguments: P.args, **keywords: P.kwargs) -> T:
        with quiet():
            return function(*arguments, **keywords)

    return run


@contextlib.contextmanager
def substituted(target: Any, **attributes: Any) -> Iterator[None]:
    """Replace attributes of one object for a while; its class stays as it is."""
    missing = object()
    before = {name: vars(target).get(name, missing) for name in attributes}
    for name, value in attributes.items():
        setattr(target, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                delattr(target, name)
            else:
                setattr(target, name, value)


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="rlbench-conform-")


def scratch(name: str) -> Path:
    """A new folder for what a trainer may write."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_scratch().name))


@cache
def policy_folder(dropout: bool = False) -> Path:
    """The folder of the tiny policy, or of the one with dropout."""
    folder = scratch("policy")
    with torch.random.fork_rng(devices=[]):
        (save_policy_with_dropout if dropout else save_policy)(folder)
    return folder


RESERVED = {
    *("output_dir", "save_strategy", "report_to", "disable_tqdm"),
    *("use_cpu", "bf16", "fp16", "use_vllm", "model_init_kwargs", "gradient_checkpointing"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "generation_batch_size"),
    *("num_generations", "max_completion_length"),
}
"""Options that the check sets itself: it runs on the CPU, in float32, on fixed tensors."""


def build_config(kind: type[Any], options: Mapping[str, Any], **fixed: Any) -> Any:
    """Build TRL's configuration `kind` from the user's options and what the check needs.

    Raises:
        InputError: an option does not exist, is set by the check, or TRL refuses its value.
    """
    known = {field.name for field in dataclasses.fields(kind) if field.init}
    for name in options:
        if name in RESERVED:
            raise InputError(f"option {name!r} of {kind.__name__} is set by the check itself; leave it out")
        if name not in known:
            near = ", ".join(repr(one) for one in difflib.get_close_matches(name, known, n=3)) or "none is near"
            raise InputError(f"{kind.__name__} has no option {name!r}; nearest: {near}")
    settings = {
        "output_dir": str(scratch("output")),
        "report_to": "none",
        "bf16": False,
        "use_cpu": True,
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        **fixed,
    }
    try:
        return kind(**{name: value for name, value in settings.items() if name in known}, **options)
    except (ValueError, TypeError) as error:
        raise InputError(f"{kind.__name__} refuses {dict(options)}: {error}") from error


def build_trainer(kind: type[Any], options: Mapping[str, Any], **arguments: Any) -> Any:
    """Build a trainer in training mode, as if no micro-batches were accumulated.

    Raises:
        InputError: TRL refuses the options.
    """
    try:
        trainer = kind(**arguments)
    except (ValueError, TypeError, NotImplementedError, ImportError) as error:
        raise InputError(f"{kind.__name__} refuses {dict(options)}: {error}") from error
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def scale_of(trainer: Any, parts: int) -> float:
    """What transformers' loop multiplies the loss of a micro-batch by, unless the trainer has done so itself."""
    return 1.0 if trainer.loss_is_scaled_for_ga else 1.0 / parts
