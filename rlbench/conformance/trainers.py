"""The trainers that can be checked. Another one is a file of functions and an entry here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlbench.conformance.axis import Axis, Check
from rlbench.errors import InputError, RlbenchError
from rlbench.registry import unknown


@dataclass(frozen=True)
class Trainer:
    """An installed trainer: `require` returns its version or says what to install; `checks` by algorithm."""

    require: str
    checks: Mapping[str, str]
    looked_at: Mapping[str, frozenset[str]]
    """Options whose effect the probes would see, by algorithm. With any other the verdict is open."""


_GROUPS = frozenset(
    [
        "loss_type",
        "beta",
        "epsilon",
        "epsilon_high",
        "delta",
        "importance_sampling_level",
        "scale_rewards",
        "temperature",
        "disable_dropout",
        "mask_truncated_completions",
        "use_bias_correction_kl",
        "top_entropy_quantile",
    ]
)
_PAIRS = frozenset(["beta", "loss_type", "label_smoothing", "max_length", "truncation_mode", "disable_dropout"])
TRAINERS = {
    "trl": Trainer(
        "rlbench.conformance.trl_library:require",
        {
            "grpo": "rlbench.conformance.trl_rollouts:grpo",
            "gspo": "rlbench.conformance.trl_rollouts:gspo",
            "rloo": "rlbench.conformance.trl_rollouts:rloo",
            "dpo": "rlbench.conformance.trl_dpo:dpo",
            "reward_model": "rlbench.conformance.trl_reward_model:reward_model",
            "sft": "rlbench.conformance.trl_sft:sft",
        },
        {
            "grpo": _GROUPS,
            "gspo": _GROUPS,
            "rloo": frozenset(
                [
                    "beta",
                    "epsilon",
                    "epsilon_high",
                    "temperature",
                    "normalize_advantages",
                    "mask_truncated_completions",
                    "disable_dropout",
                ]
            ),
            "dpo": _PAIRS,
            "reward_model": frozenset({"max_length", "center_rewards_coefficient", "disable_dropout"}),
            "sft": frozenset({"max_length", "completion_only_loss", "loss_type", "truncation_mode"}),
        },
    )
}
"""Places are named, not imported: a trainer's library is loaded when it is asked for."""


def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


def conform(
    trainer: str, algorithm: str | None = None, options: Mapping[str, Any] | None = None, ours: Any = None
) -> tuple[str, list[Check]]:
    """Check a trainer and return its version and what was found, for all its algorithms or for one.

    Args:
        trainer: a name in `TRAINERS`.
        algorithm: one of its algorithms; None for all of them as they come.
        options: of the trainer, for that algorithm.
        ours: options of our algorithm, where another definition than the pinned one is wanted.

    Raises:
        InputError: a name or an option is unknown or refused, or the trainer is not installed.
    """
    if trainer not in TRAINERS:
        raise unknown("trainer", trainer, TRAINERS)
    entry = TRAINERS[trainer]
    if algorithm is not None and algorithm not in entry.checks:
        raise unknown(f"algorithm of {trainer}", algorithm, entry.checks)
    if algorithm is None and (options or ours):
        raise InputError("options belong to one algorithm; name it with --algorithm")
    version = str(_load(entry.require)())
    names: Sequence[str] = list(entry.checks) if algorithm is None else [algorithm]
    found = [_check(entry.checks[name], name, dict(options or {}), dict(ours or {})) for name in names]
    return version, [_with_unseen(check, entry.looked_at[check.algorithm]) for check in found]


def _with_unseen(check: Check, looked_at: frozenset[str]) -> Check:
    """The check, open where an option was set whose effect no probe would see."""
    unseen = sorted(set(check.options) - looked_at)
    if not unseen:
        return check
    words = "set, but no probe would see what they do"
    return replace(check, axes=(*check.axes, Axis("other options", "none", ", ".join(unseen), "cannot tell", words)))


def _check(place: str, name: str, options: dict[str, Any], ours: dict[str, Any]) -> Check:
    """Run one check. A trainer whose loss cannot be called any more, or not with these options, tells nothing."""
    try:
        found: Check = _load(place)(options, ours)
    except RlbenchError:
        raise
    except Exception as error:  # the trainer's own code runs here, with whatever it raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        failed = Axis("loss", "pinned definition", None, "cannot tell", f"its loss could not be run: {reason}")
        return Check(name, options, ours, (failed,), None, None, ())
    return found
