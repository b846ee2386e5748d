"""Training runs of a policy so small that a whole run takes a fraction of a second."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.ppo import ppo
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.policies.tiny import build_tiny
from rlbench.records import Sample
from rlbench.rollouts.collect import Sampling
from rlbench.trainers.offline import OfflineLoop
from rlbench.trainers.online import OnlineLoop
from rlbench.trainers.trainer import Job, Learner

torch.set_num_threads(1)

PROMPTS = ["a", "bc", "dab", "cc"]
ALGORITHMS = {
    "ppo": lambda **options: ppo(**{"learning_rate": 3e-3, "minibatches": 2, **options}),
    "grpo": lambda **options: grpo(**{"learning_rate": 3e-3, "minibatches": 2, **options}),
    "gspo": lambda **options: gspo(**{"learning_rate": 3e-3, "minibatches": 2, "epochs": 2, **options}),
    "dpo": lambda **options: dpo(**{"learning_rate": 1e-3, "batch_size": 4, "epochs": 2, **options}),
}


class Crash(Exception):
    """Stands for whatever ends a process."""


def tiny(seed=0):
    return build_tiny(["abcd"], hidden_size=16, layers=1, heads=2, max_positions=16, seed=seed)


def count_a(candidates):
    return [candidate.completion.count("a") / 4 for candidate in candidates]


@dataclass(frozen=True)
class Finished:
    """Everything that a run leaves behind and that must not depend on how it got there."""

    weights: bytes
    critic: bytes
    curve: list[dict[str, Any]]
    totals: dict[str, Any]
    digest: str


def weights_of(module):
    return b"".join(parameter.detach().numpy().tobytes() for parameter in module.parameters())


def without_clocks(curve):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]


@dataclass(frozen=True)
class Lab:
    """Builds loops on fresh policies that share a folder of checkpoints."""

    folder: Path

    def loop(self, name, options=None, **changes):
        values = {
            "policy": tiny(),
            "reference": tiny(),
            "prompts": [Sample(f"p{n}", PROMPTS[n % len(PROMPTS)]) for n in range(20)],
            "prompts_per_batch": 4,
            "sampling": Sampling(4, 4, 1.0),
            "reward": count_a,
            "seed": 0,
            "task": "letters",
            "dev": [Sample("d0", "ab"), Sample("d1", "c")],
            "dev_every": 2,
            "checkpoint_every": 1,
            "checkpoints": Checkpoints(self.folder),
            "preferences": Checkpoints(self.folder, "preferences"),
            **changes,
        }
        algorithm = ALGORITHMS[name](**(options or {}))
        kind = OnlineLoop if algorithm.data == "rollouts" else OfflineLoop
        return kind(algorithm, Job(**values))

    @staticmethod
    def finish(loop):
        trained = loop.run()
        critic = getattr(loop, "critic", None)
        totals = trained.meter.to_json()
        for name in ("seconds", "peak_memory_bytes"):
            totals.pop(name)
        totals["phases"] = {name: phase["tokens"] for name, phase in totals["phases"].items()}
        return Finished(
            weights_of(loop.job.policy.model),
            b"" if critic is None else weights_of(critic),
            without_clocks(trained.curve),
            totals,
            trained.rollouts_digest,
        )


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "work")


@pytest.fixture
def new_lab(tmp_path):
    """A lab of its own folder for each name."""
    return lambda name: Lab(tmp_path / str(name))


@pytest.fixture
def crash():
    return Crash


@pytest.fixture
def crash_at_step():
    """Let optimizer step number `at` raise, before it is taken or `after`; None only counts. All networks count."""

    @contextmanager
    def armed(at, after=False):
        taken, original = [], Learner.step

        def step(self, *args):
            number = len(taken)
            taken.append(self)
            if number == at and not after:
                raise Crash
            norm = original(self, *args)
            if number == at:
                raise Crash
            return norm

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Learner, "step", step)
            yield taken

    return armed


@pytest.fixture(params=["ppo", "grpo", "gspo", "dpo"])
def name(request):
    return request.param


@pytest.fixture(params=["ppo", "grpo", "gspo"])
def online(request):
    return request.param
