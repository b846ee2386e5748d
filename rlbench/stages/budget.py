"""The budget audit: did every run spend what it was given?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TOLERANCE = 0.01
CURRENCIES = (
    "prompts",
    "completions",
    "generated_tokens",
    "trained_tokens",
    "reward_calls",
    "optimizer_steps",
    "flops",
)


def audit(currency: str, planned: int, usages: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Compare what each run spent with the experiment's budget.

    Args:
        currency: the fixed currency.
        planned: how much of it every run may spend.
        usages: for every run that ended, ({arm, task, seed}, what its meter counted).

    Returns:
        The `budget` section of comparison.json. A run that is more than 1 % off fails.
    """
    runs, failures = [], []
    for run, usage in usages:
        spent = usage[currency]
        share = spent / planned - 1
        passed = abs(share) <= TOLERANCE
        if not passed:
            failures.append(
                f"{run['arm']} on {run['task']}, seed {run['seed']}: spent {spent} of {planned} {currency} "
                f"({100 * share:+.1f} %)"
            )
        runs.append({**run, "planned": planned, "passed": passed, **{name: usage[name] for name in CURRENCIES}})
    return {
        "currency": currency,
        "planned": planned,
        "tolerance": TOLERANCE,
        "passed": not failures,
        "failures": failures,
        "runs": runs,
    }
