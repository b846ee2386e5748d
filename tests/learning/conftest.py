"""Trains tiny policies through the real loops on rewards with a known answer."""

import math

import pytest
import torch

from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.ppo import ppo
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.policies.tiny import build_tiny
from rlbench.records import Rewards, Sample
from rlbench.rollouts.collect import Sampling
from rlbench.trainers.offline import OfflineLoop
from rlbench.trainers.online import OnlineLoop
from rlbench.trainers.trainer import Job

torch.set_num_threads(1)

PROMPTS = ["p", "q", "pq", "qp"]
LENGTH = 3


def policy():
    return build_tiny(["abcdpq"], hidden_size=32, layers=1, heads=2, max_positions=12, seed=0)


@pytest.fixture(scope="session")
def make():
    """Algorithms with learning rates that suit 10,000 parameters and a few thousand completions."""
    return {
        "ppo": lambda: ppo(learning_rate=1e-2, value_learning_rate=3e-3),
        "grpo": lambda: grpo(learning_rate=1e-2),
        "gspo": lambda: gspo(learning_rate=1e-2, clip_low=1e-2, clip_high=1e-2),
        "dpo": lambda: dpo(learning_rate=3e-3, batch_size=32),
    }


@pytest.fixture
def train(tmp_path):
    """Train and return the trained policy, the reference, and the curve."""

    def run(algorithm, reward, seed, batches=32):
        job = Job(
            policy=policy(),
            reference=policy(),
            prompts=[Sample(f"{n}", PROMPTS[n % 4]) for n in range(16 * batches)],
            prompts_per_batch=16,
            sampling=Sampling(8, LENGTH, 1.0),
            reward=lambda candidates: Rewards(reward(candidates)),
            seed=seed,
            task="planted",
            dev=(),
            dev_every=1,
            checkpoint_every=1000,
            checkpoints=Checkpoints(tmp_path / str(seed)),
            preferences=Checkpoints(tmp_path / str(seed), "preferences"),
        )
        kind = OfflineLoop if algorithm.data == "preferences" else OnlineLoop
        trained = kind(algorithm, job).run()
        return job.policy, job.reference, trained.curve

    return run


@torch.no_grad()
def every_completion(policy, prompt):
    """Tokens and log-probability of every completion that can be drawn, by enumeration."""
    size, end = policy.model.config.vocab_size, policy.stop_token_id
    start, open_ends, found = policy.encode_prompt(prompt), [((), 0.0)], []
    for place in range(LENGTH):
        ids = torch.tensor([[*start, *tokens] for tokens, _ in open_ends])
        following = torch.log_softmax(policy.model(input_ids=ids).logits[:, -1].double(), -1).tolist()
        longer = [
            ((*tokens, token), so_far + row[token])
            for (tokens, so_far), row in zip(open_ends, following, strict=True)
            for token in range(size)
        ]
        ended = [place + 1 == LENGTH or tokens[-1] == end for tokens, _ in longer]
        found += [one for one, over in zip(longer, ended, strict=True) if over]
        open_ends = [one for one, over in zip(longer, ended, strict=True) if not over]
    return dict(found)


@pytest.fixture
def chance():
    """Probability that a completion's text has a property, exactly; mean over the prompts."""

    def exact(policy, has):
        total = 0.0
        for prompt in PROMPTS:
            every = every_completion(policy, prompt)
            assert sum(math.exp(logprob) for logprob in every.values()) == pytest.approx(1, abs=1e-5)
            total += sum(math.exp(logprob) for tokens, logprob in every.items() if has(policy.decode(tokens)))
        return total / len(PROMPTS)

    return exact


@pytest.fixture
def divergence():
    """KL(one || other) of whole completions in nats, exactly; mean over the prompts."""

    def exact(one, other):
        total = 0.0
        for prompt in PROMPTS:
            a, b = every_completion(one, prompt), every_completion(other, prompt)
            total += sum(math.exp(a[tokens]) * (a[tokens] - b[tokens]) for tokens in a)
        return total / len(PROMPTS)

    return exact
