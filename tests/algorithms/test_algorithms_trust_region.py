"""TRPO's real update on a real, tiny policy: the bound, the Fisher matrix, the step and the line search."""

from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical, kl_divergence
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parameters_to_vector

from rlbench.algorithms.algorithm import Rollouts
from rlbench.algorithms.trpo import trpo
from rlbench.artifacts.checkpoints import Checkpoints
from rlbench.policies.padding import token_batch
from rlbench.policies.tiny import build_tiny
from rlbench.rollouts.collect import Sampling
from rlbench.rollouts.meter import Meter
from rlbench.trainers.trainer import Job, Progress
from rlbench.trainers.trust_region import TrustRegionUpdate, _Work

CPU = torch.device("cpu")
TEMPERATURE = 0.8


@pytest.fixture
def job(build_policy, tmp_path):
    def make(policy=None):
        store = Checkpoints(tmp_path)
        sampling = Sampling(4, 7, TEMPERATURE)
        return Job(policy or build_policy(0), build_policy(2), [], 1, sampling, None, 0, "t", [], 1, 1, store, store)

    return make


def on_policy(policy, batch, rollouts):
    with torch.no_grad():
        old = policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, TEMPERATURE)
    return replace(rollouts, old_logprobs=old)


def distributions(policy, batch):
    """Of all counted tokens, [tokens, vocabulary]."""
    with torch.no_grad():
        logits = policy.logits(batch.input_ids, batch.attention_mask, batch.columns)[batch.mask]
    return Categorical(logits=logits / TEMPERATURE)


def update(algorithm, job, batch, rollouts):
    return TrustRegionUpdate(algorithm, job)(batch, rollouts, Progress(0, Meter(), []), 0)


@pytest.mark.parametrize("max_kl", [1e-4, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("damping", [0.01, 0.1])
def test_no_step_exceeds_the_bound_and_every_step_raises_the_objective(case, job, max_kl, damping):
    one = job()
    rollouts = on_policy(one.policy, case.batch, case.rollouts)
    before = distributions(one.policy, case.batch)
    algorithm = trpo(max_kl=max_kl, cg_damping=damping)
    found = update(algorithm, one, case.batch, rollouts)
    divergence = float(kl_divergence(before, distributions(one.policy, case.batch)).mean())
    assert divergence <= max_kl * (1 + 1e-6)
    assert found["step_kl"] == pytest.approx(divergence, rel=1e-5)
    assert divergence > 1e-3 * max_kl
    after = on_policy(one.policy, case.batch, rollouts).old_logprobs
    ratio = (after - rollouts.old_logprobs)[case.batch.mask].exp()
    advantages = algorithm.targets(rollouts).advantages[case.batch.mask]
    gained = float(((ratio - 1) * advantages).mean())
    assert gained > 0
    assert found["objective_gain"] == pytest.approx(gained, rel=1e-4)
    assert found["ratio_max"] == pytest.approx(float(ratio.max()), rel=1e-6)


def test_a_step_that_is_too_long_is_shortened(case, job):
    """The Fisher matrix knows the divergence at small distances only; far out it must be measured."""
    one = job()
    rollouts = on_policy(one.policy, case.batch, case.rollouts)
    found = update(trpo(max_kl=0.1, cg_damping=0.01), one, case.batch, rollouts)
    assert 0 < found["step_share"] < 1
    assert 0 < found["step_kl"] <= 0.1


@pytest.mark.parametrize("defect", ["no share will do", "nothing to learn"])
def test_without_an_allowed_step_the_policy_stays_as_it_was(case, job, defect):
    one = job()
    rollouts = on_policy(one.policy, case.batch, case.rollouts)
    options = {"max_kl": 0.1, "cg_damping": 0.01, "line_search_steps": 1}
    if defect == "nothing to learn":
        rollouts, options = replace(rollouts, rewards=torch.ones(12, dtype=torch.float64)), {}
    before = parameters_to_vector(one.policy.model.parameters()).detach().clone()
    found = update(trpo(**options), one, case.batch, rollouts)
    assert torch.equal(parameters_to_vector(one.policy.model.parameters()), before)
    assert (found["step_share"], found["step_kl"], found["objective_gain"]) == (0, 0, 0)


def test_truncated_completions_that_are_masked_move_nothing(case, job):
    one = job()
    rollouts = on_policy(one.policy, case.batch, case.rollouts)
    everything = replace(rollouts, truncated=torch.ones(12, dtype=torch.bool))
    before = parameters_to_vector(one.policy.model.parameters()).detach().clone()
    update(trpo(truncated="mask"), one, case.batch, everything)
    assert torch.equal(parameters_to_vector(one.policy.model.parameters()), before)


@pytest.fixture
def small(job):
    """A policy of a few hundred parameters with two prompts of two completions: everything about it in full."""
    policy = build_tiny(["abc"], hidden_size=4, layers=1, heads=1, max_positions=16, seed=0)
    policy.model.double()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(0.7 * torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    prompts = [[1, 4, 5], [1, 4, 5], [1, 6], [1, 6]]
    batch = token_batch(prompts, [[5, 6, 2], [4, 2], [6, 4, 4], [5]], 0, CPU)
    rewards = torch.tensor([1.0, 0, -0.5, 1.5], dtype=torch.float64)
    blank = torch.zeros(batch.mask.shape, dtype=torch.float64)
    rollouts = Rollouts(batch.mask, blank, blank, rewards, torch.zeros(4, dtype=torch.bool), 2, 3)
    return job(policy), batch, on_policy(policy, batch, rollouts)


def explicit_fisher(policy, batch):
    """Mean over counted tokens of Jᵀ (diag p − p pᵀ) J with J the Jacobian of a token's logits / temperature."""
    parameters = list(policy.model.parameters())
    logits = policy.logits(batch.input_ids, batch.attention_mask, batch.columns)[batch.mask] / TEMPERATURE
    total = torch.zeros(2 * [sum(parameter.numel() for parameter in parameters)], dtype=torch.float64)
    for row in logits:
        rows = [
            parameters_to_vector(torch.autograd.grad(score, parameters, retain_graph=True, materialize_grads=True))
            for score in row
        ]
        chances, jacobian = torch.softmax(row.detach(), -1), torch.stack(rows)
        total += jacobian.T @ (torch.diag(chances) - torch.outer(chances, chances)) @ jacobian
    return total / len(logits)


def test_products_with_the_fisher_matrix_are_those_of_its_explicit_form(small):
    job, batch, rollouts = small
    parameters = list(job.policy.model.parameters())
    work = _Work(trpo(micro_batch_size=3), job, batch, rollouts, Meter())
    product, fisher = work.fisher_product(parameters), explicit_fisher(job.policy, batch)
    random = torch.Generator().manual_seed(1)
    for _ in range(3):
        vector = torch.randn(len(fisher), generator=random, dtype=torch.float64)
        expected = fisher @ vector
        with sdpa_kernel(SDPBackend.MATH):  # the only attention with a second derivative
            found = product(vector)
        assert float((found - expected).norm()) < 1e-5 * float(expected.norm())


def test_the_step_is_the_natural_gradient_solved_in_full(small):
    job, batch, rollouts = small
    damping, max_kl = 0.1, 1e-3
    fisher = explicit_fisher(job.policy, batch)
    fisher += damping * torch.eye(len(fisher), dtype=torch.float64)
    parameters = list(job.policy.model.parameters())
    logprobs = job.policy.logprobs(batch.input_ids, batch.attention_mask, batch.columns, TEMPERATURE)
    advantages = torch.tensor([0.5, -0.5, -1.0, 1.0], dtype=torch.float64).unsqueeze(-1)  # reward less the group's mean
    objective = (advantages * logprobs)[batch.mask].mean()
    gradient = parameters_to_vector(torch.autograd.grad(objective, parameters))
    direction = torch.linalg.solve(fisher, gradient)
    expected = direction * (2 * max_kl / (direction @ fisher @ direction)).sqrt()
    before = parameters_to_vector(parameters).detach().clone()
    found = update(trpo(max_kl=max_kl, cg_damping=damping, cg_iterations=60), job, batch, rollouts)
    step = parameters_to_vector(parameters).detach() - before
    assert found["grad_norm"] == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert float((step - found["step_share"] * expected).norm()) < 1e-4 * float(expected.norm())
