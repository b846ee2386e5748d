"""What a training loop is given and what it returns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rlbench.algorithms.algorithm import Rollouts
from rlbench.algorithms.options import Adam, Online, Preference
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import Diverged
from rlbench.policies.causal_lm import Policy
from rlbench.policies.padding import TokenBatch
from rlbench.records import Sample
from rlbench.rollouts.collect import Reward, Sampling, collect, mean_of_known, named_generator
from rlbench.rollouts.meter import Meter


@dataclass(frozen=True)
class Job:
    """One run: one seed of one algorithm on one task, with all that is shared between the arms."""

    policy: Policy
    """Starts as the SFT policy; the loop changes its weights in place."""
    reference: Policy
    """The SFT policy; never changed."""
    prompts: Sequence[Sample]
    """Training prompts in the shared order; the budget is used up with the last one."""
    prompts_per_batch: int
    sampling: Sampling
    reward: Reward
    seed: int
    task: str
    dev: Sequence[Sample]
    """Prompts for the learning curve; may be empty."""
    dev_every: int
    checkpoint_every: int
    checkpoints: Checkpoints
    preferences: Checkpoints
    """Where preference pairs are kept once they are drawn."""
    gold: Reward | None = None
    """What is only measured, where it is not the reward itself."""
    pair_seed: int | None = None
    """The seed that preference pairs are drawn with; the run's own by default."""

    @property
    def batches(self) -> int:
        """Number of rollout batches."""
        return len(self.prompts) // self.prompts_per_batch

    def batch(self, step: int) -> Sequence[Sample]:
        """The prompts of rollout batch `step`."""
        return self.prompts[step * self.prompts_per_batch : (step + 1) * self.prompts_per_batch]

    def logprob_temperature(self, options: Online | Preference) -> float:
        """What divides the logits in an algorithm's log-probabilities."""
        return self.sampling.temperature if options.logprob_temperature == "sampling" else 1.0

    def generator(self, purpose: str, step: int) -> torch.Generator:
        """The random stream of `purpose` at `step`. It does not depend on the algorithm."""
        return named_generator(self.policy.device, self.seed, self.task, purpose, step)

    def dev_rewards(self, policy: Policy, step: int, meter: Meter) -> dict[str, float | None]:
        """Mean reward, and mean gold reward if there is one, of one completion per dev prompt: columns of the curve.

        Not charged to the budget; None without dev prompts.
        """
        names = ["dev_reward"] if self.gold is None else ["dev_reward", "dev_gold"]
        if not self.dev:
            return dict.fromkeys(names)
        sampling = Sampling(1, self.sampling.max_new_tokens, self.sampling.temperature)
        unpaid = Meter()
        with meter.phase("dev", policy.device) as phase:
            generator = self.generator("dev", step)
            collected = collect(policy, self.dev, sampling, self.reward, generator, unpaid, self.gold)
            phase.tokens += unpaid.generated_tokens
        return dict(zip(names, map(mean_of_known, (collected.rewards, collected.gold)), strict=False))


@dataclass
class Progress:
    """Where a run is: everything beside the weights that a resume needs."""

    step: int
    meter: Meter
    curve: list[dict[str, Any]]
    rollouts_digest: str = ""
    """Chained sha256 over all sampled tokens."""
    beta: float | None = None
    """Weight of the KL penalty that a controller has set."""

    def due(self, every: int) -> bool:
        """Whether what happens every so many rollout batches should happen before the next one is logged."""
        return not self.curve or self.step // every > int(self.curve[-1]["step"]) // every

    def absorb(self, digest: str) -> None:
        """Chain the digest of another rollout batch."""
        self.rollouts_digest = hashlib.sha256((self.rollouts_digest + digest).encode()).hexdigest()

    def position(self) -> dict[str, float]:
        """What has been spent so far: the horizontal axes of a learning curve."""
        return {
            "step": self.step,
            "completions": self.meter.completions,
            "optimizer_steps": self.meter.optimizer_steps,
            "seconds": self.meter.seconds,
        }

    def log(self, position: Mapping[str, float], **values: float | None) -> None:
        """Add a row to the training curve. Values that are not finite mean divergence.

        `position` is what had been spent on the policy that the row is about, so it is read before the batch.

        Raises:
            Diverged: a value is NaN or infinite.
        """
        for name, value in values.items():
            if value is not None and not math.isfinite(value):
                raise Diverged(f"{name} became {value} at step {self.step}", self.step)
        self.curve.append({**position, **values})

    def to_json(self) -> dict[str, Any]:
        """Everything as a JSON object."""
        return {
            "step": self.step,
            "meter": self.meter.to_json(),
            "curve": self.curve,
            "rollouts_digest": self.rollouts_digest,
            "beta": self.beta,
        }

    @staticmethod
    def from_json(saved: dict[str, Any]) -> Progress:
        """Restore what `to_json` returned."""
        meter = Meter.from_json(saved["meter"])
        return Progress(saved["step"], meter, saved["curve"], saved["rollouts_digest"], saved["beta"])


class Tally:
    """Adds up the diagnostics of `steps` optimizer steps, each perhaps in slices, to means over the steps.

    Of names that end in `_min` and `_max` the smallest and the largest value is kept.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.totals: dict[str, float] = {}

    def add(self, values: Mapping[str, Tensor | float]) -> None:
        """Take in the values of a slice."""
        for name, value in values.items():
            number = float(value.detach()) if isinstance(value, Tensor) else value
            if name not in self.totals:
                self.totals[name] = number
            elif name.endswith("_min"):
                self.totals[name] = min(self.totals[name], number)
            elif name.endswith("_max"):
                self.totals[name] = max(self.totals[name], number)
            else:
                self.totals[name] += number

    def result(self) -> dict[str, float]:
        """What was added up, by name."""
        return {
            name: value if name.endswith(("_min", "_max")) else value / self.steps
            for name, value in self.totals.items()
        }


class Update(Protocol):
    """What an online loop does with a rollout batch."""

    def __call__(self, batch: TokenBatch, rollouts: Rollouts, progress: Progress, step: int) -> dict[str, float]:
        """Change the policy; charge the work to `progress.meter`; return diagnostics.

        `step` counts rollout batches of the budget: it is the last one that went into `batch`.
        """

    def values(self, batch: TokenBatch, meter: Meter) -> Tensor | None:
        """Values [B, T] of a critic, if there is one."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that learns, for a checkpoint."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""


class Learner:
    """A network with its AdamW optimizer, learning-rate schedule and gradient clipping."""

    def __init__(self, module: nn.Module, peak: float, options: Adam, total_steps: int) -> None:
        self.module = module
        self.peak = peak
        self.options = options
        self.total_steps = total_steps
        self.optimizer = torch.optim.AdamW(
            module.parameters(),
            lr=peak,
            betas=(options.adam_beta1, options.adam_beta2),
            weight_decay=options.weight_decay,
        )

    def learning_rate(self, taken: int) -> float:
        """The rate of the next step after `taken` of the planned steps."""
        rising = self.options.warmup * self.total_steps
        if taken < rising:
            return self.peak * (taken + 1) / (rising + 1)
        if self.options.schedule == "constant":
            return self.peak
        return self.peak * max(0.0, 1 - (taken - rising) / max(1.0, self.total_steps - rising))

    def step(self, taken: int, at: int) -> float:
        """Take an optimizer step; return the gradient norm before clipping.

        Raises:
            Diverged: the gradient is not finite; nothing was changed.
        """
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.options.max_grad_norm)
        if not bool(torch.isfinite(norm)):
            raise Diverged(f"the gradient norm became {float(norm)} at step {at}", at)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(taken)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(norm)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """Weights and optimizer moments by name, for a checkpoint."""
        found: dict[str, Tensor] = {f"{prefix}.weights.{name}": value for name, value in self.module.named_parameters()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                found[f"{prefix}.optimizer.{index}.{name}"] = value
        return found

    @torch.no_grad()
    def restore(self, prefix: str, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""
        for name, parameter in self.module.named_parameters():
            parameter.copy_(tensors[f"{prefix}.weights.{name}"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(f"{prefix}.optimizer."):
                index, moment = name.removeprefix(f"{prefix}.optimizer.").split(".", 1)
                state.setdefault(int(index), {})[moment] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


@dataclass(frozen=True)
class Trained:
    """What a loop returns beside the changed weights."""

    curve: list[dict[str, Any]]
    meter: Meter
    rollouts_digest: str
