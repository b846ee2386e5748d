"""TRPO's step on problems whose answer is known: linear systems, and a bandit with a softmax policy."""

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from rlbench.functional.natural_gradient import backtrack, conjugate_gradient, natural_step

ARMS = 6


def draw(random, *shape):
    return torch.randn(*shape, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_conjugate_gradient_solves_what_torch_solves(random, size):
    half = draw(random, size, size)
    matrix = half @ half.T + 0.5 * torch.eye(size, dtype=torch.float64)
    right = draw(random, size)
    found = conjugate_gradient(lambda vector: matrix @ vector, right, 5 * size)
    torch.testing.assert_close(found, torch.linalg.solve(matrix, right), atol=1e-8, rtol=1e-6)


def test_in_exact_arithmetic_it_needs_one_iteration_per_distinct_eigenvalue(random):
    basis, _ = torch.linalg.qr(draw(random, 8, 8))
    matrix = basis @ torch.diag(torch.tensor([1.0, 1, 1, 4, 4, 9, 9, 9], dtype=torch.float64)) @ basis.T
    right = draw(random, 8)
    errors = [
        float((matrix @ conjugate_gradient(lambda v: matrix @ v, right, count) - right).norm()) for count in (1, 2, 3)
    ]
    assert errors[0] > errors[1] > 1e-2
    assert errors[2] < 1e-12


def test_it_stops_when_the_residual_is_small_enough_and_at_once_for_zeros(random):
    calls = []

    def product(vector):
        calls.append(vector)
        return 2 * vector

    right = draw(random, 5)
    torch.testing.assert_close(conjugate_gradient(product, right, 50), right / 2)
    assert len(calls) == 1
    assert conjugate_gradient(product, torch.zeros(5), 50).tolist() == [0.0] * 5
    assert len(calls) == 1


def test_in_a_singular_system_it_stays_in_the_range_and_returns_the_shortest_solution(random):
    half = draw(random, 6, 3)
    matrix = half @ half.T
    right = matrix @ draw(random, 6)
    found = conjugate_gradient(lambda vector: matrix @ vector, right, 10)
    torch.testing.assert_close(found, torch.linalg.pinv(matrix) @ right, atol=1e-8, rtol=1e-6)


class Bandit:
    """A softmax policy over arms with known values; everything about it in closed form or by torch's Hessian."""

    def __init__(self, random, sharpness=1.0, spread=1.0):
        self.logits = sharpness * draw(random, ARMS)
        self.values = spread * draw(random, ARMS)
        self.chances = torch.softmax(self.logits, -1)
        self.advantages = self.values - self.chances @ self.values

    def divergence(self, logits):
        return kl_divergence(Categorical(logits=self.logits), Categorical(logits=logits))

    def objective(self, logits):
        return torch.softmax(logits, -1) @ self.advantages

    def gradient(self):
        logits = self.logits.clone().requires_grad_()
        return torch.autograd.grad(self.objective(logits), logits)[0]

    def fisher_product(self):
        hessian = torch.autograd.functional.hessian(self.divergence, self.logits)
        return lambda vector: hessian @ vector

    def step(self, max_kl):
        return natural_step(self.gradient(), self.fisher_product(), max_kl, iterations=ARMS, damping=0.0)

    def search(self, full, max_kl, steps=10, factor=0.5):
        def evaluate(share):
            there = self.logits + share * full
            return float(self.objective(there) - self.objective(self.logits)), float(self.divergence(there))

        return backtrack(evaluate, max_kl, steps, factor)


@pytest.mark.parametrize("max_kl", [1e-4, 0.01, 0.5])
def test_on_a_bandit_it_is_the_closed_form_natural_gradient(random, max_kl):
    """F⁻¹ g is the advantage up to a constant, which changes no probability; ½ sᵀ F s = δ sets its length."""
    for _ in range(20):
        bandit = Bandit(random)
        found = bandit.step(max_kl)
        deviation = (bandit.chances @ bandit.advantages.square()).sqrt()
        expected = (2 * max_kl) ** 0.5 * bandit.advantages / deviation
        torch.testing.assert_close(found - found.mean(), expected - expected.mean(), atol=1e-4, rtol=1e-4)
        hessian = torch.diag(bandit.chances) - torch.outer(bandit.chances, bandit.chances)
        assert float(found @ hessian @ found) / 2 == pytest.approx(max_kl, rel=1e-6)


def test_small_steps_reach_the_edge_of_the_region(random):
    for _ in range(20):
        bandit = Bandit(random)
        full = bandit.step(1e-6)
        assert float(bandit.divergence(bandit.logits + full)) == pytest.approx(1e-6, rel=2e-2)


def test_a_step_never_exceeds_the_bound_and_never_loses_even_where_it_must_be_shortened(random):
    shortened = 0
    for trial in range(300):
        bandit = Bandit(random, sharpness=0.5 + trial % 5, spread=10.0 ** (trial % 3 - 1))
        max_kl = (0.001, 0.05, 0.5)[trial % 3]
        full = bandit.step(max_kl)
        share, gained, divergence = bandit.search(full, max_kl)
        there = bandit.logits + share * full
        assert float(bandit.divergence(there)) == pytest.approx(divergence, abs=1e-15)
        assert divergence <= max_kl
        assert share > 0
        assert gained > 0
        assert float(bandit.objective(there) - bandit.objective(bandit.logits)) == pytest.approx(gained, abs=1e-15)
        assert torch.softmax(there, -1) @ bandit.values > bandit.chances @ bandit.values
        shortened += share < 1
    assert 20 < shortened < 280


def test_the_longest_share_that_holds_is_taken(random):
    for _ in range(50):
        bandit = Bandit(random, sharpness=3.0)
        full = 4 * bandit.step(0.05)  # too long by construction
        share, _, _ = bandit.search(full, 0.05, factor=0.7)
        longer = bandit.logits + share / 0.7 * full
        worse = bandit.objective(longer) <= bandit.objective(bandit.logits)
        assert bool(bandit.divergence(longer) > 0.05) or bool(worse)


def test_a_step_that_cannot_be_made_good_is_given_up():
    tried = []

    def evaluate(share):
        tried.append(share)
        return -1.0, 0.0

    assert backtrack(evaluate, 0.01, 4, 0.5) == (0.0, 0.0, 0.0)
    assert tried == [1, 0.5, 0.25, 0.125]
    assert backtrack(lambda share: (1.0, 0.02), 0.01, 4, 0.5) == (0.0, 0.0, 0.0)
    assert backtrack(lambda share: (float("nan"), float("nan")), 0.01, 4, 0.5) == (0.0, 0.0, 0.0)


def test_without_a_gradient_there_is_no_step(random):
    bandit = Bandit(random)
    assert natural_step(0 * bandit.logits, bandit.fisher_product(), 0.01, 10, 0.1).tolist() == [0.0] * ARMS


def test_equal_advantages_give_no_step(random):
    bandit = Bandit(random, spread=0.0)
    share, _, _ = bandit.search(bandit.step(0.01), 0.01)
    assert share == 0


def test_damping_turns_the_step_towards_the_plain_gradient_and_keeps_it_inside(random):
    bandit = Bandit(random, sharpness=2.0)
    gradient, product = bandit.gradient(), bandit.fisher_product()
    steps = [natural_step(gradient, product, 0.01, 50, damping) for damping in (0.0, 0.1, 1e4)]
    likeness = [float(torch.cosine_similarity(step, gradient, dim=0)) for step in steps]
    assert likeness[0] < likeness[1] < likeness[2]
    assert likeness[2] == pytest.approx(1, abs=1e-6)
    quadratic = [float(step @ product(step)) / 2 for step in steps]
    assert quadratic[0] == pytest.approx(0.01)
    assert quadratic[0] > quadratic[1] > quadratic[2]


def test_the_step_does_not_depend_on_how_the_policy_is_written_down(random):
    """The natural gradient is covariant: logits = M θ leads to the same policy for every invertible M."""
    bandit = Bandit(random)
    matrix = torch.eye(ARMS, dtype=torch.float64) + 0.3 * draw(random, ARMS, ARMS)
    product = bandit.fisher_product()
    step = natural_step(matrix.T @ bandit.gradient(), lambda v: matrix.T @ product(matrix @ v), 0.01, 50, 0.0)
    there = torch.softmax(bandit.logits + matrix @ step, -1)
    torch.testing.assert_close(there, torch.softmax(bandit.logits + bandit.step(0.01), -1), atol=1e-6, rtol=1e-5)
