"""Planted rewards, end to end through the real loops (fairness.md): a reward for one token at one place must raise
exactly that behaviour, and a reward that tells nothing apart must change nothing beyond noise."""

import pytest

from rlbench.errors import InputError

pytestmark = pytest.mark.slow

PLACES = [0, 1, 2]


def only(letter, place):
    """The letter occurs once, at this place."""
    return lambda text: text.count(letter) == 1 and text.find(letter) == place


def bytes_of(policy):
    return b"".join(parameter.detach().numpy().tobytes() for parameter in policy.model.parameters())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["ppo", "grpo", "gspo"])
def test_a_reward_for_one_letter_at_one_place_raises_exactly_that(make, train, chance, name, place):
    def planted(candidates):
        return [float(only("a", place)(candidate.completion)) for candidate in candidates]

    for seed in range(2):
        trained, reference, curve = train(make[name](), planted, seed)
        before, after = ([chance(policy, only("a", at)) for at in PLACES] for policy in (reference, trained))
        assert before[place] < 0.1
        assert after[place] > 0.6
        for other in {*PLACES} - {place}:
            assert after[other] < 0.1 * after[place] + before[other]
        assert chance(trained, only("b", place)) < chance(reference, only("b", place)) + 0.02
        assert curve[-2]["reward_mean"] > curve[0]["reward_mean"] + 0.4


@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_preferences_for_one_letter_at_the_first_place_raise_exactly_that(make, train, chance, letter):
    def planted(candidates):  # below zero elsewhere: pairs must show where the letter is not wanted
        texts = [candidate.completion for candidate in candidates]
        return [1.0 if only(letter, 0)(text) else -0.25 * (letter in text) for text in texts]

    for seed in range(2):
        trained, reference, _ = train(make["dpo"](), planted, seed)
        before, after = ([chance(policy, only(letter, at)) for at in PLACES] for policy in (reference, trained))
        assert before[0] < 0.13
        assert after[0] > 3 * before[0]
        assert after[1] < before[1]
        assert after[2] < before[2]


@pytest.mark.parametrize("name", ["ppo", "grpo", "gspo", "dpo"])
def test_a_punished_letter_disappears(make, train, chance, name):
    def planted(candidates):
        return [-float("a" in candidate.completion) for candidate in candidates]

    trained, reference, _ = train(make[name](), planted, seed=0, batches=12)
    assert chance(reference, lambda text: "a" in text) > 0.15
    assert chance(trained, lambda text: "a" in text) < 0.02
    assert chance(trained, lambda text: "b" in text) > 0.05


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("name", ["grpo", "gspo"])
def test_a_constant_reward_changes_not_one_bit(make, train, divergence, name, value):
    trained, reference, curve = train(make[name](), lambda candidates: [value] * len(candidates), seed=0, batches=8)
    assert bytes_of(trained) == bytes_of(reference)
    assert divergence(trained, reference) == 0
    assert {row.get("grad_norm", 0.0) for row in curve} == {0.0}
    assert {row.get("zero_variance_groups", 1.0) for row in curve} == {1.0}


def test_a_zero_reward_changes_neither_ppos_policy_nor_its_critic(make, train):
    trained, reference, curve = train(make["ppo"](), lambda candidates: [0.0] * len(candidates), seed=0, batches=8)
    assert bytes_of(trained) == bytes_of(reference)
    assert {row.get("value_grad_norm", 0.0) for row in curve} == {0.0}


def test_a_constant_reward_leaves_ppo_near_the_reference(make, train, divergence):
    # its critic has to learn the constant first and whitening magnifies the rest; a planted reward moves it by nats
    for seed in range(3):
        trained, reference, curve = train(make["ppo"](), lambda candidates: [1.0] * len(candidates), seed)
        assert 0 < divergence(trained, reference) < 0.2
        assert curve[-2]["value_loss"] < 0.1 * curve[0]["value_loss"]


def test_dpo_refuses_a_constant_reward_and_changes_nothing(make, train):
    with pytest.raises(InputError, match="all completions got the same reward"):
        train(make["dpo"](), lambda candidates: [1.0] * len(candidates), seed=0, batches=4)
