"""Which arm of the candidate is judged against which of the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rlbench.comparison.arms import Arm
from rlbench.comparison.matching import Mismatch
from rlbench.errors import InputError


def match_arms(
    baseline: Sequence[Arm], candidate: Sequence[Arm]
) -> tuple[list[tuple[Arm, Arm | None]], list[Mismatch]]:
    """The baseline's arms, each with the candidate's that belongs to it: the one with its name, or the only one.

    What all arms share (the SFT policy) is left out, unless there is nothing else. The returned arms are called
    `baseline/NAME` and `candidate/NAME`. None stands for an arm that the candidate lacks.

    Raises:
        InputError: no two arms belong together.
    """
    olds, news = _judged(baseline), _judged(candidate)
    by_name = {arm.name: arm for arm in news}
    if len(olds) == len(news) == 1:
        pairs: list[tuple[Arm, Arm | None]] = [(olds[0], news[0])]
    else:
        pairs = [(old, by_name.get(old.name)) for old in olds]
    matched = {new.name for _, new in pairs if new}
    if not matched:
        raise InputError(
            f"regress: no arm of the candidate ({', '.join(by_name)}) is called like one of the baseline "
            f"({', '.join(arm.name for arm in olds)}); name one of each with FOLDER:ARM"
        )
    mismatches = []
    for old, new in pairs:
        if new is None:
            text = f"the candidate has no arm {old.name!r}, so nothing of it can pass"
            mismatches.append(_mismatch("arm", "", [old.name], text))
        elif (
            new.name != old.name and not old.kind == new.kind == "completions"
        ):  # score folders have names of their own
            text = f"{new.name!r} is judged against {old.name!r}, the only arm on the other side"
            mismatches.append(_mismatch("arm", "", [old.name, new.name], text))
    for name in by_name:
        if name not in matched:
            mismatches.append(_mismatch("arm", "", [name], f"the baseline has no arm {name!r}: it is not judged"))
    named = [
        (replace(old, name=f"baseline/{old.name}"), replace(new, name=f"candidate/{new.name}") if new else None)
        for old, new in pairs
    ]
    return named, mismatches


def _judged(arms: Sequence[Arm]) -> list[Arm]:
    return [arm for arm in arms if arm.kind != "shared"] or list(arms)


def _mismatch(kind: str, task: str, arms: Sequence[str], text: str) -> Mismatch:
    return {"kind": kind, "task": task, "arms": list(arms), "text": text}
