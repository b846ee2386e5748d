"""Graders in the roles of an experiment: the reward that trains and the gold reward that is only measured.

A role is described in a call's config by `grader`, `column` and `options`. Where the reward is a reward model that
the experiment trained, its folders are those of the call's input `reward_model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlbench.artifacts.call import Call
from rlbench.graders.roles import in_role, load_grader
from rlbench.records import Grader

REWARD, GOLD = "reward", "gold"
ROLES = (REWARD, GOLD)
TRAINED = "reward_model"
"""The input that holds a trained reward model, and the grader that judges with it."""


def needs_training(entry: Mapping[str, Any]) -> bool:
    """Whether the role is played by a reward model that names no files, so that one must be trained."""
    options = entry["options"]
    return entry["grader"] == TRAINED and not options.get("paths") and not options.get("hub")


def role_grader(call: Call, entry: Mapping[str, Any]) -> Grader:
    """The grader of a role, with the reward model that the experiment trained if it needs one."""
    options = dict(entry["options"])
    if needs_training(entry):
        options["paths"] = [str(folder) for folder in sorted(call.input(TRAINED).glob("model-*"))]
    return load_grader(entry["grader"], options)


def scoring_grader(call: Call, name: str, options: Mapping[str, Any]) -> Grader:
    """The grader that a metric names: one of the roles, or any other with its options."""
    if name in ROLES:
        return in_role(name, role_grader(call, options), options["column"])
    return load_grader(name, options)
