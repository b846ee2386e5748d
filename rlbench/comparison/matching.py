"""Which arms are compared, on what, and where they do not match: nothing is left out without a word."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlbench.comparison.arms import Arm, TaskScores
from rlbench.errors import InputError
from rlbench.records import Metric
from rlbench.registry import load
from rlbench.stages.estimates import Pair

Mismatch = dict[str, Any]
_SHARED = {
    "base": "base policy",
    "sft": "SFT policy",
    "reward_model": "reward model",
    "prompt_order": "order of the training prompts",
    "evaluation": "evaluation settings",
}
_NAMED = 3


def pairs_of(
    sources: Sequence[Sequence[Arm]], names: Sequence[Sequence[str]]
) -> tuple[list[tuple[Arm, Arm]], list[Mismatch]]:
    """The pairs to compare, the earlier arm first, and the arms that are in none.

    Of one source, all pairs. Of two, like with like: arms that have the same name in both; if no name occurs in both,
    every arm with every other. Of more, each two of them like that. A policy that two experiments share is not compared
    with itself. `names` are what the sources call their arms.
    """
    if len(sources) == 1:
        return list(itertools.combinations(sources[0], 2)), []
    pairs, mismatches = list[tuple[Arm, Arm]](), list[Mismatch]()
    for (arms_a, names_a), (arms_b, names_b) in itertools.combinations(zip(sources, names, strict=True), 2):
        across = [
            (a, b, name_a == name_b)
            for a, name_a in zip(arms_a, names_a, strict=True)
            for b, name_b in zip(arms_b, names_b, strict=True)
        ]
        alike = [(a, b) for a, b, same in across if same]
        pairs += alike or [(a, b) for a, b, _ in across]
    different = [(a, b) for a, b in pairs if not _same_policy(a, b)]
    if different and len(different) < len(pairs):
        shared = list(dict.fromkeys(arm.name for a, b in pairs if _same_policy(a, b) for arm in (a, b)))
        mismatches.append(
            _mismatch(
                "arm", None, shared, f"{_listed(shared)} are the same policy and are not compared with each other"
            )
        )
        pairs = different
    used = {arm.name for pair in pairs for arm in pair} | {name for row in mismatches for name in row["arms"]}
    left = [arm.name for arms in sources for arm in arms if arm.name not in used]
    if left:
        text = f"{_listed(left)}: not compared, no other source has an arm of that name; choose arms as FOLDER:ARM"
        mismatches.append(_mismatch("arm", None, left, text))
    return pairs, mismatches


def _same_policy(a: Arm, b: Arm) -> bool:
    """Whether both are the one SFT policy that two experiments share."""
    policies = [{task: shared.get("sft") for task, shared in arm.shared.items()} for arm in (a, b)]
    return a.kind == b.kind == "shared" and bool(a.shared) and policies[0] == policies[1]


def declared(a: Arm, b: Arm, task: str) -> Pair:
    """How two arms are paired: by seed, if both were declared with the same seeds."""
    paired = set(a.seeds) == set(b.seeds)
    lost = any(len(arm.tasks[task].tables) < len(arm.seeds) for arm in (a, b))
    return Pair(a.name, b.name, paired, lost)


def common_prompts(arms: Sequence[Arm], task: str) -> tuple[list[str], list[Mismatch]]:
    """The prompts that every arm answered, in the first arm's order, and what the others lack.

    Raises:
        InputError: there are none, or the task's data differ.
    """
    first = arms[0].tasks[task]
    for arm in arms[1:]:
        scores = arm.tasks[task]
        if (scores.split, scores.data) != (first.split, first.data):
            what = "splits" if scores.split != first.split else "task data"
            raise InputError(
                f"{arms[0].name} and {arm.name} cannot be compared on {task}: they were scored on different {what}; "
                f"score both with the same --task, --split and data"
            )
    everybody = set[str]().union(*(arm.tasks[task].sample_ids for arm in arms))
    shared = set(everybody).intersection(*(arm.tasks[task].sample_ids for arm in arms))
    prompts = [name for name in first.sample_ids if name in shared]
    if not prompts:
        raise InputError(
            f"{task}: expected prompts that all arms answered, got none in common among "
            f"{', '.join(arm.name for arm in arms)}; compare arms that answered the same prompts"
        )
    if len(prompts) == len(everybody):
        return prompts, []
    lacking = [
        f"{arm.name} has no completions of {len(missing)} ({_listed(sorted(missing))})"
        for arm in arms
        if (missing := everybody - set(arm.tasks[task].sample_ids))
    ]
    text = f"compared on the {len(prompts)} of {len(everybody)} prompts that all arms answered: {'; '.join(lacking)}"
    return prompts, [_mismatch("prompts", task, [arm.name for arm in arms], text)]


def common_metrics(
    arms: Sequence[Arm], task: str, wanted: Sequence[str] | None, primary: str | None
) -> tuple[list[Metric], str, list[Mismatch]]:
    """The metrics that every arm was scored on in the same way, the primary one, and what is left out.

    Raises:
        InputError: a wanted or the primary metric is not among them, or the arms disagree on the primary one.
    """
    scores = {arm.name: arm.tasks[task] for arm in arms}
    known = list(dict.fromkeys(name for each in scores.values() for name in each.metrics))
    absent = [name for name in (*(wanted or ()), *([primary] if primary else [])) if name not in known]
    if absent:
        raise InputError(f"{task}: nothing was scored on {absent[0]!r}; expected one of {', '.join(known)}")
    primaries = dict.fromkeys(each.primary for each in scores.values())
    if primary is None and len(primaries) > 1:
        raise InputError(
            f"{task}: the arms have different primary metrics ({', '.join(primaries)}); choose one with --primary"
        )
    chosen = primary or next(iter(primaries))
    kept, mismatches = list[Metric](), list[Mismatch]()
    for name in dict.fromkeys(wanted or known):
        metric: Metric = load("metrics", name)
        reason = _unlike(metric, scores)
        if not reason:
            kept.append(metric)
        elif name == chosen or wanted:
            raise InputError(f"{task}: {name!r} cannot be compared: {reason}; score all with the same task and metrics")
        else:
            mismatches.append(_mismatch("metric", task, list(scores), f"{name} is left out: {reason}"))
    if chosen not in [metric.name for metric in kept]:
        kept.insert(0, load("metrics", chosen))
    return kept, chosen, mismatches


def circumstances(a: Arm, b: Arm, task: str, pair: Pair) -> list[Mismatch]:
    """In what two arms differ beside what they are compared for: seeds, runs that did not finish, shared policies."""
    found = []
    both = f"{a.name} and {b.name}"
    if not pair.paired_seeds:
        text = (
            f"{both}: seeds differ ({_listed(map(str, a.seeds))} against {_listed(map(str, b.seeds))}): they are not "
            f"paired"
        )
        found.append(_mismatch("seeds", task, [a.name, b.name], text))
    for arm in (a, b):
        lost = [seed for seed in arm.seeds if seed not in arm.tasks[task].tables]
        if lost:
            ends = {(row["task"], row["seed"]): row["status"] for row in arm.runs}
            said = _listed(f"{seed} ({ends.get((task, seed), 'not there')})" for seed in lost)
            text = f"{arm.name}: seed{'s' if len(lost) > 1 else ''} {said} left out: survivors only"
            found.append(_mismatch("missing seeds", task, [a.name, b.name], text))
    ours, theirs = a.shared.get(task, {}), b.shared.get(task, {})
    for key in dict.fromkeys([*ours, *theirs]):
        if ours and theirs and ours.get(key) != theirs.get(key):
            text = f"{both}: not the same {_SHARED.get(key, key)}: the difference is not that of the arms alone"
            found.append(_mismatch("shared", task, [a.name, b.name], text))
    versions = [
        f"{key} {a.environment[key]} against {b.environment[key]}"
        for key in a.environment
        if key in b.environment and a.environment[key] != b.environment[key]
    ]
    if versions:
        found.append(_mismatch("environment", task, [a.name, b.name], f"{both}: made with {', '.join(versions)}"))
    options = [
        f"{key} {a.options.get(key)} against {b.options.get(key)}"
        for key in dict.fromkeys([*a.options, *b.options])
        if a.options.get(key) != b.options.get(key)
    ]
    if a.options and a.options.get("algorithm") == b.options.get("algorithm") and options:
        found.append(_mismatch("options", task, [a.name, b.name], f"{both}: options differ: {', '.join(options)}"))
    return found


def only_some(arms: Sequence[Arm]) -> list[Mismatch]:
    """The tasks that not all arms have."""
    tasks = dict.fromkeys(task for arm in arms for task in arm.tasks)
    found = []
    for task in tasks:
        lacking = [arm.name for arm in arms if task not in arm.tasks]
        if lacking:
            found.append(_mismatch("task", task, lacking, f"not answered by {_listed(lacking)}"))
    return found


def on_prompts(scores: TaskScores, prompts: Sequence[str]) -> TaskScores:
    """The scores on some prompts only."""
    if len(prompts) == len(scores.sample_ids):
        return scores
    kept = set(prompts)
    tables = {
        seed: {name: table[table["sample_id"].isin(kept)] for name, table in by_grader.items()}
        for seed, by_grader in scores.tables.items()
    }
    return replace(scores, sample_ids=tuple(prompts), tables=tables)


def _unlike(metric: Metric, scores: Mapping[str, TaskScores]) -> str:
    """Why arms cannot be compared on a metric, or ""."""
    without = [arm for arm, each in scores.items() if metric.name not in each.metrics]
    if without:
        return f"{_listed(without)} {'was' if len(without) == 1 else 'were'} not scored on it"
    (first, ours), *others = scores.items()
    for arm, each in others:
        if each.graders.get(metric.grader) != ours.graders.get(metric.grader):
            return (
                f"{first} and {arm} were judged by different versions or options of {metric.grader} "
                f"({ours.graders.get(metric.grader)} against {each.graders.get(metric.grader)})"
            )
    return ""


def _mismatch(kind: str, task: str | None, arms: Sequence[str], text: str) -> Mismatch:
    return {"kind": kind, "task": task, "arms": list(arms), "text": text}


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED + 1 else ""
    return ", ".join(listed if not more else listed[:_NAMED]) + more
