"""Both loops: reproducible, on budget, honest about divergence, and the same whatever the micro-batch size."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rlbench.errors import Diverged, InputError
from rlbench.records import Sample
from rlbench.rollouts.collect import Sampling
from rlbench.seeding import stream
from rlbench.trainers import gradient


def bytes_of(module):
    return b"".join(parameter.detach().numpy().tobytes() for parameter in module.parameters())


def flat(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_the_same_seed_gives_the_same_bytes(new_lab, name):
    torch.manual_seed(1)
    first = new_lab(1).finish(new_lab(1).loop(name))
    torch.manual_seed(2)
    np.random.seed(2)
    assert new_lab(2).finish(new_lab(2).loop(name)) == first


def test_another_seed_or_task_gives_other_rollouts_and_weights(new_lab, name):
    runs = [
        new_lab(number).finish(new_lab(number).loop(name, **changes))
        for number, changes in enumerate([{}, {"seed": 1}, {"task": "others"}])
    ]
    assert len({run.digest for run in runs}) == 3
    assert len({run.weights for run in runs}) == 3


def test_how_often_checkpoints_are_written_does_not_matter(new_lab, name):
    runs = [new_lab(every).finish(new_lab(every).loop(name, checkpoint_every=every)) for every in (1, 3, 100)]
    assert runs[0] == runs[1] == runs[2]


def test_the_dev_curve_does_not_touch_training(new_lab, name):
    with_dev, without = (
        new_lab(len(dev)).finish(new_lab(len(dev)).loop(name, dev=dev)) for dev in ([Sample("d", "a")], [])
    )
    assert with_dev.weights == without.weights
    assert with_dev.digest == without.digest
    assert {row["dev_reward"] for row in without.curve} == {None}
    assert sum(row["dev_reward"] is not None for row in with_dev.curve) >= 3
    for currency in ("completions", "reward_calls", "generated_tokens", "flops", "prompts"):
        assert with_dev.totals[currency] == without.totals[currency]


def test_all_algorithms_start_from_the_same_rollouts(new_lab, variants):
    # matched: same prompts, same policy, same random stream; the reward tells all completions apart, so that DAPO too
    # learns from its first batch
    def reward(candidates):
        return [candidate.completion.count("a") + candidate.completion_index / 100 for candidate in candidates]

    rows = [new_lab(name).finish(new_lab(name).loop(name, reward=reward)).curve[0] for name in variants]
    for key in ("reward_mean", "reward_std", "length_mean", "truncated_fraction", "dev_reward", "completions"):
        assert len({row[key] for row in rows}) == 1, key


def test_the_budget_is_spent_exactly(lab, name):
    totals = lab.finish(lab.loop(name)).totals
    assert totals["prompts"] == 20
    assert totals["completions"] == totals["reward_calls"] == 20 * 4
    assert totals["generated_tokens"] == totals["phases"]["rollout"]


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 4), (2, 3)])
def test_optimizer_steps_and_trained_tokens_of_the_online_loop(lab, stepping, epochs, minibatches):
    totals = lab.finish(lab.loop(stepping, {"epochs": epochs, "minibatches": minibatches})).totals
    assert totals["optimizer_steps"] == 5 * epochs * minibatches
    assert totals["trained_tokens"] == epochs * totals["generated_tokens"]


@pytest.mark.parametrize("name", ["rloo", "trpo"])
def test_algorithms_of_one_step_per_batch(lab, name):
    totals = lab.finish(lab.loop(name)).totals
    assert totals["optimizer_steps"] == 5
    assert totals["trained_tokens"] == totals["generated_tokens"]


def test_optimizer_steps_of_the_pair_update(lab):
    finished = lab.finish(lab.loop("online_dpo", {"epochs": 3, "minibatches": 4}))
    pairs = [int(row["pairs"]) for row in finished.curve[:-1]]
    assert min(pairs) >= 1
    assert finished.totals["optimizer_steps"] == sum(3 * min(4, number) for number in pairs)


def test_optimizer_steps_of_the_offline_loop(lab):
    finished = lab.finish(lab.loop("dpo", {"epochs": 3, "batch_size": 5}))
    pairs = int(sum(row.get("pairs", 0) for row in finished.curve))
    assert pairs > 5
    assert finished.totals["optimizer_steps"] == 3 * math.ceil(pairs / 5)
    assert len(finished.curve) == 5 + 3 * math.ceil(pairs / 5) + 1


def test_only_the_policy_is_changed(lab, name):
    loop = lab.loop(name)
    before = bytes_of(loop.job.reference.model)
    assert bytes_of(loop.job.policy.model) == before
    loop.run()
    assert bytes_of(loop.job.reference.model) == before
    assert bytes_of(loop.job.policy.model) != before
    assert not loop.job.policy.model.training
    assert all(parameter.grad is None for parameter in loop.job.reference.model.parameters())


@pytest.mark.parametrize("size", [1, 3])
def test_the_micro_batch_size_does_not_change_the_result(new_lab, name, size):
    # large Adam steps would magnify rounding where a gradient is nearly 0; a few small ones do not hide a mistake
    small = {"max_kl": 1e-6, "cg_iterations": 3} if name == "trpo" else {"learning_rate": 1e-4}
    results = []
    for rows in (64, size):
        options = small | {"micro_batch_size": rows}
        loop = new_lab(rows).loop(name, options, prompts=[Sample("p", text) for text in ("a", "bc", "dab", "cc")])
        before = flat(loop.job.policy.model)
        trained = loop.run()
        results.append((flat(loop.job.policy.model), trained))
        assert float((results[-1][0] - before).abs().max()) > 5e-5
    difference = (results[0][0] - results[1][0]).abs().max()
    assert float(difference) < 1e-5
    assert results[0][1].rollouts_digest == results[1][1].rollouts_digest
    for one, other in zip(results[0][1].curve, results[1][1].curve, strict=True):
        for key in ("loss", "policy_loss", "clip_fraction", "kl_nats", "grad_norm", "value_grad_norm", "step_kl"):
            if key in one:
                assert one[key] == pytest.approx(other[key], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_not_finite_is_divergence_at_its_step(lab, name, value):
    batches = itertools.count()

    def reward(candidates):  # the index tells all completions apart, so that DAPO keeps every group
        broken = [next(batches) >= 2 * 16 and candidate.completion_index == 1 for candidate in candidates]
        return [value if bad else float(one.completion_index) for bad, one in zip(broken, candidates, strict=True)]

    loop = lab.loop(name, reward=reward, dev=[])
    with pytest.raises(Diverged) as caught:
        loop.run()
    assert caught.value.step == 2
    assert "at step 2" in str(caught.value)
    assert loop.progress.meter.completions == 3 * 16
    assert [row["step"] for row in loop.progress.curve] == [0, 1]
    json.dumps(loop.progress.to_json(), allow_nan=False)


def test_exploding_weights_are_divergence_and_nothing_infinite_is_logged(lab, adam):
    loop = lab.loop(adam, {"learning_rate": 1e30})
    with pytest.raises(Diverged) as caught:
        loop.run()
    assert caught.value.step == loop.progress.step
    json.dumps(loop.progress.to_json(), allow_nan=False)


def test_a_run_that_diverged_diverges_again_at_the_same_step(lab, adam):
    told = set()
    for _ in range(2):
        with pytest.raises(Diverged) as caught:
            lab.loop(adam, {"learning_rate": 1e30}).run()
        told.add((caught.value.step, str(caught.value)))
    assert len(told) == 1


def test_dpo_without_any_pair_says_why(lab):
    with pytest.raises(InputError, match="no preference pair could be drawn for seed 0: in every group"):
        lab.loop("dpo", reward=lambda candidates: [1.0] * len(candidates)).run()


def test_the_temperature_divides_all_log_probabilities(lab):
    # if rollouts and updates used different temperatures, the ratio would not start at 1
    loop = lab.loop("grpo", {"minibatches": 1}, sampling=Sampling(4, 4, 0.5), prompts_per_batch=20)
    row = loop.run().curve[0]
    assert row["approx_kl"] == pytest.approx(0, abs=1e-9)
    assert row["kl_nats"] == 0


def test_dpos_first_loss_is_ln_2(lab):
    curve = lab.finish(lab.loop("dpo")).curve
    first = next(row for row in curve if "loss" in row)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["reward_margin"] == pytest.approx(0, abs=1e-6)
    assert curve[-2]["loss"] < math.log(2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"minibatches": 5}, {"minibatches": 16}, {"minibatches": 4, "micro_batch_size": 3}]
)
def test_batches_that_do_not_divide_evenly_are_used_up(lab, stepping, options):
    if stepping == "gspo":
        options = options | {"minibatches": max(4, options["minibatches"])}
    totals = lab.finish(lab.loop(stepping, {"epochs": 1, **options})).totals
    assert totals["trained_tokens"] == totals["generated_tokens"]
    assert totals["optimizer_steps"] == 5 * options["minibatches"]


def test_every_pass_over_every_batch_goes_in_an_order_of_its_own(lab, monkeypatch):
    drawn = []

    def recorded(*names):
        drawn.append(names)
        return stream(*names)

    monkeypatch.setattr(gradient, "stream", recorded)
    loop = lab.loop("grpo", {"epochs": 3})
    loop.run()
    assert len(drawn) == len(set(drawn)) == 3 * loop.job.batches
    orders = [stream(*names).permutation(16).tolist() for names in drawn]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_a_minibatch_without_a_token_that_counts_makes_no_step(lab):
    loop = lab.loop("grpo")
    algorithm = loop.update.algorithm

    def every_second_batch(rollouts):
        targets = algorithm.targets(rollouts)
        return targets if loop.progress.step % 2 == 0 else replace(targets, mask=torch.zeros_like(targets.mask))

    loop.update.algorithm = replace(algorithm, targets=every_second_batch)
    curve = loop.run().curve[:-1]
    assert [row["optimizer_steps"] for row in curve] == [0, 2, 2, 4, 4]
    assert ["grad_norm" in row for row in curve] == [True, False, True, False, True]
