"""What all runs of an experiment share, by identity: base and SFT policies, reward models and orders of prompts."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from rlbench.artifacts.files import hash_file, hash_json
from rlbench.artifacts.identity import Identity
from rlbench.graders.roles import load_grader
from rlbench.policies.location import model_files
from rlbench.resolution import Resolved
from rlbench.spec import RewardModelTraining
from rlbench.stages import prepare
from rlbench.stages.rewards import TRAINED
from rlbench.tasks.task import Task


class SharedParts:
    """The calls of the stage `prepare` that an experiment needs."""

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self.experiment = resolved.experiment

    @cached_property
    def base(self) -> Identity:
        """The base policy."""
        policy, split = self.experiment.base_policy, self.experiment.evaluation.split
        config: dict[str, Any] = {
            "make": "base",
            "tasks": {},
            "policy": self.reading(),
        }
        for name, task in self.resolved.tasks.items():
            read = [part for part in ("train", "dev", split) if part in task.splits]
            config["tasks"][name] = {"data": task.fingerprint(*read), "split": split}
            config["tasks"][name]["max_new_tokens"] = self.resolved.max_new_tokens(task)
        if self.resolved.base_path is not None:
            config["files"] = {path.name: hash_file(path) for path in model_files(self.resolved.base_path)}
        else:
            config["tiny"] = {"hidden_size": policy.hidden_size, "layers": policy.layers, "heads": policy.heads}
            config["texts"] = {name: task.fingerprint("demonstrations") for name, task in self.resolved.tasks.items()}
        return Identity("prepare", "base", {}, config, {"stage": prepare.VERSION})

    def reading(self) -> dict[str, Any]:
        """How every stage loads a policy: the keyword arguments of `load_policy`."""
        stops, rollout = self.experiment.base_policy.stop_token_ids, self.experiment.rollout
        return {
            "dtype": self.experiment.dtype,
            "stop_token_ids": None if stops is None else list(stops),
            "max_prompt_tokens": rollout.max_prompt_tokens,
            "truncation_side": rollout.truncation_side,
        }

    def sft(self, task: Task) -> Identity:
        """The SFT policy of a task; the base policy itself if there is no SFT."""
        if self.experiment.sft.source == "none":
            return self.base
        settings = self.experiment.sft.model_dump(exclude={"source"})
        config = {"make": "sft", "task": task.name, "demonstrations": task.fingerprint("demonstrations")}
        config |= {"policy": self.reading()} | settings
        return Identity("prepare", f"sft.{task.name}", {"base": self.base}, config, {"stage": prepare.VERSION})

    def prompts_needed(self, completions: int) -> int:
        """How many prompts a budget of completions takes."""
        return completions // self.experiment.rollout.completions_per_prompt

    def prompts(self, task: Task) -> Identity:
        """The shared order of training prompts, long enough for the largest budget."""
        budgets = [entry.budget or self.experiment.budget for entry in self.experiment.algorithms]
        longest = max(budget.completions for budget in [*budgets, self.experiment.budget])
        config = {
            "make": "prompts",
            "task": task.name,
            "split": task.fingerprint("train"),
            "prompts": self.prompts_needed(longest),
        }
        versions = {"stage": prepare.VERSION}
        rewards = [self.resolved.reward(task), *self.resolved.roles(task).values()]
        graders = [(entry, load_grader(entry["grader"], entry["options"])) for entry in rewards]
        telling = {hash_json(entry): (entry, grader) for entry, grader in graders if grader.admits is not None}
        if telling:  # they say which training and dev prompts are left out
            config["rewards"] = [entry for entry, _ in telling.values()]
            config["dev"] = task.fingerprint("dev") if "dev" in task.splits else None
            versions |= {f"grader {grader.name}": grader.version for _, grader in telling.values()}
        return Identity("prepare", f"prompts.{task.name}", {}, config, versions)

    def pairs(self, task: Task) -> Identity:
        """The pairs of completions that the reward model learns from and is measured on."""
        training, gold = self._reward_model(task), self.resolved.gold(task)
        own = training.labels == "preferences"
        grader = load_grader(gold["grader"], gold["options"])
        config = {
            "make": "pairs",
            "task": task.name,
            "labels": training.labels,
            "pairs": training.pairs,
            "held_out": training.held_out,
            "noise": training.noise,
            "seed": 0,
            "gold": None if own else gold,
            "sampling": None
            if own
            else {
                "temperature": self.experiment.rollout.temperature,
                "max_new_tokens": self.resolved.max_new_tokens(task),
            },
            "data": task.fingerprint("preferences" if own else "train"),
            "dev": task.fingerprint("dev") if not own and "dev" in task.splits else None,
            "policy": None if own else self.reading(),
        }
        versions = {"stage": prepare.VERSION} | ({} if own else {"gold": grader.version})
        return Identity("prepare", f"pairs.{task.name}", {} if own else {"sft": self.sft(task)}, config, versions)

    def reward_model(self, task: Task) -> Identity:
        """The reward model of a task, trained on its pairs."""
        settings = self._reward_model(task).model_dump(
            include={"epochs", "batch_size", "learning_rate", "margin", "centre"}
        )
        config = {
            "make": "reward_model",
            "task": task.name,
            "members": self._reward_model(task).ensemble,
            "policy": self.reading(),
        }
        inputs = {"sft": self.sft(task), "pairs": self.pairs(task)}
        return Identity("prepare", f"reward_model.{task.name}", inputs, config | settings, {"stage": prepare.VERSION})

    def _reward_model(self, task: Task) -> RewardModelTraining:
        training = self.resolved.reward_model(task)
        assert training is not None, "only tasks with a reward model that is trained here are asked for it"
        return training

    def trained_reward(self, task: Task) -> dict[str, Identity]:
        """The reward model as an input of training and scoring, where there is one."""
        return {TRAINED: self.reward_model(task)} if self.resolved.reward_model(task) else {}

    def fingerprints(self, task: Task) -> dict[str, str]:
        """What all runs on a task are made from."""
        made = {"base": self.base, "sft": self.sft(task), **self.trained_reward(task)}
        return {name: identity.fingerprint for name, identity in made.items()}

    def all(self) -> list[Identity]:
        """Every part, each after what it is made from."""
        parts = [self.base]
        for task in self.resolved.tasks.values():
            if self.sft(task) is not self.base:
                parts.append(self.sft(task))
            if self.resolved.reward_model(task):
                parts += [self.pairs(task), self.reward_model(task)]
            parts.append(self.prompts(task))
        return parts
