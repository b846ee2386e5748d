"""What happens to a reward on its way to an advantage: shaping, truncation, PPO's penalty and its controller."""

from dataclasses import replace

import pytest
import torch

from rlbench.algorithms.dapo import dapo
from rlbench.algorithms.grpo import grpo
from rlbench.algorithms.ppo import ppo
from rlbench.algorithms.reinforce_pp import reinforce_pp
from rlbench.algorithms.terms import shaped_rewards
from rlbench.registry import load, names

LENGTHS = [5, 1, 3, 7, 2, 2, 6, 4]
SHAPED = [name for name in names("algorithms") if load("algorithms", name)().data == "rollouts"]
BEFORE_THE_REWARDS = {"dapo": {"overlong_buffer": 0.0}}


def make(name, **options):
    return load("algorithms", name)(**{**BEFORE_THE_REWARDS.get(name, {}), **options})


@pytest.fixture
def data(rollouts):
    return replace(rollouts(LENGTHS), max_new_tokens=10)


@pytest.mark.parametrize("name", SHAPED)
def test_shaped_rewards_are_what_every_algorithm_learns_from(name, data):
    """Shaping by options is the same as a reward that was shaped beforehand."""
    options = {"reward_scale": 2.0, "reward_clip": 1.5, "missing_eos_penalty": 0.4, "overlong_buffer": 0.5}
    by_hand = (2 * data.rewards).clamp(-1.5, 1.5) - 0.4 * data.truncated
    # equation 13 with a limit of 10 and a buffer of 5: 5, 1, 3 and 4 tokens are free, 6 cost 1/5, 7 cost 2/5
    by_hand = by_hand - 3.0 * torch.tensor([0, 0, 0, 0.4, 0, 0, 0.2, 0], dtype=torch.float64)
    shaped = make(name, **options, overlong_penalty=3.0).targets(data)
    plain = make(name).targets(replace(data, rewards=by_hand))
    torch.testing.assert_close(shaped.advantages, plain.advantages, rtol=1e-6, atol=1e-7)
    assert float((shaped.advantages - make(name).targets(data).advantages).abs().max()) > 0.05


def test_dapo_punishes_the_last_fifth_of_the_limit(rollouts):
    data = replace(rollouts([80, 81, 90, 100]), max_new_tokens=100, rewards=torch.ones(4, dtype=torch.float64))
    assert shaped_rewards(data, dapo().options).tolist() == pytest.approx([1.0, 0.95, 0.5, 0.0])


def test_the_constant_denominator_and_the_buffer_look_at_the_limit_and_not_at_the_columns(rollouts):
    near, far = (replace(rollouts([8, 10, 4, 2]), max_new_tokens=limit) for limit in (10, 1000))
    near, far = (replace(each, rewards=torch.zeros(4, dtype=torch.float64)) for each in (near, far))
    assert shaped_rewards(far, dapo().options).tolist() == [0.0] * 4
    assert shaped_rewards(near, dapo().options).tolist() == [0.0, -1.0, 0.0, 0.0]


@pytest.mark.parametrize("name", SHAPED)
def test_masked_completions_have_neither_loss_nor_gradient_nor_weight(name, data, step, moved):
    algorithm = make(name, truncated="mask")
    data = replace(data, truncated=torch.tensor([False, True, False, False, True, False, False, False]))
    new, values = moved(data.old_logprobs), moved(data.values)
    loss, found, gradient, value_gradient = step(algorithm, data, new, values)
    assert float(gradient[data.truncated].abs().max()) == 0
    assert float(value_gradient[data.truncated].abs().max()) == 0
    other = torch.where(data.truncated.unsqueeze(-1), new + 1, new)
    again, same, _, _ = step(algorithm, data, other, values)
    assert (again, same) == (loss, found)
    weights = algorithm.weights(algorithm.targets(data).mask, 10)
    if algorithm.options.aggregation != "constant":
        assert float(weights.sum()) == pytest.approx(1)
    targets = algorithm.targets(data)
    if getattr(algorithm.options, "whiten_advantages", False):
        assert float(targets.advantages[targets.mask].mean()) == pytest.approx(0, abs=1e-9)
    else:
        torch.testing.assert_close(make(name).targets(data).advantages, targets.advantages)  # they stay in the baseline


def test_ppos_penalty_takes_the_weight_that_a_controller_has_set(data):
    for other in (0.0, 0.9):
        set_by_hand = (
            ppo(beta=0.9, whiten_advantages=False).targets(data)
            if other
            else ppo(beta=0, whiten_advantages=False).targets(data)
        )
        steered = ppo(beta=0.2, target_kl=1.0, whiten_advantages=False).targets(replace(data, beta=other))
        torch.testing.assert_close(steered.advantages, set_by_hand.advantages)


def test_the_controller_raises_the_weight_above_its_target_and_lowers_it_below(data):
    divergence = float(((data.old_logprobs - data.reference_logprobs) * data.mask).sum()) / 8
    near = replace(data, reference_logprobs=data.old_logprobs - 0.5)  # sum(LENGTHS) / 16 nats per completion
    nats = sum(LENGTHS) / 16
    for rollouts, target, expected in (
        (near, nats, 0.1),
        (near, nats / 1.1, 0.1 * (1 + 0.1 * 8 / 40)),
        (near, nats / 5, 0.1 * (1 + 0.2 * 8 / 40)),
        (near, nats * 5, 0.1 * (1 - 0.2 * 8 / 40)),
        (replace(data, reference_logprobs=data.old_logprobs + 0.1), 1.0, 0.1 * (1 - 0.2 * 8 / 40)),
    ):
        found = ppo(beta=0.1, target_kl=target, kl_horizon=40).targets(rollouts).next_beta
        assert found == pytest.approx(expected)
    assert divergence != pytest.approx(nats)
    assert ppo(beta=0.1).targets(data).next_beta is None


def test_the_controller_goes_on_from_the_weight_it_has_set_and_keeps_it_positive(data):
    algorithm = ppo(beta=0.1, target_kl=1e3, kl_horizon=1)  # a horizon shorter than a batch
    betas = [0.1]
    for _ in range(5):
        betas.append(algorithm.targets(replace(data, beta=betas[-1])).next_beta)
    assert betas == pytest.approx([0.1 * 0.8**power for power in range(6)])


@pytest.mark.parametrize(("lam", "gamma"), [(0.95, 1.0), (0.5, 0.9)])
def test_ppos_advantages_term_by_term(data, lam, gamma):
    algorithm = ppo(lam=lam, gamma=gamma, beta=0.3, whiten_advantages=False)
    targets = algorithm.targets(data)
    for row, length in enumerate(LENGTHS):
        cost = 0.3 * (data.old_logprobs - data.reference_logprobs)[row, :length]
        rewards = [-float(value) for value in cost]
        rewards[-1] += float(data.rewards[row])
        values = [*data.values[row, :length].tolist(), 0.0]
        for start in range(length):
            expected = sum(
                (gamma * lam) ** (at - start) * (rewards[at] + gamma * values[at + 1] - values[at])
                for at in range(start, length)
            )
            assert float(targets.advantages[row, start]) == pytest.approx(expected)
            assert float(targets.returns[row, start]) == pytest.approx(expected + values[start])


def test_whitened_rewards_have_variance_one_and_their_mean(data):
    free = replace(data, values=torch.zeros_like(data.values))
    axes = {"lam": 0.0, "whiten_advantages": False, "beta": 0.3}  # one-step advantages are the rewards
    white, plain = (ppo(whiten_rewards=flag, **axes).targets(free).advantages[data.mask] for flag in (True, False))
    assert float(white.var(correction=0)) == pytest.approx(1)
    assert float(white.mean()) == pytest.approx(float(plain.mean()))


def test_gamma_discounts_what_is_still_to_come(rollouts):
    data = rollouts([4, 4, 4, 4])
    data = replace(data, reference_logprobs=data.old_logprobs, values=torch.zeros_like(data.values))
    for make_one in (ppo, reinforce_pp):
        lam = {"lam": 1.0} if make_one is ppo else {}
        found = make_one(gamma=0.5, whiten_advantages=False, **lam).targets(data).advantages
        expected = data.rewards.unsqueeze(-1) * torch.tensor([0.125, 0.25, 0.5, 1.0])
        torch.testing.assert_close(found, expected)


def test_a_penalty_in_grpos_reward_is_that_of_the_completion(data):
    algorithm = grpo(beta=0.5, kl_estimator="k1", kl_placement="reward")
    divergence = ((data.old_logprobs - data.reference_logprobs) * data.mask).sum(-1)
    by_hand = grpo(beta=0).targets(replace(data, rewards=data.rewards - 0.5 * divergence))
    torch.testing.assert_close(algorithm.targets(data).advantages, by_hand.advantages)
