"""Graders in the roles of an experiment: the reward that trains and the gold reward that is only measured.

A role is described in a call's config by `grader`, `column` and `options`. Where the reward is a reward model that
the experiment trained, its folders are those of the call's input `reward_model`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from rlbench.artifacts.call import Call
from rlbench.graders.roles import in_role, load_grader
from rlbench.records import Grader

REWARD, GOLD = "reward", "gold"
ROLES = (REWARD, GOLD)
TRAINED = "reward_model"
"""The input that holds a trained reward model, and the grader that judges with it."""


def reward_models(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The options of every reward model that plays the role, alone or as a part of a composition."""
    named = [entry, *entry["options"].get("parts", {}).values()]
    return [each["options"] for each in named if each["grader"] == TRAINED]


def is_trained_here(options: Mapping[str, Any]) -> bool:
    """Whether a reward model names no files, so that the experiment must train it."""
    return not options.get("paths") and not options.get("hub")


def needs_training(entry: Mapping[str, Any]) -> bool:
    """Whether a reward model that is trained here plays the role, or a part of it."""
    return any(is_trained_here(options) for options in reward_models(entry))


def role_grader(call: Call, entry: Mapping[str, Any]) -> Grader:
    """The grader of a role, with the reward model that the experiment trained, on the experiment's device."""
    complete = copy.deepcopy({"grader": entry["grader"], "options": dict(entry["options"])})
    for options in reward_models(complete):
        options["device"] = call.circumstances.device
        if is_trained_here(options):
            options["paths"] = [str(folder) for folder in sorted(call.input(TRAINED).glob("model-*"))]
    return load_grader(complete["grader"], complete["options"])


def scoring_grader(call: Call, name: str, options: Mapping[str, Any]) -> Grader:
    """The grader that a metric names: one of the roles, or any other with its options."""
    if name in ROLES:
        return in_role(name, role_grader(call, options), options["column"])
    return load_grader(name, options)
