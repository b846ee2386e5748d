"""Checks of how a task's reward and gold judge: right completions as right, wrong ones as wrong, all of them at all."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean

from rlbench.task_checks.check import Check, short, verdict
from rlbench.task_checks.completions import Kind
from rlbench.task_checks.judged import Judged, chosen_samples, known_unscored
from rlbench.task_checks.role import Role
from rlbench.tasks.task import Task

MOST_WITH_ONE_ANSWER = 0.9
"""If more samples than this take each other's references, the grader takes anything."""


def check_references(task: Task, judged: Judged) -> Check:
    """Check that every right completion gets 1 from a verifier, and otherwise more than wrong ones of its sample."""
    name = f"references, {judged.role.title}"
    known = known_unscored(task)
    right = [each for each in judged.right if each.sample.sample_id not in known]
    if not right:
        return Check(name, "not checked", "there are no references and no answers")
    if not right[0].sample.references and not any(each.judged.value for each in right):
        return Check(name, "not checked", "there are no references, and the answers by themselves are no completions")
    highest = {} if judged.is_verifier else judged.highest_wrong
    problems = []
    for each in right:
        value, bound = each.judged.value, highest.get(each.sample.sample_id, -math.inf)
        if value is None:
            problem = f"is not judged ({each.judged.reason})"
        elif judged.is_verifier and value != 1:
            problem = f"is judged wrong ({each.judged.reason})"
        elif value <= bound:
            problem = f"gets {value:.3g}, nonsense or a hedged answer {bound:.3g}"
        else:
            continue
        problems.append(f"{task.where(each.sample.sample_id)}: {short(each.completion)} {problem}")
    values = [each.judged.value for each in right if each.judged.value is not None]
    detail = f"all {len(right)} are right"
    if not judged.is_verifier and values:
        detail = f"all {len(right)} score more than nonsense: {min(values):.3g} to {max(values):.3g}"
    left_out = f"; the task lists {len(known)} samples that cannot be judged" if known else ""
    return verdict(name, problems, len(right), detail + left_out)


def check_wrong(task: Task, judged: Judged, kind: Kind) -> Check:
    """Check that wrong completions of a kind get 0 from a verifier, and otherwise less than right ones.

    Less is: none more than a right completion of its sample, and strictly less on average.
    """
    name = f"{kind}, {judged.role.title}"
    lowest = judged.lowest
    found = [(wrong, value.value) for wrong, value in judged.wrong if wrong.kind == kind and value.value is not None]
    if not judged.is_verifier:
        found = [(wrong, value) for wrong, value in found if wrong.sample.sample_id in lowest]
    if not found:
        return Check(name, "not checked", "there are no such completions here")
    same = [
        wrong for wrong, value in found if kind == "another's" and value == judged.swapped[wrong.sample.sample_id] == 1
    ]
    if judged.is_verifier and len(same) > MOST_WITH_ONE_ANSWER * len(found) and len(found) > 1:
        return Check(name, "failed", f"{len(same)} of {len(found)} samples take each other's references")
    problems = []
    for wrong, value in found:
        bound = 0.0 if judged.is_verifier else lowest[wrong.sample.sample_id]
        if value > bound and wrong not in same:
            expected = "0" if judged.is_verifier else f"at most {bound:.3g}, which a right one gets"
            place = task.where(wrong.sample.sample_id)
            problems.append(f"{place}: {short(wrong.completion)} gets {value:.3g}; expected {expected}")
    mean = fmean(value for _, value in found)
    if judged.is_verifier:
        equal = f"; {len(same)} have the same answer as the sample they are tried on" if same else ""
        return verdict(name, problems, len(found), f"all {len(found) - len(same)} score 0{equal}")
    right = fmean(lowest[wrong.sample.sample_id] for wrong, _ in found)
    if mean >= right:
        problems.append(f"the mean is {mean:.3g}, that of right completions {right:.3g}")
    return verdict(name, problems, len(found), f"mean {mean:.3g} of {len(found)}, right completions {right:.3g}")


def check_finite(task: Task, judged: Judged) -> Check:
    """Check that values are finite, and that the reward leaves nothing unscored: training needs a value."""
    known = known_unscored(task)
    values = [(each.sample, each.judged) for each in judged.right]
    values += [(wrong.sample, value) for wrong, value in judged.wrong]
    unscored = Counter(value.reason for _, value in values if value.value is None)
    problems = []
    for sample, value in values:
        if value.value is not None and not math.isfinite(value.value):
            problems.append(f"{task.where(sample.sample_id)}: the value is {value.value}")
        elif value.value is None and "reward" in judged.role.name and sample.sample_id not in known:
            problems.append(f"{task.where(sample.sample_id)}: unscored ({value.reason})")
    share = 100 * unscored.total() / len(values)
    why = f" ({unscored.most_common(1)[0][0]})" if unscored else ""
    detail = f"{len(values) - unscored.total()} finite values, {share:.3g} % unscored{why}"
    return verdict(f"values, {judged.role.title}", problems, len(values), detail)


def check_answers(task: Task, role: Role, full: bool) -> Iterator[Check]:
    """Check that `answer` by itself says of every reference that it is right, if the role reads the answer.

    This finds a wrong reference where the verifier also takes references at their word. It tells nothing, and says so,
    where nothing but the references says what is right, or where they and the answer come from the same fields. Tests
    of code judge references by themselves.
    """
    name = f"answers, {role.title}"
    samples = [sample for sample in chosen_samples(task, full) if sample.references and sample.tests is None]
    pairs = [(replace(sample, references=()), text) for sample in samples for text in sample.references]
    values = role.values([sample for sample, _ in pairs], [text for _, text in pairs])
    scored = [(*pair, value) for pair, value in zip(pairs, values, strict=True) if value.value is not None]
    if pairs and not scored:
        yield Check(name, "not checked", "nothing but the references says what is right: a wrong one is not found here")
    scored = [(sample, text, value) for sample, text, value in scored if sample.answer is not None]
    if not scored or not {value.value for *_, value in scored} <= {0.0, 1.0}:
        return
    if common := task.data_fields(str(task.answer)) & task.data_fields(*task.references):
        yield Check(name, "not checked", f"references and answer both come from {', '.join(sorted(common))}")
        return
    problems = [
        f"{task.where(sample.sample_id)}: reference {short(text)} is wrong by answer {short(str(sample.answer))}"
        for sample, text, value in scored
        if value.value != 1
    ]
    detail = f"all {len(scored)} references are right by the answer alone"
    yield verdict(name, problems, len(scored), detail)
