"""Every axis is a checked field: what is refused, with which reason, and what is only suspicious."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from rlbench.algorithms.dapo import dapo
from rlbench.algorithms.dpo import dpo
from rlbench.algorithms.dr_grpo import dr_grpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.online_dpo import online_dpo
from rlbench.algorithms.options import Adam, Online, PolicyGradient, Preference
from rlbench.algorithms.ppo import ppo
from rlbench.algorithms.reinforce_pp import reinforce_pp
from rlbench.algorithms.rloo import rloo
from rlbench.algorithms.trpo import trpo
from rlbench.errors import InputError
from rlbench.registry import load, names

ALL = {name: load("algorithms", name) for name in names("algorithms")}
EVERY = pytest.mark.parametrize("make", ALL.values(), ids=ALL)
ADAM = {name: make for name, make in ALL.items() if isinstance(make().options, Adam)}
CLIPPED = {name: make for name, make in ALL.items() if isinstance(make().options, PolicyGradient)}
ONLINE = {name: make for name, make in ALL.items() if isinstance(make().options, Online)}
PREFERENCE = {name: make for name, make in ALL.items() if isinstance(make().options, Preference)}


def refusal(make, **options):
    with pytest.raises(InputError) as caught:
        make(**options)
    message = str(caught.value)
    assert message.startswith(f"algorithm {make().name!r}: ")
    return message


@EVERY
def test_an_unknown_option_is_named_with_those_that_exist(make):
    message = refusal(make, cliprange=0.2)
    assert "unknown option 'cliprange'" in message
    for known in type(make().options).model_fields:
        assert known in message


@EVERY
def test_the_defaults_raise_no_suspicion_and_cannot_be_changed_afterwards(make):
    options = make().options
    assert options.suspicions() == []
    with pytest.raises(ValidationError, match="frozen"):
        options.micro_batch_size = 1
    assert make(**options.model_dump()).options == options  # what is written out can be read again


@EVERY
def test_names_versions_and_papers_are_given(make):
    algorithm = make()
    assert ALL[algorithm.name] is make
    assert algorithm.version >= 1
    assert algorithm.paper


@EVERY
@pytest.mark.parametrize("value", [0, 2.5, -1])
def test_micro_batches_are_whole_and_positive(make, value):
    assert "option 'micro_batch_size'" in refusal(make, micro_batch_size=value)


@pytest.mark.parametrize("make", ADAM.values(), ids=ADAM)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", "fast"),
        ("warmup", 1.0),
        ("schedule", "cosine"),
        ("epochs", 0),
        ("max_grad_norm", -1),
        ("adam_beta1", 1.0),
        ("weight_decay", -0.1),
        ("beta", -0.1),
    ],
)
def test_a_value_that_is_not_allowed_is_named(make, option, value):
    assert f"option {option!r}" in refusal(make, **{option: value})


@pytest.mark.parametrize("make", CLIPPED.values(), ids=CLIPPED)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("clip_low", 0),
        ("clip_low", 1.0),
        ("clip_high", 0),
        ("dual_clip", 1.0),
        ("aggregation", "mean"),
        ("kl_estimator", "k4"),
        ("kl_placement", "critic"),
        ("minibatches", 0),
    ],
)
def test_axes_of_a_clipped_policy_gradient_are_checked(make, option, value):
    assert f"option {option!r}" in refusal(make, **{option: value})


@pytest.mark.parametrize("make", ONLINE.values(), ids=ONLINE)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("reward_scale", 0),
        ("reward_clip", -1),
        ("missing_eos_penalty", -1),
        ("overlong_buffer", 1.5),
        ("overlong_penalty", 0),
        ("truncated", "drop"),
        ("logprob_temperature", 0.7),
    ],
)
def test_axes_of_rewards_are_checked(make, option, value):
    assert f"option {option!r}" in refusal(make, **{option: value})


@pytest.mark.parametrize("make", ONLINE.values(), ids=ONLINE)
@pytest.mark.parametrize("other", [{"missing_eos_penalty": 1.0}, {"overlong_buffer": 0.2}], ids=str)
def test_what_is_masked_is_not_punished_as_well(make, other):
    message = refusal(make, truncated="mask", **other)
    assert "would only shift the baseline of the others; choose one of them" in message


@pytest.mark.parametrize("make", CLIPPED.values(), ids=CLIPPED)
def test_a_dual_clip_below_the_clip_is_refused(make):
    message = refusal(make, clip_high=0.5, dual_clip=1.5)
    assert "dual_clip is 1.5, expected more than 1 + clip_high = 1.5" in message
    assert make(clip_high=0.5, dual_clip=1.6).options.dual_clip == 1.6


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (1, 3), (3, 1)])
def test_gspo_with_fewer_than_four_steps_per_batch_is_refused_with_the_reason(epochs, minibatches):
    message = refusal(gspo, epochs=epochs, minibatches=minibatches)
    assert f"is {epochs * minibatches}, expected at least 4 optimizer steps" in message
    assert "GSPO is GRPO" in message


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 4), (2, 2), (4, 1)])
def test_gspo_with_four_steps_and_grpo_with_one_are_fine(epochs, minibatches):
    gspo(epochs=epochs, minibatches=minibatches)
    grpo(epochs=1, minibatches=1)


@pytest.mark.parametrize("aggregation", ["token_mean", "constant"])
def test_sequences_that_are_one_action_are_not_weighed_by_length(aggregation):
    message = refusal(gspo, aggregation=aggregation)
    assert f"aggregation is {aggregation}, expected sequence_mean" in message
    assert "10 and 1000 tokens: 0.0099 and 0.9901" in message
    message = refusal(rloo, aggregation=aggregation)
    assert f"aggregation is {aggregation}, expected sequence_mean: a completion is one action" in message


@pytest.mark.parametrize("clip", [{"clip_low": 0.2}, {"clip_high": 0.2}])
def test_gspo_with_the_clip_of_a_token_ratio_is_suspicious(clip):
    (found,) = gspo(**clip).options.suspicions()
    assert "gspo clips its sequence ratio at 0.2, about 500 times the paper's 4e-4" in found
    assert grpo(**clip).options.suspicions() == []


@pytest.mark.parametrize(("epochs", "minibatches"), [(2, 1), (1, 4)])
def test_rloo_without_a_ratio_learns_from_its_own_completions_only(epochs, minibatches):
    message = refusal(rloo, epochs=epochs, minibatches=minibatches)
    assert f"epochs x minibatches is {epochs * minibatches}" in message
    assert "completions of another policy; expected 1, or ratio: sequence" in message
    assert rloo(ratio="sequence", epochs=epochs, minibatches=minibatches).options.epochs == epochs


@pytest.mark.parametrize("options", [{"beta": 0}, {"kl_placement": "loss", "kl_estimator": "k3"}], ids=str)
def test_a_target_needs_a_weight_that_acts_in_the_reward(options):
    message = refusal(ppo, target_kl=6.0, **options)
    assert "target_kl moves the weight of the KL penalty in the reward" in message
    assert ppo(target_kl=6.0).options.target_kl == 6.0


@pytest.mark.parametrize("make", PREFERENCE.values(), ids=PREFERENCE)
def test_axes_of_preference_losses_are_checked(make):
    assert "label_smoothing has no meaning in the loss ipo" in refusal(make, loss="ipo", label_smoothing=0.1)
    for option, value in (("label_smoothing", 0.5), ("beta", 0), ("loss", "hinge"), ("logprobs", "median")):
        assert f"option {option!r}" in refusal(make, **{option: value})


@pytest.mark.parametrize(
    ("option", "value"), [("max_kl", 0), ("cg_iterations", 0), ("cg_damping", -1), ("line_search_factor", 1.0)]
)
def test_axes_of_trpo_are_checked(option, value):
    assert f"option {option!r}" in refusal(trpo, **{option: value})


def test_trpo_has_no_learning_rate():
    assert "unknown option 'learning_rate'" in refusal(trpo, learning_rate=1e-3)


def test_several_mistakes_are_told_at_once():
    message = refusal(grpo, beta=-1, kl=0.1)
    assert "option 'beta'" in message
    assert "unknown option 'kl'" in message


def test_the_papers_values_are_the_defaults():
    # design/algorithms.md, Objectives
    assert (ppo().options.clip_low, ppo().options.lam, ppo().options.gamma) == (0.2, 0.95, 1.0)
    assert (ppo().options.value_clip, ppo().options.value_weight, ppo().options.kl_horizon) == (0.2, 0.1, 10_000)
    assert (grpo().options.clip_low, grpo().options.clip_high, grpo().options.beta) == (0.2, 0.2, 0.04)
    assert (gspo().options.clip_low, gspo().options.clip_high, gspo().options.beta) == (3e-4, 4e-4, 0)
    assert (dapo().options.clip_low, dapo().options.clip_high, dapo().options.beta) == (0.2, 0.28, 0)
    assert dapo().options.overlong_buffer == 4096 / 20480
    assert (dpo().options.beta, dpo().options.logprobs, dpo().options.label_smoothing) == (0.1, "sum", 0)
    assert trpo().options.max_kl == 0.01


def test_where_each_algorithm_keeps_the_penalty_and_how_it_averages():
    found = {
        make.__name__: (
            make().options.aggregation,
            (make().options.kl_estimator, make().options.kl_placement) if make().options.beta else None,
        )
        for make in (ppo, grpo, gspo, dr_grpo, dapo, rloo, reinforce_pp)
    }
    assert found == {
        "ppo": ("token_mean", ("k1", "reward")),
        "grpo": ("sequence_mean", ("k3", "loss")),
        "gspo": ("sequence_mean", None),
        "dr_grpo": ("constant", None),
        "dapo": ("token_mean", None),
        "rloo": ("sequence_mean", ("k1", "reward")),
        "reinforce_pp": ("sequence_mean", ("k1", "reward")),
    }


def test_what_each_algorithm_needs_and_learns_from():
    assert ppo().needs == ("critic", "reference")
    for make in (grpo, gspo, dr_grpo, dapo, rloo, reinforce_pp, trpo, dpo, online_dpo):
        assert make().needs == ("reference",)
    assert (dpo().data, online_dpo().data) == ("preferences", "rollouts->pairs")
    assert (grpo().data, trpo().data) == ("rollouts", "rollouts")
    assert (grpo().update, trpo().update) == ("gradient", "trust_region")


@pytest.mark.parametrize("make", [grpo, gspo, dapo])
@pytest.mark.parametrize("advantage", ["sample_std", "population_std", "mean_only", "leave_one_out"])
def test_a_penalty_whose_weight_is_divided_out_again_is_suspicious(make, advantage):
    inside = make(beta=0.1, kl_estimator="k1", kl_placement="reward", advantage=advantage)
    assert bool(inside.options.suspicions()) == advantage.endswith("_std")
    assert make(beta=0.1, advantage=advantage).options.suspicions() == []
    assert make(beta=0, kl_estimator="k1", kl_placement="reward", advantage=advantage).options.suspicions() == []


def test_that_penalty_really_does_not_depend_on_its_weight_where_all_rewards_are_equal(rollouts):
    data = rollouts([4] * 8, group_size=8)
    data = replace(data, rewards=torch.ones_like(data.rewards))
    weak, strong = (
        grpo(beta=beta, kl_estimator="k1", kl_placement="reward").targets(data).advantages for beta in (0.01, 1.0)
    )
    torch.testing.assert_close(weak, strong, rtol=1e-3, atol=1e-3)
