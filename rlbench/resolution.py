"""What the names in an experiment file stand for, and the checks that need names from several floors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlbench.algorithms.algorithm import Algorithm
from rlbench.algorithms.options import Options
from rlbench.errors import InputError
from rlbench.graders.roles import as_reward, load_grader
from rlbench.policies.location import locate, model_files
from rlbench.records import Grader, Metric
from rlbench.registry import load, unknown
from rlbench.spec import Experiment, pinned, read_experiment
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
        return [load("metrics", name) for name in names]

    def primary(self, task: Task) -> str:
        """The metric that the task's verdicts are about."""
        return self.experiment.comparison.primary or task.primary

    def graders(self, task: Task) -> dict[str, Grader]:
        """The graders that the task's metrics need."""
        needed = sorted({metric.grader for metric in self.metrics(task)})
        return {name: load_grader(name, self._options(task, name)) for name in needed}

    def _options(self, task: Task, grader: str) -> dict[str, Any]:
        reward = self.experiment.reward
        if reward is not None and reward.grader == grader:
            return dict(reward.options)
        return dict(task.graders.get(grader, {}))

    def reward(self, task: Task) -> dict[str, Any]:
        """Grader, column and options of what training maximises."""
        entry = self.experiment.reward
        grader, column = (entry.grader, entry.column) if entry else task.reward
        return {"grader": grader, "column": column, "options": self._options(task, grader)}

    def _check(self, task: Task) -> None:
        of_task = read_yaml(task.folder / "task.yaml")
        reward, entry = self.reward(task), self.experiment.reward
        with blame(self.document if entry else of_task, "reward"):
            as_reward(load_grader(reward["grader"], reward["options"]), reward["column"])
        named = self.experiment.evaluation.metrics
        for index, name in enumerate(named or task.metrics):
            with blame(self.document, "evaluation", "metrics", index) if named else blame(of_task, "metrics", index):
                load("metrics", name)
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
