"""The logged numbers are what their names say, under every aggregation."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from rlbench.algorithms.dr_grpo import dr_grpo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.gspo import gspo
from rlbench.algorithms.ppo import ppo

LENGTHS = 3 * [5, 1, 3, 7, 2, 2, 6, 4]


def fraction(flat, mask, aggregation):
    """Share of marked tokens: of all tokens, or the mean over sequences of each one's share."""
    if aggregation == "sequence_mean":
        return sum(float(row[m].double().mean()) for row, m in zip(flat, mask, strict=True)) / len(mask)
    return float(flat[mask].double().mean())


def test_the_clip_fraction_is_the_share_of_tokens_without_gradient(online, rollouts, step, moved):
    if getattr(online.options, "kl_estimator", "") == "k1" and online.options.kl_placement == "loss_times_ratio":
        pytest.skip("k1 times the ratio has a gradient everywhere")
    data = rollouts(LENGTHS)
    new = moved(data.old_logprobs, 0.4)
    data = replace(data, truncated=torch.zeros_like(data.truncated), rewards=data.rewards / 10)
    data = replace(data, reference_logprobs=new)  # the penalty in the loss has no gradient there
    _, found, gradient, _ = step(online, data, new)
    flat = fraction(gradient == 0, data.mask, online.options.aggregation)
    assert found.get("clip_fraction", 0.0) == pytest.approx(flat, abs=1e-6)
    assert found.get("clip_fraction", 0.0) == pytest.approx(
        found.get("clip_fraction_low", 0.0) + found.get("clip_fraction_high", 0.0), abs=1e-6
    )
    clips = online.name != "trpo" and getattr(online.options, "ratio", "sequence") == "sequence"
    assert (0.1 < flat < 0.9) == clips


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean", "constant"])
@pytest.mark.parametrize("dual_clip", [None, 1.3])
def test_low_and_high_say_on_which_side(aggregation, dual_clip, rollouts, step, moved):
    data = replace(rollouts(LENGTHS), max_new_tokens=30)
    algorithm = grpo(beta=0, aggregation=aggregation, dual_clip=dual_clip)
    new = moved(data.old_logprobs, 0.4)
    _, found, gradient, _ = step(algorithm, data, new)
    flat = (gradient == 0) & data.mask
    for name, side in (("low", new < data.old_logprobs), ("high", new > data.old_logprobs)):
        expected = fraction(flat & side, data.mask, aggregation)
        assert expected > 0.05
        assert found[f"clip_fraction_{name}"] == pytest.approx(expected, abs=1e-6)


def test_a_constant_denominator_scales_the_loss_and_not_the_fractions(rollouts, step, moved):
    data = rollouts(LENGTHS)
    new = moved(data.old_logprobs)
    near, far = (step(dr_grpo(), replace(data, max_new_tokens=limit), new) for limit in (7, 70))
    assert far[0] == pytest.approx(near[0] / 10)
    assert far[1]["policy_loss"] == pytest.approx(near[1]["policy_loss"] / 10)
    for name in ("clip_fraction", "clip_fraction_low", "clip_fraction_high", "approx_kl", "ratio_min", "ratio_max"):
        assert far[1][name] == pytest.approx(near[1][name])
        assert near[1][name] > 0


def test_extremes_are_those_of_the_ratio_that_is_clipped(rollouts, step, moved):
    data = rollouts(LENGTHS)
    new = moved(data.old_logprobs)
    log_ratio = new - data.old_logprobs
    tokens = [float(value) for value in log_ratio[data.mask]]
    means = [float(log_ratio[row, :length].mean()) for row, length in enumerate(LENGTHS)]
    for algorithm, expected in ((grpo(), tokens), (gspo(), means)):
        _, found, _, _ = step(algorithm, data, new)
        assert math.log(found["ratio_min"]) == pytest.approx(min(expected))
        assert math.log(found["ratio_max"]) == pytest.approx(max(expected))


def test_loss_is_the_policys_and_the_penaltys_and_the_critics(online, rollouts, step, moved):
    data = rollouts(LENGTHS)
    loss, found, _, _ = step(online, data, moved(data.old_logprobs), moved(data.values))
    parts = found["policy_loss"] + found.get("kl_loss", 0.0)
    parts += getattr(online.options, "value_weight", 0.0) * found.get("value_loss", 0.0)
    assert loss == pytest.approx(parts)


def test_approx_kl_estimates_the_divergence_of_what_sampled_from_what_is_trained(random, rollouts, step):
    """By enumeration: one completion of one token for each of six outcomes, weighed by its chance."""
    old, new = (torch.log_softmax(torch.randn(6, 1, generator=random, dtype=torch.float64), 0) for _ in range(2))
    data = replace(rollouts([1] * 6, group_size=6), old_logprobs=old)
    algorithm = replace(grpo(), weights=lambda mask, limit: old.exp())
    _, found, _, _ = step(algorithm, data, new)
    assert found["approx_kl"] == pytest.approx(float(kl_divergence(Categorical(old.exp().T), Categorical(new.exp().T))))


def test_approx_kl_is_precise_even_at_gspos_scale_in_float32(rollouts, step):
    """Within its clip range of 3e-4, 1 + x in single precision keeps only three digits of x, and none of its square."""
    data = rollouts(LENGTHS)
    data = replace(data, old_logprobs=data.old_logprobs.float())
    new = data.old_logprobs + 3e-4
    expected = (new - data.old_logprobs)[data.mask].double().square().mean() / 2
    _, found, _, _ = step(grpo(beta=0, aggregation="token_mean"), data, new)
    assert found["approx_kl"] == pytest.approx(float(expected), rel=1e-3)


def test_value_clip_fraction_is_the_share_of_values_without_gradient(rollouts, step, moved):
    data = rollouts(LENGTHS)
    for aggregation in ("token_mean", "sequence_mean", "constant"):
        algorithm = ppo(aggregation=aggregation)
        _, found, _, gradient = step(algorithm, data, data.old_logprobs, moved(data.values))
        flat = fraction(gradient == 0, data.mask, aggregation)
        assert 0.1 < flat < 0.9
        assert found["value_clip_fraction"] == pytest.approx(flat, abs=1e-6)
    _, found, _, gradient = step(ppo(value_clip=None), data, data.old_logprobs, moved(data.values))
    assert found["value_clip_fraction"] == 0
    assert bool((gradient[data.mask] != 0).all())
