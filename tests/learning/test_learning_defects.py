"""Deliberate defects, each put into the real loop: a planted check must fail.

The same checks pass on the code as it is, see test_learning_planted_reward.py. Every defect is one that a published
trainer has had or that its unit tests would have missed (fairness.md).
"""

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from rlbench.functional.masking import last_token
from rlbench.registry import names
from rlbench.rollouts import collect
from rlbench.trainers import offline, pairs

pytestmark = pytest.mark.slow

PAIRED = ["dpo", "online_dpo"]
ONLINE = sorted(set(names("algorithms")) - set(PAIRED))
SEQUENCE = ["gspo", "rloo"]
"""One ratio for a completion: where in it an advantage stands makes no difference to them."""
TOKEN = sorted(set(ONLINE) - set(SEQUENCE))
PLACED = ["ppo", "reinforce_pp"]
"""Their reward stands at a token."""
GROUPED = sorted(set(ONLINE) - set(PLACED))


def later(values):
    """Move every column [batch, time] to the next one; the first becomes 0."""
    moved = values.roll(1, -1)
    moved[:, 0] = 0
    return moved


def earlier(values):
    moved = values.roll(-1, -1)
    moved[:, -1] = 0
    return moved


def with_targets(algorithm, change):
    """The algorithm with `change`(its targets) in their place."""
    return replace(algorithm, targets=lambda rollouts: change(algorithm.targets(rollouts)))


def module_of(name):
    return import_module(f"rlbench.algorithms.{name}")


def noticed(check, *arguments):
    with pytest.raises(AssertionError):
        check(*arguments)


# Rewards that are shifted by one position.


@pytest.mark.parametrize("name", PLACED)
@pytest.mark.parametrize(("shift", "check"), [(later, "reaches_the_first_token"), (earlier, "raises_exactly")])
def test_a_reward_one_token_beside_the_last(make, checks, monkeypatch, name, shift, check):
    monkeypatch.setattr(module_of(name), "last_token", lambda mask: shift(last_token(mask)) & mask)
    noticed(getattr(checks, check), name, make(name), *([2] if check == "raises_exactly" else []))


@pytest.mark.parametrize("name", TOKEN)
def test_every_token_gets_the_advantage_of_the_one_before(make, checks, name):
    algorithm = with_targets(make(name), lambda targets: replace(targets, advantages=later(targets.advantages)))
    noticed(checks.reaches_the_first_token, name, algorithm)


@pytest.mark.parametrize("name", ONLINE)
def test_every_completion_gets_the_reward_of_the_one_before(make, checks, name):
    algorithm = make(name)
    targets = algorithm.targets
    shifted = replace(algorithm, targets=lambda rollouts: targets(replace(rollouts, rewards=rollouts.rewards.roll(1))))
    noticed(checks.raises_exactly, name, shifted, 0)


# A mask that is shifted by one position.


@pytest.mark.parametrize("name", sorted(names("algorithms")))
@pytest.mark.parametrize(("shift", "check"), [(later, "reaches_the_first_token"), (earlier, "raises_exactly")])
def test_a_mask_one_token_beside(make, checks, monkeypatch, name, shift, check):
    module = collect if name in ONLINE else pairs
    original = module.token_batch

    def shifted(*arguments):
        batch = original(*arguments)
        return replace(batch, mask=shift(batch.mask))

    monkeypatch.setattr(module, "token_batch", shifted)
    noticed(getattr(checks, check), name, make(name), *([2] if check == "raises_exactly" else []))


# A sign that is flipped.


@pytest.mark.parametrize("name", ONLINE)
def test_a_flipped_sign(make, checks, name):
    algorithm = with_targets(make(name), lambda targets: replace(targets, advantages=-targets.advantages))
    noticed(checks.raises_exactly, name, algorithm, 0)


def ranked(monkeypatch, change):
    """Let `change`(pairs, group_size) come between the ranking and both loops."""
    for module in (offline, pairs):
        original = module.draw_pairs
        monkeypatch.setattr(
            module,
            "draw_pairs",
            lambda rewards, size, *rest, original=original: change(original(rewards, size, *rest), len(rewards), size),
        )


@pytest.mark.parametrize("name", PAIRED)
def test_swapped_pairs(make, checks, monkeypatch, name):
    ranked(monkeypatch, lambda found, total, size: [(rejected, chosen) for chosen, rejected in found])
    noticed(checks.raises_exactly, name, make(name), 0)


# Only the last token learns.


@pytest.mark.parametrize("name", ONLINE)
def test_only_the_last_token_learns(make, checks, name):
    def only(targets):
        last = last_token(targets.mask)
        return replace(targets, advantages=targets.advantages * last, mask=last if name in SEQUENCE else targets.mask)

    noticed(checks.reaches_the_first_token, name, with_targets(make(name), only))


@pytest.mark.parametrize("name", PAIRED)
def test_only_the_last_token_of_a_pair_learns(make, checks, monkeypatch, name):
    original = pairs._prediction
    monkeypatch.setattr(pairs, "_prediction", lambda new, old, mask: original(new, old, last_token(mask)))
    noticed(checks.reaches_the_first_token, name, make(name))


# Advantages of the wrong group.


@pytest.mark.parametrize("name", ONLINE)
def test_advantages_of_the_next_prompt(make, checks, monkeypatch, name):
    if name in GROUPED:
        module = module_of(name)
        original = module.group_advantages
        monkeypatch.setattr(
            module, "group_advantages", lambda rewards, size, *rest: original(rewards, size, *rest).roll(size)
        )
        algorithm = make(name)
    else:
        size = 8
        algorithm = with_targets(
            make(name), lambda targets: replace(targets, advantages=targets.advantages.roll(size, 0) * targets.mask)
        )
    noticed(checks.tells_prompts_apart, name, algorithm)


@pytest.mark.parametrize("name", GROUPED)
def test_groups_of_different_prompts(make, checks, monkeypatch, name):
    module = module_of(name)
    original = module.group_advantages

    def mixed(rewards, size, *rest):
        crossed = rewards.view(size, -1).T.reshape(-1)
        return original(crossed, size, *rest).view(-1, size).T.reshape(-1)

    monkeypatch.setattr(module, "group_advantages", mixed)
    # DAPO would leave out the groups by which this is seen, before they are mixed
    algorithm = make(name, dynamic_sampling=False) if name == "dapo" else make(name)
    noticed(checks.ignores, name, algorithm, lambda candidates: [len(one.sample.prompt) for one in candidates])


@pytest.mark.parametrize("name", PAIRED)
def test_pairs_of_the_next_prompt(make, checks, monkeypatch, name):
    original, prompts = pairs.Pair, []

    def of_another(prompt, chosen, rejected):
        if prompt not in prompts:
            prompts.append(prompt)
        return original(prompts[prompts.index(prompt) - 1], chosen, rejected)

    for module in (offline, pairs):
        monkeypatch.setattr(module, "Pair", of_another)
    noticed(checks.tells_prompts_apart, name, make(name))


@pytest.mark.parametrize("name", PAIRED)
def test_pairs_across_prompts(make, checks, monkeypatch, name):
    for module in (offline, pairs):
        original = module.draw_pairs
        monkeypatch.setattr(
            module,
            "draw_pairs",
            lambda rewards, size, *rest, original=original: original(rewards, len(rewards), *rest),
        )
    noticed(checks.ignores, name, make(name), lambda candidates: [len(one.sample.prompt) for one in candidates])


def test_the_shifts_are_what_they_say():
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    assert later(mask).tolist() == [[False, True, True], [False, True, False]]
    assert earlier(mask).tolist() == [[True, True, False], [False, False, False]]
