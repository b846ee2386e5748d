import pytest

from rlbench.algorithms.algorithm import OnlineOptimization
from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.ppo import ppo
from rlbench.errors import InputError

EVERY = pytest.mark.parametrize("make", [ppo, grpo, gspo, dpo])


@EVERY
def test_an_unknown_option_is_named_with_those_that_exist(make):
    with pytest.raises(InputError) as caught:
        make(cliprange=0.2)
    message = str(caught.value)
    assert f"algorithm {make.__name__!r}: unknown option 'cliprange'" in message
    assert "learning_rate" in message
    assert "micro_batch_size" in message


@EVERY
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("warmup", 1.0),
        ("schedule", "cosine"),
        ("micro_batch_size", 0),
        ("micro_batch_size", 2.5),
        ("epochs", 0),
        ("max_grad_norm", -1),
    ],
)
def test_a_value_that_is_not_allowed_is_named(make, option, value):
    with pytest.raises(InputError, match=f"algorithm '{make.__name__}': option '{option}'"):
        make(**{option: value})


@pytest.mark.parametrize("make", [ppo, grpo, gspo])
def test_clip_ranges_must_be_positive(make):
    for option in ("clip_low", "clip_high"):
        with pytest.raises(InputError, match=option):
            make(**{option: 0})


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (1, 3), (3, 1)])
def test_gspo_with_fewer_than_four_steps_per_batch_is_refused_with_the_reason(epochs, minibatches):
    with pytest.raises(InputError) as caught:
        gspo(epochs=epochs, minibatches=minibatches)
    message = str(caught.value)
    assert message.startswith("algorithm 'gspo': ")
    assert f"is {epochs * minibatches}, expected at least 4 optimizer steps" in message
    assert "GSPO is GRPO" in message


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 4), (2, 2), (4, 1)])
def test_gspo_with_four_steps_and_grpo_with_one_are_fine(epochs, minibatches):
    gspo(epochs=epochs, minibatches=minibatches)
    grpo(epochs=1, minibatches=1)


def test_several_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        grpo(beta=-1, kl=0.1)
    assert "option 'beta'" in str(caught.value)
    assert "unknown option 'kl'" in str(caught.value)


def test_the_papers_values_are_the_defaults():
    # design/algorithms.md, Objectives
    assert (ppo().options.clip_low, ppo().options.lam, ppo().options.gamma) == (0.2, 0.95, 1.0)
    assert (ppo().options.value_clip, ppo().options.value_weight) == (0.2, 0.1)
    assert (grpo().options.clip_low, grpo().options.clip_high, grpo().options.beta) == (0.2, 0.2, 0.04)
    assert (gspo().options.clip_low, gspo().options.clip_high) == (3e-4, 4e-4)
    assert dpo().options.beta == 0.1


def test_only_ppo_asks_for_a_critic_and_only_dpo_for_preferences():
    assert [make().data for make in (ppo, grpo, gspo, dpo)] == ["rollouts"] * 3 + ["preferences"]
    assert [make().needs_critic for make in (ppo, grpo, gspo)] == [True, False, False]
    assert all(isinstance(make().options, OnlineOptimization) for make in (ppo, grpo, gspo))


def test_options_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        grpo().options.beta = 1.0
