"""Reward-model training: the Bradley-Terry loss on pairs, resumable, reproducible."""

import itertools
import math

import numpy as np
import pytest
import torch

from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.errors import Diverged
from rlbench.policies.reward_model import build_reward_model
from rlbench.policies.tiny import build_tiny
from rlbench.records import Preference
from rlbench.trainers.reward_model import Comparisons, learn_reward

PAIRS = [
    Preference("a", "bb", "c"),
    Preference("abc", "d", "aaa"),
    Preference("dd", "cab", ""),
    Preference("ba", "a", "b"),
    Preference("c", "ddcb", "ac"),
]


@pytest.fixture
def model():
    def make(seed=0):
        return build_reward_model(
            build_tiny(["abcd"], hidden_size=16, layers=1, heads=2, max_positions=16, seed=0), seed
        )

    return make


def comparisons(**changes):
    settings = {"pairs": PAIRS, "epochs": 4, "batch_size": 2, "learning_rate": 1e-2, "margin": 0.0, "names": ("t", 0)}
    return Comparisons(**settings | changes)


def train(model, folder, data=None, on_step=lambda *_: None):
    curve = learn_reward(model, data or comparisons(), Checkpoints(folder), on_step)
    return b"".join(parameter.detach().numpy().tobytes() for parameter in model.model.parameters()), curve


@pytest.mark.parametrize("margin", [0.0, 1.5])
def test_the_first_loss_is_that_of_the_rewards_before_training(model, tmp_path, margin):
    losses, before = [], model()
    rewards = np.array(before.rewards([(pair.prompt, text) for pair in PAIRS for text in (pair.chosen, pair.rejected)]))
    apart = rewards[::2] - rewards[1::2]
    data = comparisons(epochs=1, batch_size=5, margin=margin)
    _, curve = train(model(), tmp_path, data, lambda step, total, loss: losses.append(loss))
    assert losses == [pytest.approx(np.log1p(np.exp(margin - apart)).mean(), abs=1e-5)]
    assert curve == [{"epoch": 1, "step": 1, "loss": losses[0], "accuracy": (apart > 0).mean()}]


def test_a_planted_preference_is_learnt_and_holds_for_new_texts(model, tmp_path):
    texts = ["".join(letters) for letters in itertools.product("abcd", repeat=4)]
    random = np.random.default_rng(0)

    def pairs(count):
        found = []
        while len(found) < count:
            one, other = random.choice(texts, 2)
            if one.count("a") > other.count("a"):
                found.append(Preference("d", str(one), str(other)))
        return found

    fresh = pairs(200)

    def accuracy(judge):
        rewards = judge.rewards([("d", text) for pair in fresh for text in (pair.chosen, pair.rejected)])
        return np.mean([chosen > rejected for chosen, rejected in zip(rewards[::2], rewards[1::2], strict=True)])

    trained = model(1)
    assert accuracy(trained) < 0.1  # this head starts with the opposite taste
    _, curve = train(trained, tmp_path, comparisons(pairs=pairs(200), batch_size=16))
    assert [row["epoch"] for row in curve] == [1, 2, 3, 4]
    assert curve[-1]["accuracy"] > 0.95 > curve[0]["accuracy"]
    assert accuracy(trained) > 0.95


def test_the_size_of_the_parts_of_a_batch_does_not_change_the_result(model, tmp_path):
    curves = [
        train(model(), tmp_path / str(size), comparisons(batch_size=5, micro_batch_size=size))[1] for size in (5, 2, 1)
    ]
    for curve in curves[1:]:
        assert [row["loss"] for row in curve] == pytest.approx([row["loss"] for row in curves[0]], abs=1e-5)
        assert [row["accuracy"] for row in curve] == [row["accuracy"] for row in curves[0]]


def test_an_interrupted_training_ends_as_if_it_had_not_been(model, tmp_path):
    whole = train(model(), tmp_path / "whole")

    class Crash(Exception):
        pass

    def crash(step, total, loss):
        if step == 8:
            raise Crash

    with pytest.raises(Crash):
        train(model(), tmp_path / "parts", on_step=crash)
    steps = []
    assert train(model(), tmp_path / "parts", on_step=lambda step, *_: steps.append(step)) == whole
    assert steps == list(range(7, 13))  # from the end of the second epoch of three steps each


def test_members_of_an_ensemble_differ_in_their_head_and_in_the_order_of_the_pairs(model, tmp_path):
    def run(name, seed, member):
        return train(model(seed), tmp_path / name, comparisons(names=("t", member)))[0]

    assert run("a", 0, 0) == run("b", 0, 0)
    assert len({run("c", 0, 0), run("d", 1, 0), run("e", 0, 1)}) == 3


def test_a_loss_that_is_not_finite_is_told(model, tmp_path):
    broken = model()
    with torch.no_grad():
        broken.model.score.weight[:] = math.nan
    with pytest.raises(Diverged, match="reward model became nan at step 0"):
        train(broken, tmp_path)
