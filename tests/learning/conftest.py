"""Trains tiny policies through the real loops on rewards with a known answer.

`checks` holds what must be true of every algorithm (fairness.md), as functions that raise AssertionError; the tests of
deliberate defects use the same functions to show that they notice.
"""

import math
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from rlbench.algorithms.algorithm import Algorithm
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import InputError
from rlbench.policies.causal_lm import Policy
from rlbench.policies.tiny import build_tiny
from rlbench.records import Rewards, Sample
from rlbench.registry import load, names
from rlbench.rollouts.collect import Sampling
from rlbench.trainers.offline import OfflineLoop
from rlbench.trainers.online import OnlineLoop
from rlbench.trainers.trainer import Job, Trained

torch.set_num_threads(1)

PROMPTS = ["p", "q", "pq", "qp"]
OWN = dict(zip(PROMPTS, "abcd", strict=True))
LENGTH = 3
PLACES = (0, 1, 2)


@dataclass(frozen=True)
class Setting:
    """Options that suit 10,000 parameters, and how many rollout batches of 128 completions they need."""

    options: dict[str, Any]
    batches: int = 32
    soon: int = 20
    """How many are enough where the first letter decides; what has to be told apart from other places takes longer."""
    rare: float = field(default=0.4, kw_only=True)
    """What the probability of a letter at one place only must reach, from a few per cent."""
    common: float = field(default=0.75, kw_only=True)
    """The same for a first letter, from about ten per cent."""


SETTINGS = {
    "ppo": Setting({"learning_rate": 1e-2, "value_learning_rate": 3e-3}),
    "grpo": Setting({"learning_rate": 1e-2}),
    "gspo": Setting({"learning_rate": 1e-2, "clip_low": 1e-2, "clip_high": 1e-2}),
    "dr_grpo": Setting({"learning_rate": 1e-2}),
    # answers need the whole length limit here, which its overlong punishment would forbid
    "dapo": Setting({"learning_rate": 1e-2, "overlong_buffer": 0.0, "epochs": 2}, 48, 28),
    "rloo": Setting({"learning_rate": 2e-2}, 64, 36),
    "reinforce_pp": Setting({"learning_rate": 1e-2}),
    "trpo": Setting({"max_kl": 0.05, "cg_iterations": 5}, 32, 16, rare=0.2),
    "online_dpo": Setting({"learning_rate": 5e-3, "minibatches": 4, "beta": 0.5}, 48, 28),
    # DPO's own loss ends by moving mass to completions that no pair showed; that of IPO is bounded
    "dpo": Setting({"learning_rate": 1e-2, "batch_size": 32, "loss": "ipo"}, 96, 96, rare=0.12, common=0.5),
}
assert set(SETTINGS) == set(names("algorithms")), "every algorithm is tested here"


def build() -> Policy:
    return build_tiny(["abcdpq"], hidden_size=32, layers=1, heads=2, max_positions=12, seed=0)


@dataclass(frozen=True)
class Run:
    """A trained policy beside the one it started from."""

    policy: Policy
    reference: Policy
    trained: Trained

    @property
    def curve(self):
        return self.trained.curve

    @property
    def weights(self):
        return bytes_of(self.policy)


def bytes_of(policy):
    return b"".join(parameter.detach().numpy().tobytes() for parameter in policy.model.parameters())


@pytest.fixture(params=SETTINGS)
def name(request):
    return request.param


@pytest.fixture
def make():
    """Algorithms by name with suitable options; `changes` overrides some."""
    return lambda name, **changes: load("algorithms", name)(**{**SETTINGS[name].options, **changes})


@pytest.fixture
def train(tmp_path):
    """Train an algorithm on a reward, a function from candidates to numbers, through its real loop."""

    def run(algorithm, reward, seed=0, batches=32):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        job = Job(
            policy=build(),
            reference=build(),
            prompts=[Sample(f"{n}", PROMPTS[n % 4]) for n in range(16 * batches)],
            prompts_per_batch=16,
            sampling=Sampling(8, LENGTH, 1.0),
            reward=lambda candidates: Rewards(reward(candidates)),
            seed=seed,
            task="planted",
            dev=(),
            dev_every=1,
            checkpoint_every=1000,
            checkpoints=Checkpoints(folder),
            preferences=Checkpoints(folder, "preferences"),
        )
        kind = OfflineLoop if algorithm.data == "preferences" else OnlineLoop
        return Run(job.policy, job.reference, kind(algorithm, job).run())

    return run


@dataclass(frozen=True)
class Weighed:
    """A policy as a key: policies with the same weights are the same."""

    digest: bytes
    policy: Policy = field(compare=False)


def every_completion(policy, prompt):
    """Text and log-probability of every completion that can be drawn, by its tokens."""
    return _every_completion(Weighed(sha256(bytes_of(policy)).digest(), policy), prompt)


@lru_cache(maxsize=64)
@torch.no_grad()
def _every_completion(weighed, prompt):
    """By enumeration, once for the many questions that a test asks about the same policy."""
    policy = weighed.policy
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
    return {tokens: (policy.decode(tokens), logprob) for tokens, logprob in found}


def expected(policy, value):
    """Mean of `value`(text, prompt) over the completions of a policy, exactly; mean over the prompts."""
    total = 0.0
    for prompt in PROMPTS:
        every = every_completion(policy, prompt).values()
        assert sum(math.exp(logprob) for _, logprob in every) == pytest.approx(1, abs=1e-5)
        total += sum(math.exp(logprob) * value(text, prompt) for text, logprob in every)
    return total / len(PROMPTS)


def chance(policy, has):
    """Probability that a completion's text has a property, exactly."""
    return expected(policy, lambda text, prompt: has(text))


def first_letter(policy, letters):
    """Probability that the first token is the letter of the prompt, exactly; mean over the prompts."""
    total = 0.0
    for prompt in PROMPTS:
        with torch.no_grad():
            ids = torch.tensor([policy.encode_prompt(prompt)])
            following = torch.softmax(policy.model(input_ids=ids).logits[0, -1].double(), -1)
        total += float(following[policy.encode_prompt(letters[prompt])[-1]])
    return total / len(PROMPTS)


def divergence(one, other):
    """KL(one || other) of whole completions in nats, exactly; mean over the prompts."""
    total = 0.0
    for prompt in PROMPTS:
        a, b = every_completion(one, prompt), every_completion(other, prompt)
        total += sum(math.exp(logprob) * (logprob - b[tokens][1]) for tokens, (_, logprob) in a.items())
    return total / len(PROMPTS)


@pytest.fixture
def exact():
    """Exact figures of a policy, by enumeration of its completions."""

    class Exact:
        chance = staticmethod(chance)
        expected = staticmethod(expected)
        divergence = staticmethod(divergence)

    return Exact


def only(letter, place):
    """The letter occurs once, at this place."""
    return lambda text: text.count(letter) == 1 and text.find(letter) == place


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@dataclass(frozen=True)
class Checks:
    """What must hold for every algorithm. Each raises AssertionError if it does not."""

    train: Any

    def _runs(self, name, algorithm: Algorithm, reward, seeds, *, soon=False):
        batches = SETTINGS[name].soon if soon else SETTINGS[name].batches
        return [self.train(algorithm, reward, seed, batches) for seed in seeds]

    def raises_exactly(self, name, algorithm, place, seeds=(0,)):
        """A reward for one letter at one place raises that, and neither the letter elsewhere nor another letter."""

        def planted(candidates):
            return [float(only("a", place)(candidate.completion)) for candidate in candidates]

        runs = self._runs(name, algorithm, planted, seeds, soon=place == 0)
        before = [chance(runs[0].reference, only("a", at)) for at in PLACES]
        after = [mean(chance(run.policy, only("a", at)) for run in runs) for at in PLACES]
        assert before[place] < 0.1
        assert after[place] > max(SETTINGS[name].rare, 3 * before[place])
        for other in {*PLACES} - {place}:
            assert after[other] < 0.95 * after[place]
            assert name == "dpo" or after[other] < 0.1 * after[place] + before[other]
        instead = mean(chance(run.policy, only("b", place)) for run in runs)
        assert instead < chance(runs[0].reference, only("b", place)) + 0.03

    def reaches_the_first_token(self, name, algorithm, seeds=(0,)):
        """Only completions of full length are rewarded, so the first token is never the last."""

        def planted(candidates):
            texts = [candidate.completion for candidate in candidates]
            return [float(len(text) == LENGTH and text.startswith("a")) for text in texts]

        runs = self._runs(name, algorithm, planted, seeds, soon=True)
        before = first_letter(runs[0].reference, dict.fromkeys(PROMPTS, "a"))
        after = mean(first_letter(run.policy, dict.fromkeys(PROMPTS, "a")) for run in runs)
        assert before < 0.15
        assert after > SETTINGS[name].common

    def tells_prompts_apart(self, name, algorithm, seeds=(0,)):
        """Every prompt has its own letter."""

        def planted(candidates):
            return [float(one.completion.startswith(OWN[one.sample.prompt])) for one in candidates]

        runs = self._runs(name, algorithm, planted, seeds)
        before = first_letter(runs[0].reference, OWN)
        after = mean(first_letter(run.policy, OWN) for run in runs)
        assert before < 0.15
        assert after > SETTINGS[name].common

    def ignores(self, name, algorithm, reward):
        """A reward that tells no completions of a prompt apart leaves the policy as it is, to the last bit."""
        told = ""
        try:
            run = self.train(algorithm, reward, 0, 8)
        except InputError as error:
            told = str(error)
        assert ("all completions got the same reward" in told) == (name == "dpo")
        if name == "dpo":
            return
        assert run.weights == bytes_of(run.reference)
        assert divergence(run.policy, run.reference) == 0
        assert {row.get("grad_norm", 0.0) for row in run.curve} == {0.0}


@pytest.fixture
def checks(train):
    return Checks(train)
