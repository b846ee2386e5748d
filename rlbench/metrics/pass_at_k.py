"""pass@k: the chance that at least one of k completions of a prompt passes its unit tests, unbiased.

Of n scored completions of a prompt, c passed. Drawn without replacement, k of them all fail with the probability
C(n − c, k) / C(n, k); one minus this is the unbiased estimate from all n, and the metric is its mean over prompts (Chen
et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1). Estimating 1 − (1 − c/n)^k instead is
biased. Infrastructure errors are no samples: they are unscored, and n counts only what could be judged.

Deviation from the paper: the product runs over the k draws and not over the c passes; the value is the same.
"""

from __future__ import annotations

import numpy as np

from rlbench.metrics.ratio import counted, quotient
from rlbench.records import FloatArray, Metric


def pass_at_k(k: int) -> Metric:
    """Return the metric pass@k for k ≥ 1. Every prompt with a scored completion needs at least k of them."""
    who = "a completion passes" if k == 1 else f"at least one of {k} completions passes"
    return Metric(
        name=f"pass@{k}",
        grader="unit_tests",
        columns=("passed",),
        components=counted,
        per_prompt=lambda sums: _estimates(sums, k),
        aggregate=quotient,
        higher_is_better=True,
        unit="fraction",
        description=f"chance that {who} its unit tests: the unbiased estimate of every prompt, mean over prompts",
        signature=f"pass@{k}|grader:unit_tests.passed|estimator:1-C(n-c,k)/C(n,k)|agg:mean-over-prompts",
        component_names=("passed", "scored"),
        completions_needed=k,
    )


def unbiased_pass_at_k(scored: FloatArray, passed: FloatArray, k: int) -> FloatArray:
    """Return 1 − C(n − c, k) / C(n, k) from n = `scored` and c = `passed` [...]; NaN where n < k."""
    scored, passed = np.broadcast_arrays(np.asarray(scored, dtype=np.float64), np.asarray(passed, dtype=np.float64))
    all_fail = np.ones(scored.shape)
    for drawn in range(k):
        # The chance that the next draw fails too; zero once no failure is left.
        left = scored - drawn
        failures = np.maximum(left - passed, 0.0)
        all_fail *= np.divide(failures, left, out=np.full(scored.shape, np.nan), where=left > 0)
    return np.asarray(1.0 - all_fail, dtype=np.float64)


def _estimates(sums: FloatArray, k: int) -> FloatArray:
    """Map (passed, scored) [..., 2] to (estimate, 1), or to (0, 0) for a prompt without a scored completion."""
    sums = np.asarray(sums, dtype=np.float64)
    measured = sums[..., 1] > 0
    value = np.zeros(measured.shape)
    value[measured] = unbiased_pass_at_k(sums[measured][:, 1], sums[measured][:, 0], k)
    return np.stack([value, measured.astype(np.float64)], axis=-1)
