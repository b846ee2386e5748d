"""TRPO's step: the natural gradient by conjugate gradient, and a line search under a KL constraint.

Schulman et al. 2015 (arXiv:1502.05477), appendix C. Directions are flat vectors [parameters].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], right: Tensor, iterations: int, tolerance: float = 1e-10
) -> Tensor:
    """Solve F x = `right` [n] for a positive semi-definite F, given as x ↦ F x, starting from 0.

    It stops after `iterations`, or once |F x − right| falls below `tolerance` · |right|.
    """
    found = torch.zeros_like(right)
    residual = right.clone()
    direction = right.clone()
    size = residual.dot(residual)
    enough = tolerance**2 * float(size)
    for _ in range(iterations):
        if float(size) <= enough:
            break
        turned = product(direction)
        curvature = direction.dot(turned)
        if float(curvature) <= 0:  # rounding: F has no more to say in this direction
            break
        length = size / curvature
        found += length * direction
        residual -= length * turned
        following = residual.dot(residual)
        direction = residual + following / size * direction
        size = following
    return found


def natural_step(
    gradient: Tensor, fisher_product: Callable[[Tensor], Tensor], max_kl: float, iterations: int, damping: float
) -> Tensor:
    """The step along (F + damping)⁻¹ g with ½ sᵀ (F + damping) s = `max_kl` nats, which bounds the quadratic KL.

    Args:
        gradient: [n] of the objective to be raised.
        fisher_product: v ↦ F v with F the Hessian of the mean KL(π_old ‖ π) at π_old.
        max_kl: δ.
        iterations: of conjugate gradient.
        damping: added to the diagonal of F.

    Returns:
        [n]; zeros for a gradient of zeros.
    """

    def damped(vector: Tensor) -> Tensor:
        return fisher_product(vector) + damping * vector

    direction = conjugate_gradient(damped, gradient, iterations)
    curvature = direction.dot(damped(direction))
    if float(curvature) <= 0:
        return torch.zeros_like(gradient)
    return direction * (2 * max_kl / curvature).sqrt()


def backtrack(
    evaluate: Callable[[float], tuple[float, float]], max_kl: float, steps: int, factor: float
) -> tuple[float, float, float]:
    """Shorten a step until it raises the objective and keeps to the KL bound.

    Args:
        evaluate: share of the full step ↦ (change of the objective, mean KL in nats) there.
        max_kl: δ.
        steps: shares to try: 1, factor, factor², …
        factor: below 1.

    Returns:
        The share, and change and KL there; zeros if no share will do.
    """
    for power in range(steps):
        share = factor**power
        gained, divergence = evaluate(share)
        if gained > 0 and divergence <= max_kl:
            return share, gained, divergence
    return 0.0, 0.0, 0.0
