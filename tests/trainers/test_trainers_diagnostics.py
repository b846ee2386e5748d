"""What is logged about every rollout batch, and that the numbers mean what their names say."""

import math

import pytest

from rlbench.records import Rewards, Sample
from rlbench.rollouts.collect import Sampling
from rlbench.trainers.online import OnlineLoop

ONLINE = {
    *("step", "completions", "optimizer_steps", "dev_reward", "loss", "policy_loss", "grad_norm"),
    *("reward_mean", "reward_std", "zero_variance_groups", "kl_nats", "kl_k3_nats", "entropy"),
    *("length_mean", "length_max", "truncated_fraction", "empty_fraction"),
}
RATIO = {"approx_kl", "ratio_min", "ratio_max"}
CLIPPED = RATIO | {"clip_fraction", "clip_fraction_low", "clip_fraction_high", "kl_loss", "learning_rate"}
CRITIC = {"value_loss", "value_clip_fraction", "value_grad_norm", "value_explained_variance"}
PAIRS = {"pairs", "preference_accuracy", "reward_margin", "learning_rate"}
FURTHER = {
    "ppo": CLIPPED | CRITIC,
    "ppo-adaptive": CLIPPED | CRITIC | {"beta"},
    "trpo": RATIO | {"step_share", "objective_gain", "step_kl"},
    "online_dpo": PAIRS,
}


def rows_of(lab, name, options=None, **changes):
    return lab.finish(lab.loop(name, options, **changes)).curve[:-1]


def test_every_row_has_every_diagnostic(lab, online):
    rows = rows_of(lab, online)
    expected = ONLINE | FURTHER.get(online, CLIPPED)
    for row in rows:
        assert set(row) - {"kept_fraction"} == expected
        assert all(isinstance(value, float | int) for name, value in row.items() if name != "dev_reward")
        for share in ("clip_fraction", "clip_fraction_low", "clip_fraction_high", "value_clip_fraction", "step_share"):
            assert 0 <= row.get(share, 0) <= 1
        assert row.get("clip_fraction", 0) == pytest.approx(
            row.get("clip_fraction_low", 0) + row.get("clip_fraction_high", 0)
        )
        assert row.get("ratio_min", 1) <= 1 <= row.get("ratio_max", 1)
        assert row["kl_k3_nats"] >= -1e-6
        assert row.get("approx_kl", 0) >= -1e-7
        assert 0 < row["entropy"] <= math.log(8)
        assert row["grad_norm"] > 0
    assert rows[0]["kl_nats"] == rows[0]["kl_k3_nats"] == 0, "the first batch comes from the SFT policy"
    assert rows[-1]["kl_k3_nats"] > 0


def test_the_offline_loop_logs_first_what_was_drawn_and_then_every_step(lab):
    rows = rows_of(lab, "dpo")
    drawn = {"reward_mean", "reward_std", "zero_variance_groups", "length_mean", "length_max", "truncated_fraction"}
    steps = {"loss", "policy_loss", "grad_norm", "preference_accuracy", "reward_margin", "learning_rate"}
    for row in rows[:5]:
        assert drawn | {"empty_fraction", "pairs"} <= set(row)
    for row in rows[5:]:
        assert steps <= set(row)


def test_the_other_columns_of_the_grader_are_parts_of_the_reward(lab, name):
    seen = []

    def graded(candidates):
        length = [float(len(candidate.completion)) for candidate in candidates]
        known = [math.nan if candidate.completion_index % 2 else 7.0 for candidate in candidates]
        seen.append(sum(length) / len(length))
        values = [float(candidate.completion_index) for candidate in candidates]
        return Rewards(values, {"length": length, "known": known, "unknown": [math.nan] * len(values)})

    curve = lab.finish(lab.loop(name, reward=graded, dev=[])).curve
    rows = [row for row in curve if "reward_mean" in row]
    assert [row["reward_part_length"] for row in rows] == pytest.approx(seen)
    assert [row["reward_part_known"] for row in rows] == [7.0] * 5, "completions without a value are left out"
    assert all("reward_part_unknown" not in row for row in rows)


def test_reward_and_length_are_those_of_the_completions(lab, online):
    seen = []

    def reward(candidates):
        values = [candidate.completion_index + len(candidate.completion) / 8 for candidate in candidates]
        seen.append((values, [candidate.completion for candidate in candidates]))
        return values

    rows = rows_of(lab, online, reward=reward, dev=[])
    assert len(rows) == len(seen) == 5
    for row, (values, texts) in zip(rows, seen, strict=True):
        mean = sum(values) / 16
        assert row["reward_mean"] == pytest.approx(mean)
        assert row["reward_std"] == pytest.approx(math.sqrt(sum((value - mean) ** 2 for value in values) / 15))
        assert row["empty_fraction"] == sum(not text for text in texts) / 16
        assert row["length_max"] <= 4
        assert row["zero_variance_groups"] == 0


def test_groups_without_variance_are_counted(lab, online):
    def reward(candidates):  # only the first prompt's completions differ
        return [float(candidate.completion_index if candidate.sample.prompt == "a" else 0) for candidate in candidates]

    assert {row["zero_variance_groups"] for row in rows_of(lab, online, reward=reward)} == {0.75}


@pytest.mark.parametrize("name", ["ppo", "grpo", "dr_grpo", "dapo", "rloo", "rloo-ratio", "reinforce_pp"])
def test_a_single_optimizer_step_per_batch_is_on_policy(lab, name):
    (row,) = rows_of(lab, name, {"minibatches": 1}, prompts_per_batch=20)
    assert row["clip_fraction"] == 0
    assert row["approx_kl"] == pytest.approx(0, abs=1e-9)
    assert row["ratio_min"] == pytest.approx(1, abs=1e-5)
    assert row["ratio_max"] == pytest.approx(1, abs=1e-5)


def test_bold_steps_are_clipped(lab, stepping):
    rows = rows_of(lab, stepping, {"learning_rate": 3e-2, "epochs": 4})
    assert max(row["clip_fraction_low"] for row in rows) > 0
    assert max(row["clip_fraction_high"] for row in rows) > 0
    assert all(row["ratio_min"] < 1 < row["ratio_max"] for row in rows)


def test_trpo_keeps_to_its_bound_and_gains_on_its_objective(lab):
    for row in rows_of(lab, "trpo", {"max_kl": 0.02}):
        assert 0 < row["step_kl"] <= 0.02
        assert 0 < row["step_share"] <= 1
        assert row["objective_gain"] > 0
        assert row["approx_kl"] == pytest.approx(row["step_kl"], rel=0.5), "k3 of the samples estimates the exact KL"


def test_a_constant_reward_stops_trpo_where_it_is(lab):
    for row in rows_of(lab, "trpo", reward=lambda candidates: [1.0] * len(candidates)):
        assert row["grad_norm"] == row["step_share"] == row["step_kl"] == row["objective_gain"] == 0


def test_the_critic_learns_to_foresee_a_reward_that_the_prompt_tells(lab):
    prompts = [Sample(f"p{n}", ["a", "bc", "dab", "cc"][n % 4]) for n in range(240)]

    def reward(candidates):
        return [float(candidate.sample.prompt in ("a", "cc")) for candidate in candidates]

    options = {"value_learning_rate": 1e-2, "value_clip": None, "learning_rate": 1e-6, "beta": 0}
    rows = rows_of(lab, "ppo", options, reward=reward, prompts=prompts)
    assert rows[0]["value_explained_variance"] == pytest.approx(0, abs=1e-6), "a critic that says nothing but 0"
    assert rows[-1]["value_explained_variance"] > 0.8
    assert rows[-1]["value_loss"] < 0.2 * rows[0]["value_loss"]


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("name", ["grpo", "trpo"])
def test_the_temperature_divides_all_log_probabilities(lab, name, temperature):
    # if rollouts and updates used different temperatures, the ratio would not start at 1
    loop = lab.loop(name, {} if name == "trpo" else {"minibatches": 1}, sampling=Sampling(4, 4, temperature))
    drawn, kept, _ = loop._draw()
    rollouts, _ = loop._rollouts(drawn.batch(loop.job.policy.pad_token_id, loop.job.policy.device), drawn)
    assert len(kept) == 16
    row = loop.run().curve[0]
    assert row["kl_nats"] == 0
    if name == "grpo":
        assert row["approx_kl"] == pytest.approx(0, abs=1e-9)
    plain = OnlineLoop(loop.algorithm, lab.loop(name).job)
    other, _ = plain._rollouts(drawn.batch(0, loop.job.policy.device), drawn)
    assert not rollouts.old_logprobs.isclose(other.old_logprobs)[rollouts.mask].any()


def test_the_rate_follows_the_budget(lab, adam):
    rows = [row for row in rows_of(lab, adam) if "learning_rate" in row]
    peak = lab.loop(adam).algorithm.options.learning_rate
    total = 5 if adam != "dpo" else len(rows)
    first = 0 if adam != "dpo" else 5
    for row, following in zip(rows, [*(row["step"] for row in rows[1:]), first + total], strict=True):
        taken = following - 1 - first  # DAPO may need several batches of the budget: the rate is that of the last
        assert row["learning_rate"] == pytest.approx(peak * (1 - taken / total))


def test_a_constant_rate_stays(lab, adam):
    rows = [row for row in rows_of(lab, adam, {"schedule": "constant"}) if "learning_rate" in row]
    assert {row["learning_rate"] for row in rows} == {lab.loop(adam).algorithm.options.learning_rate}


def test_a_rate_of_nearly_nothing_leaves_the_policy_where_it_is(new_lab, adam):
    # the logged rate is the one that is used
    moved = {}
    for rate in (1e-9, 1e-3):
        loop = new_lab(rate).loop(adam, {"learning_rate": rate})
        loop.run()
        pairs = zip(loop.job.policy.model.parameters(), loop.job.reference.model.parameters(), strict=True)
        moved[rate] = max(float((one - other).detach().abs().max()) for one, other in pairs)
    assert moved[1e-9] < 1e-6 < 1e-4 < moved[1e-3]
