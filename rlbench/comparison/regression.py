"""Judges a candidate against a baseline by a gate: one verdict a quantity, task and arm, and one over all.

The lattice of `statistics.verdict` judges each 90 % interval of candidate − baseline. Two rules hold over all of them:

* "regressed" is claimed only where the one-sided p of "worse by no more than the margin", Holm-adjusted over everything
  the gate names, is at most .05: the chance of any false alarm is at most .05.
* The gate passes only where everything passes, each at .05: an intersection-union test (Berger 1982), which needs no
  adjustment, because the whole passes wrongly no more often than one of its parts does.

What cannot be decided or computed is inconclusive; no p above .05 passes anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rlbench.artifacts.sealing import SCHEMA_VERSION
from rlbench.comparison.arms import Arm
from rlbench.comparison.deciding import ALPHA, PASSING, lattice, needed, p_beyond
from rlbench.comparison.doubts import Coverage, unscored
from rlbench.comparison.gate import Gate
from rlbench.comparison.measuring import Measured, measure
from rlbench.comparison.noise import ProcessMetric, half_width, split_verdicts
from rlbench.comparison.pairing import match_arms
from rlbench.errors import InputError
from rlbench.statistics import Estimate, at_confidence, holm
from rlbench.statistics.verdict import VERDICT_CONFIDENCE

EXIT_CODES = {"pass": 0, "regressed": 1, "inconclusive": 3}
Overall = Literal["pass", "regressed", "inconclusive"]


@dataclass(frozen=True)
class _Limit:
    """The margin that is used, on the scale of the estimate, and the declared one where that is smaller."""

    value: float
    reason: str = ""
    declared: float | None = None


def judge(baseline: Sequence[Arm], candidate: Sequence[Arm], gate: Gate) -> dict[str, Any]:
    """Judge the candidate's arms against the baseline's; return what regression.json holds (docs/regress.md).

    Arms of the same name belong together; one algorithm on each side belong together whatever they are called.

    Raises:
        InputError: no arms belong together, a task or metric of the gate was never measured on the baseline, or both
            sides were scored on different data or by different graders.
    """
    pairs, mismatches = match_arms(baseline, candidate)
    tasks = _tasks(baseline, gate)
    found: list[Measured] = []
    for old, new in pairs:
        for task in tasks:
            if task in old.tasks:
                parts, seen = measure(old, new, task, gate)
                found += parts
                mismatches += seen
    _refuse_unmeasured(found, gate)
    rows = judge_all(found)
    overall = _overall(rows)
    estimands = dict.fromkeys(each.estimate.estimand for each in found if each.estimate and not each.is_process)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "regression",
        "verdict": overall,
        "exit_code": EXIT_CODES[overall],
        "estimand": next(iter(estimands), None),
        "confidence": VERDICT_CONFIDENCE,
        "alpha": ALPHA,
        "tests": len(rows),
        "gate": {
            "estimand": gate.estimand,
            "tasks": list(gate.tasks) if gate.tasks else None,
            "metrics": {
                check.metric.name: {
                    "margin": str(check.margin),
                    "direction": check.direction,
                    "interleaved": check.interleaved,
                }
                for check in gate.checks
            },
        },
        "baseline": [_side(arm) for arm in baseline],
        "candidate": [_side(arm) for arm in candidate],
        "metrics": rows,
        "mismatches": mismatches,
    }


def judge_all(found: Sequence[Measured]) -> list[dict[str, Any]]:
    """Judge everything that a gate measured as one family; return the rows `metrics` of regression.json."""
    limits = [_limit(each) for each in found]
    p_values = [
        # what cannot be judged stays in the family as an undecided test: failures do not make others significant
        1.0
        if each.estimate is None or limit.reason or each.barred
        else p_beyond(each.estimate, limit.value, each.check.direction)
        for each, limit in zip(found, limits, strict=True)
    ]
    adjusted = holm(p_values)
    return [
        _row(each, limit, p, float(p_adjusted), len(found))
        for each, limit, p, p_adjusted in zip(found, limits, p_values, adjusted, strict=True)
    ]


def _tasks(baseline: Sequence[Arm], gate: Gate) -> list[str]:
    known = list(dict.fromkeys(task for arm in baseline for task in arm.tasks))
    for place, task in enumerate(gate.tasks or ()):
        if task not in known:
            with gate.blaming("tasks", place):
                raise InputError(
                    f"task {task!r}: expected a task of the baseline, {', '.join(known)}; correct the gate"
                )
    return list(gate.tasks or known)


def _refuse_unmeasured(found: Sequence[Measured], gate: Gate) -> None:
    for check in gate.checks:
        name = check.metric.name
        if name not in {each.check.metric.name for each in found}:
            with gate.blaming("metrics", name):
                raise InputError(
                    f"{name}: was not measured on the baseline; leave it out, or score the baseline with it"
                )


def _limit(found: Measured) -> _Limit:
    """The margin on the estimate's scale: the metric's unit, or the logarithm of a ratio."""
    margin, old = found.check.margin, found.old_value
    if isinstance(found.check.metric, ProcessMetric):
        loss = -math.log1p(-margin.value) if found.check.direction == "higher" else math.log1p(margin.value)
        noise = half_width({seed: math.log(value) for seed, value in found.old.items()}, found.seeds or 0)
        # An A/A comparison of so few processes is itself no better than this (docs/regress.md).
        return _Limit(loss) if noise is None or 2 * noise <= loss else _Limit(2 * noise, declared=loss)
    if not margin.relative:
        return _Limit(margin.value)
    if old is None:
        return _Limit(0.0, "the baseline has no value that a margin in percent could refer to")
    if old == 0:
        return _Limit(0.0, "the baseline's value is 0, of which there is no percentage; declare the margin in the unit")
    return _Limit(margin.value * abs(old))


def _row(found: Measured, limit: _Limit, p_value: float, p_adjusted: float, tests: int) -> dict[str, Any]:
    said, reasons = _judged(found, limit, p_value, p_adjusted, tests)
    notes = [found.unconfirmed] if found.unconfirmed and said in PASSING else []
    if limit.declared is not None:
        notes.insert(0, "the margin used is twice the baseline's own A/A half-width, which is wider than declared")
    if said == "worse within margin":
        notes.insert(0, "it is worse, but by less than the margin")
    estimate, noise = found.estimate, _noise(found, limit)
    if estimate and noise:
        notes += _noise_notes(noise, limit)
    notes += _known_beside(found, limit)
    shown = math.expm1 if found.is_process else float
    low, high = at_confidence(estimate, VERDICT_CONFIDENCE) if estimate else (None, None)
    allowed = (
        -math.expm1(-limit.value) if found.is_process and found.check.direction == "higher" else shown(limit.value)
    )
    return {
        "task": found.task,
        "arm": found.arm,
        "baseline_arm": found.baseline_arm,
        "metric": found.check.metric.name,
        "kind": "process" if found.is_process else "score",
        "unit": found.check.metric.unit,
        "direction": found.check.direction,
        "margin_declared": str(found.check.margin),
        "margin": None if limit.reason else allowed,
        "value": shown(estimate.value) if estimate else None,
        "low": shown(low) if low is not None else None,
        "high": shown(high) if high is not None else None,
        "standard_error": estimate.standard_error if estimate else None,
        "df": estimate.df if estimate and math.isfinite(estimate.df) else None,
        "method": estimate.method if estimate else None,
        "estimand": estimate.estimand if estimate else None,
        "p_value": p_value if estimate else None,
        "p_adjusted": p_adjusted if estimate else None,
        "verdict": said,
        "passed": said in PASSING,
        "reasons": reasons,
        "notes": notes,
        "identical": found.identical,
        "paired_seeds": found.paired_seeds,
        "seeds": found.seeds,
        "prompts": found.prompts,
        "seed_sd": estimate.seed_sd if estimate else None,
        "baseline": _level(found.old_value, found.old, found.old_coverage),
        "candidate": _level(found.new_value, found.new, found.new_coverage),
        "noise": noise,
        **_advice(found, limit, said, tests),
    }


def _level(value: float | None, by_seed: Mapping[int, float], counted: Coverage | None) -> dict[str, Any]:
    return {
        "value": value,
        "by_seed": {str(seed): each for seed, each in by_seed.items()},
        "completions": counted.completions if counted else None,
        "unscored": counted.unscored if counted else None,
    }


def _known_beside(found: Measured, limit: _Limit) -> list[str]:
    """What to know beside any verdict."""
    notes = []
    old, new = found.old_coverage, found.new_coverage
    if old and new and (old.unscored or new.unscored) and not unscored(old, new):
        notes.append(f"not scored: {old} completions of the baseline, {new} of the candidate")
    if found.check.margin.relative and found.estimate and not found.is_process and not limit.reason:
        notes.append("the margin is a share of the baseline's measured value, which is taken as exact")
    return notes


def _judged(found: Measured, limit: _Limit, p_value: float, p_adjusted: float, tests: int) -> tuple[str, list[str]]:
    """The verdict, and why it is not what the interval alone would say."""
    estimate = found.estimate
    if estimate is None or limit.reason:
        return "not computable", [found.reason or limit.reason]
    if found.barred:
        return "inconclusive", [*found.barred, *found.doubts]
    said = "equivalent" if found.identical else lattice(estimate, limit.value, found.check.direction)
    if said == "regressed":
        if p_adjusted <= ALPHA and found.unconfirmed:
            reason = f"it is beyond the margin, but {found.unconfirmed}: claim it from runs in turns"
            return "inconclusive", [reason, *found.doubts]
        if p_adjusted <= ALPHA:
            return said, list(found.doubts)
        return "inconclusive", [_not_shown(estimate, p_value, p_adjusted, tests), *found.doubts]
    if said not in PASSING:
        reason = "the 90 % interval reaches beyond the margin"
        if estimate.estimand == "population":
            reason += "; both seeds and prompts count: `rlbench plan` says how many of each would do"
        return said, [reason, *found.doubts]
    reasons = list(found.doubts)
    if limit.declared is not None and lattice(estimate, limit.declared, found.check.direction) not in PASSING:
        reasons.append("it passes the margin that the baseline's noise asks for, but not the declared one")
    if estimate.standard_error == 0 and not found.identical and not found.is_process:
        reasons.append("nothing varied although the outputs differ: an interval of no width may be a coincidence")
    return ("inconclusive" if reasons else said), reasons


def _not_shown(estimate: Estimate, p_value: float, p_adjusted: float, tests: int) -> str:
    if p_value > ALPHA:
        return (
            f"it is beyond the margin and nothing varied, but so few {_units(estimate)} show no more than "
            f"p = {p_value:.2g}"
        )
    return (
        f"it is beyond the margin alone (p = {p_value:.2g}), but not after Holm's adjustment for {tests} tests "
        f"(p = {p_adjusted:.2g})"
    )


def _units(estimate: Estimate) -> str:
    return "prompts" if estimate.estimand == "checkpoints" else "seeds"


def _advice(found: Measured, limit: _Limit, said: str, tests: int) -> dict[str, Any]:
    """What would decide; only where too few seeds or prompts are the reason that nothing is decided."""
    estimate, lattice_said = found.estimate, ""
    declared = limit.value if limit.declared is None else limit.declared
    if estimate is not None and not limit.reason and estimate.estimand != "population" and estimate.standard_error > 0:
        lattice_said = lattice(estimate, declared, found.check.direction)
    # A pass that was only withheld (survivors, a coincidence) is not for more seeds to mend.
    if (
        said != "inconclusive"
        or lattice_said not in ("inconclusive", "regressed")
        or estimate is None
        or found.barred
        or found.unconfirmed
    ):
        return dict.fromkeys(("needed_unit", "needed_if_unchanged", "needed_as_observed", "observed_would"))
    unchanged, observed, would = needed(estimate, declared, found.check.direction, tests)
    return {
        "needed_unit": _units(estimate),
        "needed_if_unchanged": unchanged,
        "needed_as_observed": observed,
        "observed_would": would,
    }


def _noise(found: Measured, limit: _Limit) -> dict[str, Any] | None:
    """The baseline's own noise beside the margin, on the estimate's scale; for claims about recipes."""
    if limit.reason or (found.estimate and found.estimate.estimand == "checkpoints"):
        return None
    values = {seed: math.log(value) for seed, value in found.old.items()} if found.is_process else found.old
    seeds = max(found.seeds, 2)
    width = half_width(values, seeds)
    if width is None:
        return None
    return {"half_width": width, "seeds": seeds, "aa": split_verdicts(values, limit.value)}


def _noise_notes(noise: dict[str, Any], limit: _Limit) -> list[str]:
    found = []
    if limit.value < noise["half_width"]:
        found.append(
            f"the margin is below the baseline's noise floor ({noise['half_width']:.3g} with {noise['seeds']} seeds): "
            f"an identical recipe would usually not pass"
        )
    if noise["aa"] and noise["aa"]["regressed"] > ALPHA:
        found.append(
            f"with this margin {100 * noise['aa']['regressed']:.0f} % of the A/A splits of the baseline's own seeds "
            f"would count as regressed"
        )
    return found


def _overall(rows: Sequence[dict[str, Any]]) -> Overall:
    if any(row["verdict"] == "regressed" for row in rows):
        return "regressed"
    return "pass" if all(row["passed"] for row in rows) else "inconclusive"


def _side(arm: Arm) -> dict[str, Any]:
    return {
        "arm": arm.name,
        "kind": arm.kind,
        "seeds": list(arm.seeds),
        "tasks": list(arm.tasks),
        "fingerprint": arm.fingerprint,
        "environment": dict(arm.environment),
        "runs": [dict(row) for row in arm.runs],
    }
