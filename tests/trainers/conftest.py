"""Training runs of a policy so small that a whole run takes a fraction of a second."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from rlbench.algorithms.algorithm import OnlineAlgorithm
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.policies.tiny import build_tiny
from rlbench.records import Rewards, Sample
from rlbench.registry import load
from rlbench.rollouts.collect import Sampling
from rlbench.trainers.offline import OfflineLoop
from rlbench.trainers.online import OnlineLoop
from rlbench.trainers.trainer import Job, Learner
from rlbench.trainers.trust_region import TrustRegionUpdate

torch.set_num_threads(1)

PROMPTS = ["a", "bc", "dab", "cc"]
RATE = {"learning_rate": 3e-3}
VARIANTS = {  # the algorithm and its options, by a name for the test
    "ppo": ("ppo", RATE | {"minibatches": 2}),
    "ppo-adaptive": ("ppo", RATE | {"minibatches": 2, "target_kl": 0.02, "kl_horizon": 20, "beta": 0.1}),
    "grpo": ("grpo", RATE | {"minibatches": 2}),
    "gspo": ("gspo", RATE | {"minibatches": 2, "epochs": 2}),
    "dr_grpo": ("dr_grpo", RATE | {"minibatches": 2}),
    "dapo": ("dapo", RATE | {"minibatches": 2}),
    "rloo": ("rloo", RATE),
    "rloo-ratio": ("rloo", RATE | {"minibatches": 2, "ratio": "sequence"}),
    "reinforce_pp": ("reinforce_pp", RATE | {"minibatches": 2}),
    "trpo": ("trpo", {}),
    "dpo": ("dpo", {"learning_rate": 1e-3, "batch_size": 4, "epochs": 2}),
    "online_dpo": ("online_dpo", RATE | {"minibatches": 2}),
}
OFFLINE = {"dpo"}
ADAM = set(VARIANTS) - {"trpo"}
"""Those with a learning rate."""
STEPPING = ADAM - OFFLINE - {"online_dpo", "rloo", "dapo"}
"""Those that make `epochs` x `minibatches` steps on every completion of a rollout batch."""


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
    beta: float | None


def weights_of(module):
    return b"".join(parameter.detach().numpy().tobytes() for parameter in module.parameters())


def without_clocks(curve):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in curve]


@dataclass(frozen=True)
class Lab:
    """Builds loops on fresh policies that share a folder of checkpoints."""

    folder: Path

    def loop(self, name, options=None, reward=count_a, **changes):
        """The loop of a variant. `reward` maps candidates to numbers or to `Rewards`."""

        def judge(candidates):
            judged = reward(candidates)
            return judged if isinstance(judged, Rewards) else Rewards(judged)

        values = {
            "policy": tiny(),
            "reference": tiny(),
            "prompts": [Sample(f"p{n}", PROMPTS[n % len(PROMPTS)]) for n in range(20)],
            "prompts_per_batch": 4,
            "sampling": Sampling(4, 4, 1.0),
            "reward": judge,
            "seed": 0,
            "task": "letters",
            "dev": [Sample("d0", "ab"), Sample("d1", "c")],
            "dev_every": 2,
            "checkpoint_every": 1,
            "checkpoints": Checkpoints(self.folder),
            "preferences": Checkpoints(self.folder, "preferences"),
            **changes,
        }
        algorithm, usual = VARIANTS[name]
        algorithm = load("algorithms", algorithm)(**{**usual, **(options or {})})
        kind = OfflineLoop if algorithm.data == "preferences" else OnlineLoop
        return kind(algorithm, Job(**values))

    @staticmethod
    def finish(loop):
        trained = loop.run()
        critic = getattr(loop.update, "critic", None) if isinstance(loop, OnlineLoop) else None
        assert (critic is not None) == (
            isinstance(loop.algorithm, OnlineAlgorithm) and "critic" in loop.algorithm.needs
        )
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
            loop.progress.beta,
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
        taken = []

        def watched(original):
            def step(self, *args):
                number = len(taken)
                taken.append(self)
                if number == at and not after:
                    raise Crash
                result = original(self, *args)
                if number == at:
                    raise Crash
                return result

            return step

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Learner, "step", watched(Learner.step))
            patch.setattr(TrustRegionUpdate, "__call__", watched(TrustRegionUpdate.__call__))
            yield taken

    return armed


@pytest.fixture(scope="session")
def variants():
    """Algorithm and options of every variant by name."""
    return VARIANTS


@pytest.fixture(params=VARIANTS)
def name(request):
    return request.param


@pytest.fixture(params=sorted(set(VARIANTS) - OFFLINE))
def online(request):
    return request.param


@pytest.fixture(params=sorted(ADAM))
def adam(request):
    return request.param


@pytest.fixture(params=sorted(STEPPING))
def stepping(request):
    return request.param
