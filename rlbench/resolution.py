"""What the names in an experiment file stand for, and the checks that need names from several floors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from rlbench.algorithms.algorithm import Algorithm
from rlbench.algorithms.options import Options
from rlbench.artifacts.files import hash_file, read_json
from rlbench.errors import InputError
from rlbench.graders.roles import as_reward, in_role, load_grader
from rlbench.policies.location import download, locate, model_files
from rlbench.records import Grader, Metric
from rlbench.registry import load, unknown
from rlbench.spec import Experiment, RewardEntry, RewardModelTraining, pinned, read_experiment
from rlbench.stages.rewards import (
    GOLD,
    REWARD,
    ROLES,
    TRAINED,
    is_trained_here,
    needs_training,
    reward_models,
)
from rlbench.tasks.leaks import check_leaks
from rlbench.tasks.task import Task, load_task
from rlbench.yaml_file import YamlDocument, blame, read_yaml


class Resolved:
    """The algorithms, tasks, metrics, graders and base policy of an experiment. Making one checks them all.

    Args:
        experiment: as it was read.
        recorded: the experiment file that an earlier run of the same folder wrote, if there is one.
        data_dir: local copies of public data.
        document: where the experiment was read from, for messages with a line.

    Raises:
        InputError: a name does not exist, an option is wrong, data is missing or leaks between splits.
    """

    def __init__(
        self, experiment: Experiment, recorded: Path, data_dir: Path | None, document: YamlDocument | None
    ) -> None:
        self.experiment = experiment
        self.document = document
        self.algorithms: dict[str, Algorithm] = {}
        for index, entry in enumerate(experiment.algorithms):
            with blame(document, "algorithms", index):
                self.algorithms[entry.label] = load("algorithms", entry.name)(**entry.options)
                _check_fit(self.algorithms[entry.label], experiment)
        self.tasks: dict[str, Task] = {}
        for index, name in enumerate(experiment.tasks):
            with blame(document, "tasks", index):
                task = load_task(name, data_dir)
                if task.name in self.tasks:
                    raise InputError(f"tasks: two of them are called {task.name!r}; name every task once")
                self.tasks[task.name] = task
        with blame(document, "base_policy"):
            self.experiment = _with_revision(experiment, recorded)
            self.base_path = locate(self.experiment.base_policy, data_dir)
            if self.base_path is not None:
                model_files(self.base_path)
                if experiment.base_policy.hub:  # the hub's cache names a snapshot by its commit
                    self.experiment = pinned(self.experiment, self.base_path.name)
        for task in self.tasks.values():
            self._check(task)

    def metrics(self, task: Task) -> list[Metric]:
        """The metrics to report on a task; the primary one is always among them."""
        names = list(self.experiment.evaluation.metrics or task.metrics)
        if self.primary(task) not in names:
            names.insert(0, self.primary(task))
        if self.roles(task):
            names += [name for name in ("gold_reward", "proxy_reward") if name not in names]
        return [load("metrics", name) for name in names]

    def primary(self, task: Task) -> str:
        """The metric that the task's verdicts are about."""
        return self.experiment.comparison.primary or task.primary

    def graders(self, task: Task) -> dict[str, Grader]:
        """The graders that the task's metrics need, those in the roles of reward and gold reward under these names."""
        roles = self.roles(task)
        needed = sorted({metric.grader for metric in self.metrics(task)})
        return {
            name: in_role(name, load_grader(roles[name]["grader"], roles[name]["options"]), roles[name]["column"])
            if name in roles
            else load_grader(name, self._measuring_options(task, name))
            for name in needed
        }

    def grader_config(self, task: Task) -> dict[str, dict[str, Any]]:
        """What a call is told about each of the `graders`: the options, or what plays the role."""
        roles = self.roles(task)
        return {name: roles.get(name) or dict(grader.options) for name, grader in self.graders(task).items()}

    def _measuring_options(self, task: Task, grader: str) -> dict[str, Any]:
        """Options of a grader that measures: the gold reward's or the task's, and those of the reward at last."""
        gold, reward = self.experiment.gold, self.experiment.reward
        if gold is not None and gold.grader == grader and gold.options:
            return dict(gold.options)
        if grader in task.graders or reward is None or reward.grader != grader:
            return dict(task.graders.get(grader, {}))
        return dict(reward.options)

    def reward(self, task: Task) -> dict[str, Any]:
        """Grader, column and options of what training maximises."""
        return _role(task, self.experiment.reward, task.reward)

    def gold(self, task: Task) -> dict[str, Any]:
        """Grader, column and options of what is only measured; perhaps those of the reward."""
        return _role(task, self.experiment.gold, task.gold)

    def roles(self, task: Task) -> dict[str, dict[str, Any]]:
        """Reward and gold reward by role; empty where they are the same."""
        reward, gold = self.reward(task), self.gold(task)
        return {} if reward == gold else {REWARD: reward, GOLD: gold}

    def reward_model(self, task: Task) -> RewardModelTraining | None:
        """How the task's reward model is trained; None if its reward is not one that is trained here."""
        if not needs_training(self.reward(task)):
            return None
        return self.experiment.reward_model or RewardModelTraining()

    def _check_reward_model(self, task: Task) -> None:
        """Refuse a reward model that nothing can be trained from, that nobody would use, or that tells nothing."""
        training, roles, reward = self.reward_model(task), self.roles(task), self.reward(task)
        if roles and needs_training(roles[GOLD]):
            raise InputError(
                "gold: a reward model that is trained here cannot be the gold reward; expected another grader, or paths"
            )
        if training is None:
            if self.experiment.reward_model is not None:
                raise InputError(
                    f"reward_model: the reward of task {task.name!r} is {reward['grader']}.{reward['column']} and "
                    f"needs none that is trained here; set reward: reward_model.reward without paths or hub, or leave "
                    f"reward_model out"
                )
            return
        if training.labels == "preferences" and not task.has_preferences:
            raise InputError(
                f"reward_model.labels is 'preferences', but task {task.name!r} has no preference pairs; use 'gold', or "
                f"give its task.yaml preferences"
            )
        if training.labels == "gold" and needs_training(self.gold(task)):
            raise InputError(
                f"reward_model.labels is 'gold', but task {task.name!r} has no gold reward beside the reward model; "
                f"set gold: grader.column, or labels: preferences"
            )
        if any(is_trained_here(model) and model.get("label") is not None for model in reward_models(reward)):
            raise InputError("reward: a reward model that is trained here has one output; leave its option label out")
        if reward["column"] == "spread" and training.ensemble == 1:
            raise InputError(
                "reward: reward_model.spread is the disagreement of several models, but reward_model.ensemble is 1; "
                "expected reward_model.reward or reward_model.lowest"
            )

    def _check(self, task: Task) -> None:
        of_task = read_yaml(task.folder / "task.yaml")
        for name, entry, role in (
            (REWARD, self.experiment.reward, self.reward),
            (GOLD, self.experiment.gold, self.gold),
        ):
            with blame(self.document if entry else of_task, name):
                found = role(task)
                as_reward(load_grader(found["grader"], found["options"]), found["column"])
        key = next((key for key in (TRAINED, GOLD, REWARD) if getattr(self.experiment, key) is not None), "tasks")
        with blame(self.document, key):
            self._check_reward_model(task)
        named = self.experiment.evaluation.metrics
        for index, name in enumerate(named or task.metrics):
            with blame(self.document, "evaluation", "metrics", index) if named else blame(of_task, "metrics", index):
                if load("metrics", name).grader in ROLES and not self.roles(task):
                    raise InputError(
                        f"metric {name!r} is for experiments whose reward is not the gold reward; on task "
                        f"{task.name!r} they are the same; leave the metric out"
                    )
        with blame(self.document, "comparison", "primary"):
            load("metrics", self.primary(task))
        with blame(of_task, "graders"):
            self.graders(task)
        for metric in self.metrics(task):
            missing = set(metric.columns) - set(self.graders(task)[metric.grader].columns)
            if missing:
                raise InputError(f"metric {metric.name!r} needs columns that its grader lacks: {', '.join(missing)}")
        with blame(self.document, "evaluation", "samples_per_prompt"):
            self._check_samples(task)
        known = [metric.name for metric in self.metrics(task)]
        for name in sorted(set(self.experiment.comparison.margin) - set(known)):
            with blame(self.document, "comparison", "margin", name):
                raise unknown("comparison.margin: metric", name, known)
        with blame(self.document, "tasks", list(self.tasks).index(task.name)):
            task.samples("train")
        with blame(self.document, "evaluation", "split"):
            have = len(task.samples(self.experiment.evaluation.split))
        with blame(self.document, "evaluation", "prompts"):
            if (wanted := self.experiment.evaluation.prompts) is not None and wanted > have:
                raise InputError(f"evaluation.prompts is {wanted}, but task {task.name!r} has only {have} in its split")
        if self.experiment.sft.source == "demonstrations":
            with blame(self.document, "sft"):
                task.demonstrations()
        with blame(self.document, "tasks", list(self.tasks).index(task.name)):
            check_leaks(task, self.experiment.evaluation.split)

    def _check_samples(self, task: Task) -> None:
        have = self.experiment.evaluation.samples_per_prompt
        largest = max(self.metrics(task), key=lambda metric: metric.completions_needed)
        if largest.completions_needed > have:
            raise InputError(
                f"evaluation.samples_per_prompt is {have}, but metric {largest.name!r} of task {task.name!r} needs at "
                f"least {largest.completions_needed} completions of every prompt; set it to that or more, or choose "
                f"other metrics"
            )

    def max_new_tokens(self, task: Task) -> int:
        """Length limit of completions on a task."""
        return self.experiment.rollout.max_new_tokens or task.max_new_tokens

    def warnings(self) -> list[dict[str, str]]:
        """What is allowed but rarely meant: {arm, text} each."""
        return [
            {"arm": arm, "text": text}
            for arm, algorithm in self.algorithms.items()
            if isinstance(algorithm.options, Options)  # a plug-in's may be another model
            for text in algorithm.options.suspicions()
        ]


def _role(task: Task, entry: RewardEntry | None, of_task: tuple[str, str]) -> dict[str, Any]:
    """Grader, column and options of a role; of reward models in folders also what the folders hold."""
    grader, column = (entry.grader, entry.column) if entry else of_task
    given = dict(entry.options) if entry and entry.options else dict(task.graders.get(grader, {}))
    options = copy.deepcopy(dict(load_grader(grader, given).options))
    role: dict[str, Any] = {"grader": grader, "column": column, "options": options}
    files = {}
    for model in reward_models(role):
        if model.get("hub") and not model.get("revision"):
            model["revision"] = download(model["hub"], None, "reward_model.hub").name
        for path in model.get("paths") or ():
            files[path] = {file.name: hash_file(file) for file in model_files(Path(path), "reward model")}
            _check_classifier(Path(path))
    return role | ({"files": files} if files else {})


def _check_classifier(folder: Path) -> None:
    """Refuse the folder of a language model in the place of a reward model, before anything is trained."""
    architectures = read_json(folder / "config.json").get("architectures") or ["unknown"]
    if not any(name.endswith("ForSequenceClassification") for name in architectures):
        raise InputError(
            f"reward model: {folder} holds a {architectures[0]}; expected a sequence classifier, such as a "
            f"LlamaForSequenceClassification"
        )


def _check_fit(algorithm: Algorithm, experiment: Experiment) -> None:
    """Refuse options that do not go with the experiment's rollouts."""
    rollout, options = experiment.rollout, algorithm.options
    batch = rollout.prompts_per_batch * rollout.completions_per_prompt
    if getattr(options, "minibatches", 1) > batch:
        raise InputError(
            f"algorithm {algorithm.name!r}: minibatches is {options.minibatches}, more than the {batch} "
            f"completions of a rollout batch; every optimizer step needs at least one"
        )
    plain = getattr(options, "logprob_temperature", "sampling") == "one"
    if algorithm.data == "rollouts" and plain and rollout.temperature != 1:
        raise InputError(
            f"algorithm {algorithm.name!r}: logprob_temperature is 'one' while rollout.temperature is "
            f"{rollout.temperature}, so ratio and KL would be about another policy than the one that sampled; "
            f"expected 'sampling'"
        )


def _with_revision(experiment: Experiment, recorded: Path) -> Experiment:
    """Keep to the revision that the run folder recorded first, if the experiment leaves it open."""
    policy = experiment.base_policy
    if policy.hub is None or policy.revision is not None or not recorded.is_file():
        return experiment
    before = read_experiment(recorded)[0].base_policy
    return pinned(experiment, before.revision) if before.hub == policy.hub and before.revision else experiment
