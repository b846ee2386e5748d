"""From an experiment file to the stage calls that make it, by identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbench.artifacts.call import Call, Circumstances
from rlbench.artifacts.identity import Identity
from rlbench.artifacts.run_folder import EXPERIMENT, RunFolder
from rlbench.graders.roles import load_grader
from rlbench.resolution import Resolved
from rlbench.shared_parts import SharedParts
from rlbench.spec import AlgorithmEntry, Experiment
from rlbench.stages import compare, report, sample, score, train
from rlbench.stages.rewards import GOLD, REWARD, TRAINED
from rlbench.tasks.task import Task
from rlbench.yaml_file import YamlDocument

SFT = "sft"


@dataclass(frozen=True)
class Run:
    """One seed of one arm on one task."""

    task: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Label of its folders."""
        return f"{self.task}.{self.arm}.s{self.seed}"


class Plan:
    """Everything an experiment consists of, by identity. Making a plan checks the whole experiment.

    Raises:
        InputError: a name does not exist, an option is wrong, data is missing or leaks between splits.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: RunFolder,
        data_dir: Path | None,
        reproduce: str = "",
        document: YamlDocument | None = None,
    ) -> None:
        self.folder = folder
        self.resolved = Resolved(experiment, folder.root / EXPERIMENT, data_dir, document)
        self.experiment = self.resolved.experiment
        self.parts = SharedParts(self.resolved)
        self.algorithms = self.resolved.algorithms
        self.tasks = self.resolved.tasks
        self.circumstances = Circumstances(
            data_dir=data_dir,
            device=experiment.device,
            base_path=self.resolved.base_path,
            task_paths={task.name: str(name) for name, task in zip(experiment.tasks, self.tasks.values(), strict=True)},
            checkpoint_every=experiment.training.checkpoint_every,
            reproduce=reproduce,
        )

    def shared(self, task: Task) -> dict[str, str]:
        """Fingerprints of what all runs on a task have in common."""
        evaluation = Identity("sample", "", {}, self._evaluation(task), self._versions(task))
        return {
            **self.parts.fingerprints(task),
            "prompt_order": self.parts.prompts(task).fingerprint,
            "evaluation": evaluation.fingerprint,
        }

    def _evaluation(self, task: Task) -> dict[str, Any]:
        settings = self.experiment.evaluation
        return {
            "task": task.name,
            "data": task.fingerprint(settings.split),
            "split": settings.split,
            "prompts": settings.prompts,
            "samples_per_prompt": settings.samples_per_prompt,
            "temperature": settings.temperature,
            "max_new_tokens": self.resolved.max_new_tokens(task),
            "policy": self.parts.reading(),
        }

    def _versions(self, task: Task) -> dict[str, int]:
        return {f"grader {name}": grader.version for name, grader in self.resolved.graders(task).items()}

    # The calls.

    def runs(self) -> list[Run]:
        """All training runs, seed by seed, so that early seeds of all arms end first."""
        return [
            Run(task, arm, seed) for task in self.tasks for seed in self.experiment.seeds for arm in self.algorithms
        ]

    def train(self, run: Run) -> Identity:
        """The training of a run."""
        task, algorithm = self.tasks[run.task], self.algorithms[run.arm]
        rollout, entry = self.experiment.rollout, self._entry(run.arm)
        budget = entry.budget or self.experiment.budget
        reward, roles = self.resolved.reward(task), self.resolved.roles(task)
        config = {
            "algorithm": algorithm.name,
            "options": algorithm.options.model_dump(mode="json"),
            "task": task.name,
            "data": task.fingerprint("train"),
            "reward": reward,
            "gold": roles.get(GOLD),
            "seed": run.seed,
            "prompts": self.parts.prompts_needed(budget.completions),
            "prompts_per_batch": rollout.prompts_per_batch,
            "completions_per_prompt": rollout.completions_per_prompt,
            "temperature": rollout.temperature,
            "max_new_tokens": self.resolved.max_new_tokens(task),
            "dev_every": self.experiment.training.dev_every,
            "dev_prompts": self.experiment.training.dev_prompts if "dev" in task.splits else 0,
            "shared_pairs": rollout.shared_pairs and algorithm.data == "preferences",
            "shared": self.shared(task),
            "policy": self.parts.reading(),
        }
        grader = load_grader(reward["grader"], reward["options"])
        versions = {"stage": train.VERSION, "algorithm": algorithm.version, "reward": grader.version}
        if roles:
            versions["gold"] = load_grader(roles[GOLD]["grader"], roles[GOLD]["options"]).version
        inputs = {"sft": self.parts.sft(task), "prompts": self.parts.prompts(task), **self.parts.trained_reward(task)}
        return Identity("train", run.name, inputs, config, versions)

    def _entry(self, arm: str) -> AlgorithmEntry:
        return next(entry for entry in self.experiment.algorithms if entry.label == arm)

    def sample(self, run: Run) -> Identity:
        """The evaluation of a run's policy (or of the SFT policy, arm `sft`) with the run's seed."""
        task = self.tasks[run.task]
        sft = self.parts.sft(task)
        policy = sft if run.arm == SFT else self.train(run)
        config = self._evaluation(task) | {"seed": run.seed}
        return Identity("sample", run.name, {"policy": policy, "sft": sft}, config, {"stage": sample.VERSION})

    def score(self, run: Run) -> Identity:
        """The judgement of a run's completions."""
        task = self.tasks[run.task]
        graders = self.resolved.grader_config(task)
        split = self.experiment.evaluation.split
        config = {"task": task.name, "split": split, "data": task.fingerprint(split), "graders": graders}
        config |= {"slices": groups} if (groups := task.slices_fingerprint(split)) else {}
        versions = {"stage": score.VERSION, **self._versions(task)}
        inputs = {"sample": self.sample(run)} | (self.parts.trained_reward(task) if REWARD in graders else {})
        return Identity("score", run.name, inputs, config, versions)

    def evaluated(self) -> list[Run]:
        """All runs to evaluate: the SFT policy once per seed, and every training run."""
        shared = [Run(task, SFT, seed) for task in self.tasks for seed in self.experiment.seeds]
        return [*shared, *self.runs()]

    def compare(self, outcomes: Mapping[Run, Mapping[str, Any]]) -> Identity:
        """The comparison of the runs that completed; `outcomes` says of every training run how it ended."""
        settings = self.experiment.comparison
        inputs: dict[str, Identity] = {}
        for run in self.evaluated():
            key = f"{run.task}/{run.arm}/{run.seed}"
            if run.arm == SFT or outcomes[run]["status"] == "completed":
                inputs[f"score/{key}"] = self.score(run)
            if run.arm != SFT and outcomes[run]["status"] != "failed":
                inputs[f"train/{key}"] = self.train(run)
        for task in self.tasks.values():
            inputs[f"prompts/{task.name}"] = self.parts.prompts(task)
            inputs |= {f"{TRAINED}/{task.name}": made for made in self.parts.trained_reward(task).values()}
        config = {
            "name": self.experiment.name,
            "arms": [SFT, *self.algorithms],
            "seeds": list(self.experiment.seeds),
            "tasks": {task.name: self._task_plan(task) for task in self.tasks.values()},
            "currency": "completions",
            "budget": self.experiment.budget.completions,
            "confidence": settings.confidence,
            "replicates": settings.replicates,
            "margin": settings.margin,
            "shared_pairs": self.experiment.rollout.shared_pairs,
            "signature": self.signature(),
            "warnings": self.resolved.warnings(),
            "runs": [{"task": run.task, "arm": run.arm, "seed": run.seed, **outcomes[run]} for run in self.runs()],
        }
        return Identity("compare", "all", inputs, config, {"stage": compare.VERSION})

    def _task_plan(self, task: Task) -> dict[str, Any]:
        return {
            "metrics": [metric.name for metric in self.resolved.metrics(task)],
            "graders": self.resolved.grader_config(task),
            "primary": self.resolved.primary(task),
            "roles": self.resolved.roles(task),
            "split": self.experiment.evaluation.split,
            "prompts": self.experiment.evaluation.prompts,
            "shared": self.shared(task),
        }

    def signature(self) -> str:
        """What the numbers of the comparison depend on, in one line."""
        settings, split = self.experiment.evaluation, self.experiment.evaluation.split
        parts = [f"task:{name}@{task.fingerprint(split)[:8]}" for name, task in self.tasks.items()]
        counts = [str(len(task.samples(split)[: settings.prompts])) for task in self.tasks.values()]
        return "|".join(
            [
                *parts,
                f"split:{split}",
                f"n:{'+'.join(counts)}",
                f"k:{settings.samples_per_prompt}",
                f"T:{settings.temperature}",
                f"seeds:{len(self.experiment.seeds)}",
            ]
        )

    def report(self, comparison: Identity) -> Identity:
        """The report on a comparison."""
        inputs = {"comparison": comparison}
        inputs |= {role: made for role, made in comparison.inputs.items() if role.startswith("train/")}
        return Identity("report", "all", inputs, {}, {"stage": report.VERSION})

    def training(self) -> Iterator[Identity]:
        """The shared parts and all training runs, each after what it is made from."""
        yield from self.parts.all()
        yield from (self.train(run) for run in self.runs())

    def evaluation(self, outcomes: Mapping[Run, Mapping[str, Any]]) -> Iterator[Identity]:
        """Completions and scores of the SFT policy and of every run that completed."""
        for run in self.evaluated():
            if run.arm == SFT or outcomes[run]["status"] == "completed":
                yield self.sample(run)
                yield self.score(run)

    def expected(self) -> list[Identity]:
        """Every part of the experiment if all runs complete, in the order in which they are made."""
        outcomes = {run: {"status": "completed", "detail": "", "step": None} for run in self.runs()}
        comparison = self.compare(outcomes)
        return [*self.training(), *self.evaluation(outcomes), comparison, self.report(comparison)]

    def call(self, identity: Identity) -> Call:
        """The call that makes `identity`."""
        return Call(identity, self.folder, self.circumstances)
