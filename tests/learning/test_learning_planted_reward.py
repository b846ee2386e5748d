"""Planted rewards, end to end through the real loops (fairness.md): a reward for one token at one place must raise
exactly that behaviour, and a reward that tells nothing apart must change nothing beyond noise."""

import pytest

from rlbench.errors import InputError

pytestmark = pytest.mark.slow


def zero(candidates):
    return [0.0] * len(candidates)


def one(candidates):
    return [1.0] * len(candidates)


def of_the_prompt(candidates):
    return [float(len(candidate.sample.prompt)) for candidate in candidates]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_reward_for_one_letter_at_one_place_raises_exactly_that(make, checks, name, place):
    checks.raises_exactly(name, make(name), place)


def test_a_reward_at_the_last_token_reaches_the_first(make, checks, name):
    checks.reaches_the_first_token(name, make(name))


def test_every_prompt_is_rewarded_for_its_own_completions(make, checks, name):
    checks.tells_prompts_apart(name, make(name))


def test_a_zero_reward_changes_not_one_bit(make, checks, name):
    checks.ignores(name, make(name), zero)


def test_a_constant_reward_changes_not_one_bit(make, checks, name):
    if name == "ppo":
        pytest.skip("its critic has to learn the constant first; see below")
    checks.ignores(name, make(name), one)


def test_a_reward_of_the_prompt_alone_changes_not_one_bit(make, checks, name):
    if name in ("ppo", "reinforce_pp"):
        pytest.skip("its baseline is not the group's mean")
    checks.ignores(name, make(name), of_the_prompt)


def test_reinforce_pp_with_the_groups_baseline_ignores_what_the_prompt_tells(make, checks):
    checks.ignores("reinforce_pp", make("reinforce_pp", baseline="group"), of_the_prompt)


def test_a_constant_reward_leaves_ppo_near_the_reference(make, train, exact):
    # its critic has to learn the constant first and whitening magnifies the rest; a planted reward moves it by nats
    for seed in range(3):
        run = train(make("ppo"), one, seed)
        assert 0 < exact.divergence(run.policy, run.reference) < 0.2
        assert run.curve[-2]["value_loss"] < 0.1 * run.curve[0]["value_loss"]


def test_a_zero_reward_gives_ppos_critic_nothing_to_learn(make, train):
    assert {row.get("value_grad_norm", 0.0) for row in train(make("ppo"), zero, batches=8).curve} == {0.0}


def test_groups_that_tell_nothing_are_counted(make, train, name):
    if name == "dpo":
        with pytest.raises(InputError, match="all completions got the same reward"):
            train(make(name), one, batches=4)
        return
    assert {row.get("zero_variance_groups", 1.0) for row in train(make(name), one, batches=4).curve} == {1.0}


def test_a_punished_letter_disappears(make, train, exact, name):
    def planted(candidates):
        return [-float("a" in candidate.completion) for candidate in candidates]

    run = train(make(name), planted, batches=16)
    before, after = (exact.chance(policy, lambda text: "a" in text) for policy in (run.reference, run.policy))
    assert before > 0.15
    assert after < 0.2 * before
    assert exact.chance(run.policy, lambda text: "b" in text) > 0.05


@pytest.mark.parametrize("letter", ["a", "b", "c"])
def test_dpos_own_loss_raises_a_letter_at_the_first_place(make, train, exact, letter):
    def only(place):
        return lambda text: text.count(letter) == 1 and text.find(letter) == place

    def planted(candidates):  # below zero elsewhere: pairs must show where the letter is not wanted
        texts = [candidate.completion for candidate in candidates]
        return [1.0 if only(0)(text) else -0.25 * (letter in text) for text in texts]

    for seed in range(2):
        run = train(make("dpo", loss="sigmoid", learning_rate=3e-3), planted, seed)
        before, after = ([exact.chance(policy, only(at)) for at in range(3)] for policy in (run.reference, run.policy))
        assert before[0] < 0.13
        assert after[0] > 3 * before[0]
        assert after[1] < before[1]
        assert after[2] < before[2]
