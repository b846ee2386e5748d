"""What the installed TRL computes, and that the probes notice when it computes something else."""

import pytest
import torch

from rlbench.conformance.trainers import conform

pytest.importorskip("trl", reason="needs the extra trl: pip install 'rlbench[trl]'")

LIKE_OURS = {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False, "disable_dropout": True}
OURS = {"advantage_epsilon": 1e-4}


def check(algorithm, options=None, ours=None):
    _, [found] = conform("trl", algorithm, options, ours)
    return found


def test_the_defaults_of_grpo_differ_and_each_difference_is_named(set_apart):
    found = check("grpo")
    assert found.verdict == "differs"
    assert found["aggregation"].theirs == "token_mean"
    assert found["beta"].theirs == 0
    assert found["kl_placement"].evidence == "with beta 0.04: k3, loss_times_ratio"
    assert found["advantage"].theirs == "sample_std"
    assert found["advantage"].evidence == "1 of 8 correct: +2.474, -0.353"
    assert found["advantage_epsilon"].theirs == pytest.approx(1e-4, rel=1e-3)
    assert found.explained.negligible
    assert not found.against_ours.negligible


def test_the_kl_penalty_of_grpo_is_times_the_ratio_which_only_gradients_show():
    found = check("grpo", {"beta": 0.04})
    assert (found["kl_estimator"].theirs, found["kl_placement"].theirs) == ("k3", "loss_times_ratio")
    assert (found["kl_estimator"].verdict, found["kl_placement"].verdict) == ("agrees", "differs")
    assert found.explained.negligible


def test_grpo_can_be_set_alike_in_loss_and_gradient(set_apart):
    found = check("grpo", LIKE_OURS, OURS)
    assert set_apart(found) == set()
    assert found.against_ours.loss <= 1e-5
    assert found.against_ours.gradient <= 1e-5
    assert found.verdict == "agrees"


def test_only_the_epsilon_stands_between_them_and_our_pinned_grpo(set_apart):
    assert set_apart(check("grpo", LIKE_OURS)) == {"advantage_epsilon"}


def test_the_gspo_setting_weighs_completions_by_their_length():
    found = check("gspo")
    assert found["ratio"].theirs == "sequence mean"
    assert found["length weights 2 : 10"].theirs == "0.167 : 0.833"
    assert found["length weights 2 : 10"].ours == "0.500 : 0.500"
    assert "aggregation" in found.not_alike
    assert found.explained.negligible
    assert found.verdict == "differs"


def test_the_kl_penalty_of_the_gspo_setting_is_times_the_ratio_of_the_sequence():
    found = check("gspo", {"beta": 0.04})
    assert found["ratio of the KL"].theirs == "sequence mean"
    assert "ratio of the KL" in found.not_alike
    assert found.explained.negligible
    assert check("grpo", {"beta": 0.04})["ratio of the KL"].theirs == "token"


def test_gspo_and_rloo_can_be_set_alike(set_apart):
    gspo = check("gspo", {"loss_type": "grpo", "disable_dropout": True}, OURS)
    rloo = check("rloo", {"beta": 0.03, "disable_dropout": True}, {"ratio": "sequence"})
    for found in (gspo, rloo):
        assert set_apart(found) == set()
        assert found.against_ours.negligible
        assert found.verdict == "agrees"


def test_rloo_has_its_penalty_in_the_reward_and_a_ratio_where_the_paper_has_none():
    found = check("rloo")
    assert (found["kl_placement"].theirs, found["kl_estimator"].theirs, found["beta"].theirs) == ("reward", "k1", 0.05)
    assert found["advantage"].theirs == "leave_one_out"
    assert (found["ratio"].ours, found["ratio"].theirs) == ("none", "completion")
    assert found.explained.negligible


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"loss_type": "dr_grpo"}, "aggregation", "constant"),
        ({"loss_type": "bnpo"}, "micro-batch split", "changes the result"),
        ({"delta": 4.0}, "dual_clip", 4.0),
        ({"epsilon": 0.1, "epsilon_high": 0.28}, "clip_high", 0.28),
        ({"scale_rewards": "none"}, "advantage", "mean_only"),
        ({"scale_rewards": "batch"}, "advantage", "batch_std"),
        ({"mask_truncated_completions": True}, "truncated", "mask"),
    ],
)
def test_options_of_grpo_are_found_by_what_they_do(options, name, value):
    found = check("grpo", options)
    assert found[name].theirs == (value if isinstance(value, str) else pytest.approx(value))
    assert found.explained.negligible


@pytest.mark.parametrize("loss_type", ["cispo", "sapo"])
def test_a_loss_that_is_none_of_ours_is_not_explained(loss_type):
    found = check("grpo", {"loss_type": loss_type})
    assert found.verdict == "differs"
    assert found.explained is None or not found.explained.negligible


@pytest.mark.parametrize("algorithm", ["dpo", "reward_model"])
def test_offline_trainers_agree_once_nothing_is_cut(algorithm, set_apart):
    default, whole = check(algorithm), check(algorithm, {"max_length": None})
    assert set_apart(default) == {"too long"}
    assert default.against_ours.negligible
    assert set_apart(whole) == set()
    assert whole.verdict == "agrees"
    assert set_apart(check(algorithm, {"max_length": None, "disable_dropout": False})) == {"dropout"}


def test_sft_agrees_in_loss_and_gradient_and_keeps_the_dropout_of_the_model(set_apart):
    found = check("sft", {"max_length": None})
    assert found.against_ours.negligible
    assert set_apart(found) == {"dropout"}
    assert found.not_alike == ("dropout",)


def test_sft_on_prompts_too_is_found_and_explained():
    found = check("sft", {"completion_only_loss": False})
    assert found["counted tokens"].theirs == "prompt and completion"
    assert found.explained.negligible
    assert not found.against_ours.negligible


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"loss_type": "ipo"}, {"loss": "ipo", "logprobs": "mean"}),
        ({"loss_type": "sigmoid_norm"}, {"loss": "sigmoid", "logprobs": "mean"}),
        ({"beta": 0.3}, {"beta": 0.3}),
        ({"label_smoothing": 0.1}, {"label_smoothing": 0.0}),  # honoured by other losses of TRL, not by this one
    ],
)
def test_variants_of_dpo_are_found_by_what_they_do(options, expected):
    found = check("dpo", options)
    assert {name: found[name].theirs for name in expected} == expected
    assert found.explained.negligible


def test_losses_of_dpo_that_are_none_of_ours_are_not_explained():
    found = check("dpo", {"loss_type": "hinge"})
    assert found["loss"].theirs == "none of ours"
    assert found.explained is None


def test_centring_of_the_reward_model_is_found():
    found = check("reward_model", {"center_rewards_coefficient": 0.01, "max_length": None}, {"centring": 0.01})
    assert found["centring"].theirs == 0.01
    assert found.verdict == "agrees"


def wider_clip(trainer, original, *arguments, **keywords):
    trainer.epsilon_high = 0.5
    return original(*arguments, **keywords)


def another_aggregation(trainer, original, *arguments, **keywords):
    trainer.loss_type = "dapo"
    return original(*arguments, **keywords)


def another_penalty(trainer, original, *arguments, **keywords):
    trainer.args.use_bias_correction_kl = True
    return original(*arguments, **keywords)


def stronger_penalty(trainer, original, *arguments, **keywords):
    trainer.beta = 0.08
    return original(*arguments, **keywords)


def shifted_mask(trainer, original, model, inputs, *arguments, **keywords):
    moved = {**inputs, "completion_mask": inputs["completion_mask"].roll(1, 1)}
    return original(model, moved, *arguments, **keywords)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (wider_clip, {"clip_high"}),
        (another_aggregation, {"aggregation", "length weights 2 : 10"}),
        (another_penalty, {"kl_placement", "ratio of the KL"}),
        (stronger_penalty, {"beta"}),
        (shifted_mask, {"tokens in the loss"}),
    ],
)
def test_an_altered_loss_of_grpo_shows_on_its_axis(altered, set_apart, change, names):
    altered("GRPOTrainer", "_compute_loss", change)
    found = check("grpo", LIKE_OURS, OURS)
    assert found.verdict == "differs"
    apart = set_apart(found)
    assert names <= apart if change is shifted_mask else names == apart


def test_altered_advantages_and_masks_of_grpo_show_on_their_axes(altered, set_apart):
    def scored(trainer, original, inputs):
        found = original(inputs)
        shorter = found["completion_mask"] * found["completion_mask"].roll(-1, 1)
        return found | {"advantages": -found["advantages"], "completion_mask": shorter}

    altered("GRPOTrainer", "_generate_and_score_completions", scored)
    assert {"advantage", "stop token"} <= set_apart(check("grpo", LIKE_OURS, OURS))


def test_log_probabilities_without_the_temperature_are_noticed(altered, set_apart):
    def cold(trainer, original, *arguments, **keywords):
        found = original(*arguments, **keywords)
        return found[0] * trainer.temperature, *found[1:]

    altered("GRPOTrainer", "_get_per_token_logps_and_entropies", cold)
    assert set_apart(check("grpo", LIKE_OURS, OURS)) == {"logprob_temperature"}


def test_a_trainer_that_agrees_on_every_axis_with_other_numbers_cannot_be_told(altered, set_apart):
    def only_of_models(trainer, original, model, inputs):
        loss = original(model, inputs)
        return loss * 1.01 if len(inputs["advantages"]) == 16 else loss  # the probes' tensors are smaller

    altered("GRPOTrainer", "_compute_loss", only_of_models)
    found = check("grpo", LIKE_OURS, OURS)
    assert set_apart(found) == set()
    assert found.verdict == "cannot tell"


def test_an_altered_mask_of_dpo_and_an_altered_sft_loss_are_noticed(altered, set_apart):
    altered("DPOTrainer", "_compute_loss", shifted_mask)
    assert "tokens in the loss" in set_apart(check("dpo", {"max_length": None}))

    def per_sequence(trainer, original, model, inputs, *arguments, **keywords):
        return original(model, inputs, *arguments, **keywords | {"num_items_in_batch": torch.tensor(7)})

    altered("SFTTrainer", "compute_loss", per_sequence)
    assert "aggregation" in set_apart(check("sft", {"max_length": None}))


def test_an_altered_reward_model_is_noticed(altered, set_apart):
    def scaled(trainer, original, *arguments, **keywords):
        return 2 * original(*arguments, **keywords)

    altered("RewardTrainer", "compute_loss", scaled)
    assert "loss" in set_apart(check("reward_model", {"max_length": None}))


def test_checking_leaves_no_trace(altered):
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    check("sft")
    assert torch.equal(torch.rand(1), first)
    assert check("grpo") == check("grpo")


def test_an_option_whose_effect_no_probe_would_see_leaves_the_verdict_open():
    found = check("grpo", LIKE_OURS | {"off_policy_mask_threshold": 0.5}, OURS)
    assert found["other options"].theirs == "off_policy_mask_threshold"
    assert found.verdict == "cannot tell"


def test_without_a_ratio_a_loss_of_tokens_still_weighs_completions_by_their_length():
    found = check("grpo", {"loss_type": "cispo"})
    assert (found["ratio"].theirs, found["length weights 2 : 10"].theirs) == ("none", "0.167 : 0.833")
