"""Random rollout batches, the loss of an optimizer step taken in any slices, and every algorithm with every axis."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F

from rlbench.algorithms.algorithm import Experience, OnlineAlgorithm, PairPrediction, Prediction, Rollouts
from rlbench.policies.padding import TokenBatch, token_batch
from rlbench.policies.tiny import build_tiny
from rlbench.registry import load, names
from rlbench.trainers.trainer import Tally

torch.set_num_threads(1)

CPU = torch.device("cpu")
LIMIT = 7

AXES = {
    "ppo": [
        {"lam": 1.0, "whiten_advantages": False},
        {"lam": 0.0, "gamma": 0.9, "whiten_rewards": True},
        {"value_clip": None},
        {"dual_clip": 1.3},
        {"target_kl": 1.0, "kl_horizon": 50},
        {"aggregation": "sequence_mean"},
        {"aggregation": "constant"},
        {"beta": 0.3, "kl_estimator": "k3", "kl_placement": "loss"},
        {"truncated": "mask"},
    ],
    "grpo": [
        {"beta": 0},
        {"beta": 0.3, "kl_estimator": "k2"},
        {"beta": 0.3, "kl_placement": "loss_times_ratio"},
        {"beta": 0.3, "kl_estimator": "k1", "kl_placement": "loss_times_ratio"},
        {"beta": 0.3, "kl_estimator": "k1", "kl_placement": "reward"},
        {"aggregation": "token_mean"},
        {"aggregation": "constant"},
        {"advantage": "population_std", "dual_clip": 1.3},
        {"truncated": "mask"},
        {"overlong_buffer": 0.5, "overlong_penalty": 2.0, "missing_eos_penalty": 0.7},
        {"reward_scale": 3.0, "reward_clip": 1.0},
    ],
    "gspo": [
        {"clip_low": 0.05, "clip_high": 0.05},
        {"clip_low": 0.05, "clip_high": 0.05, "dual_clip": 1.1},
        {"beta": 0.3},
    ],
    "dr_grpo": [{"beta": 0.3}, {"truncated": "mask"}],
    "dapo": [{"truncated": "mask", "overlong_buffer": 0.0}, {"aggregation": "constant"}],
    "rloo": [
        {"ratio": "sequence", "minibatches": 4},
        {"ratio": "sequence", "dual_clip": 1.3},
        {"beta": 0.3, "kl_estimator": "k3", "kl_placement": "loss_times_ratio"},
    ],
    "reinforce_pp": [{"baseline": "group", "gamma": 0.9}, {"whiten_advantages": False, "aggregation": "token_mean"}],
    "trpo": [{"aggregation": "sequence_mean", "advantage": "sample_std"}, {"truncated": "mask"}],
    "dpo": [
        {"loss": "ipo"},
        {"label_smoothing": 0.2},
        {"logprobs": "mean", "beta": 2.0},
        {"loss": "ipo", "logprobs": "mean"},
    ],
    "online_dpo": [{"loss": "ipo"}, {"logprobs": "mean"}],
}


def _variants(online):
    found = []
    for name in names("algorithms"):
        for options in [{}, *AXES.get(name, [])]:
            algorithm = load("algorithms", name)(**options)
            if isinstance(algorithm, OnlineAlgorithm) == online:
                label = "-".join([name, *(f"{key}={value}" for key, value in options.items())])
                found.append(pytest.param(algorithm, id=label))
    return found


def pytest_generate_tests(metafunc):
    """`online` and `preference` stand for every installed algorithm, with its defaults and along its axes."""
    for name in ("online", "preference"):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, _variants(name == "online"))


@pytest.fixture
def random():
    return torch.Generator().manual_seed(20240607)


@pytest.fixture
def rollouts(random):
    """Rollouts of the given lengths, with groups of `group_size` and random log-probabilities, values and rewards."""

    def make(lengths, group_size=4):
        batch, columns = len(lengths), max(lengths)
        mask = torch.arange(columns) < torch.tensor(lengths).unsqueeze(-1)

        def draw(scale):
            return scale * torch.randn(batch, columns, generator=random, dtype=torch.float64)

        old = -1 + draw(0.3)
        rewards = torch.randn(batch, generator=random, dtype=torch.float64)
        truncated = mask.sum(-1) == columns
        return Rollouts(mask, old, old + draw(0.2), rewards, truncated, group_size, columns, draw(0.5))

    return make


@pytest.fixture
def moved(random):
    """The same tensor after the policy or the critic has moved."""
    return lambda tensor, scale=0.3: tensor + scale * torch.randn(tensor.shape, generator=random, dtype=tensor.dtype)


@pytest.fixture
def experience():
    """The given rows of a rollout batch as one slice of an optimizer step on all rows."""

    def cut(algorithm, rollouts, rows=slice(None), targets=None):
        targets = targets or algorithm.targets(rollouts)
        weights = algorithm.weights(targets.mask, rollouts.max_new_tokens)
        return Experience(
            mask=targets.mask[rows],
            weights=weights[rows],
            old_logprobs=rollouts.old_logprobs[rows],
            reference_logprobs=rollouts.reference_logprobs[rows],
            advantages=targets.advantages[rows],
            old_values=rollouts.values[rows],
            returns=None if targets.returns is None else targets.returns[rows],
            total_weight=float(weights.sum()),
        )

    return cut


@pytest.fixture
def step(experience):
    """Loss, diagnostics and gradient [B, T] of one optimizer step on all rollouts, computed in `slices` of rows."""

    def run(algorithm, rollouts, logprobs, values=None, slices=None, targets=None):
        targets = targets or algorithm.targets(rollouts)
        logprobs = logprobs.detach().clone().requires_grad_()
        values = rollouts.values.detach().clone() if values is None else values.detach().clone()
        values.requires_grad_()
        total, tally = 0.0, Tally(1)
        for rows in slices or [torch.arange(len(logprobs))]:
            part = experience(algorithm, rollouts, rows, targets)
            loss, found = algorithm.loss(Prediction(logprobs[rows], values[rows]), part)
            loss.backward()
            total += loss.item()
            tally.add(found)
        value_gradient = torch.zeros_like(values) if values.grad is None else values.grad
        return total, tally.result(), logprobs.grad, value_gradient

    return run


@pytest.fixture
def take():
    """The rows of a rollout batch in the given order."""

    def rows(rollouts, order):
        return replace(
            rollouts,
            mask=rollouts.mask[order],
            old_logprobs=rollouts.old_logprobs[order],
            reference_logprobs=rollouts.reference_logprobs[order],
            rewards=rollouts.rewards[order],
            truncated=rollouts.truncated[order],
            values=rollouts.values[order],
        )

    return rows


@pytest.fixture
def pad():
    """Append columns of garbage on the right."""

    def wider(rollouts, columns, garbage):
        rows = rollouts.mask.shape[0]

        def extend(tensor):
            return torch.cat([tensor, torch.full((rows, columns), garbage, dtype=tensor.dtype)], dim=-1)

        mask = torch.cat([rollouts.mask, torch.zeros((rows, columns), dtype=torch.bool)], dim=-1)
        return replace(
            rollouts,
            mask=mask,
            old_logprobs=extend(rollouts.old_logprobs),
            reference_logprobs=extend(rollouts.reference_logprobs),
            values=extend(rollouts.values),
        )

    return wider


@pytest.fixture
def pairs(random):
    """Random log-probabilities of the given number of preference pairs, with a few tokens each."""

    def make(count):
        numbers = [torch.randn(count, generator=random, dtype=torch.float64) for _ in range(4)]
        tokens = [torch.randint(1, 9, (count,), generator=random) for _ in range(2)]
        return PairPrediction(*numbers, *tokens)

    return make


def build(seed):
    """A policy with large random weights in double precision."""
    policy = build_tiny(["abcdefgh "], hidden_size=16, layers=2, heads=2, max_positions=64, seed=seed)
    policy.model.double()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(0.25 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return policy


def nudged(policy, seed, scale=0.02):
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return policy


@dataclass(frozen=True)
class Case:
    """A rollout batch that can be laid out in other ways."""

    batch: TokenBatch
    rollouts: Rollouts

    def left(self, columns):
        ids, attention = (
            F.pad(tensor, (columns, 0), value=value)
            for tensor, value in ((self.batch.input_ids, 9), (self.batch.attention_mask, 0))
        )
        return Case(TokenBatch(ids, attention, self.batch.mask), self.rollouts)

    def right(self, columns):
        def wide(tensor, value):
            return F.pad(tensor, (0, columns), value=value)

        mask = wide(self.batch.mask, False)
        batch = TokenBatch(wide(self.batch.input_ids, 9), wide(self.batch.attention_mask, 0), mask)
        rollouts = replace(
            self.rollouts,
            mask=mask,
            old_logprobs=wide(self.rollouts.old_logprobs, -7.0),
            reference_logprobs=wide(self.rollouts.reference_logprobs, 3.0),
            values=wide(self.rollouts.values, 5.0),
        )
        return Case(batch, rollouts)

    def shuffled(self):
        random = torch.Generator().manual_seed(5)
        order = torch.cat([4 * group + torch.randperm(4, generator=random) for group in (2, 0, 1)])
        changed = ("mask", "old_logprobs", "reference_logprobs", "rewards", "truncated", "values")
        rows = {name: getattr(self.rollouts, name)[order] for name in changed}
        return Case(self.batch.rows(order), replace(self.rollouts, **rows))


@pytest.fixture(scope="session")
def build_policy():
    return build


@pytest.fixture(scope="session")
def case():
    """A rollout batch of three prompts with four completions each, of a policy near `build_policy(0)`."""
    random = torch.Generator().manual_seed(1)
    prompts, completions = [], []
    for length in (2, 5, 9):
        prompt = torch.randint(4, 12, (length,), generator=random).tolist()
        for size in torch.randint(1, LIMIT + 1, (4,), generator=random).tolist():
            prompts.append(prompt)
            completions.append(torch.randint(4, 12, (size,), generator=random).tolist())
    batch = token_batch(prompts, completions, 0, CPU)
    with torch.no_grad():
        old, reference = (
            policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, 0.9)
            for policy in (nudged(build(0), 1), build(2))
        )
    rewards, values = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((12,), tuple(old.shape)))
    truncated = batch.mask.sum(-1) == LIMIT
    assert 0 < int(truncated.sum()) < 6
    return Case(batch, Rollouts(batch.mask, old, reference, rewards, truncated, 4, LIMIT, values))
