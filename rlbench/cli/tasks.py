"""`rlbench tasks show` and `rlbench tasks check`: look at a task's prompts, and validate it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rlbench.errors import InputError
from rlbench.task_checks.check import Check
from rlbench.task_checks.examples import show
from rlbench.task_checks.run import run_checks
from rlbench.task_checks.tokens import Tokens, token_counter
from rlbench.tasks.task import load_task, task_names


def show_task(name: str, split: str | None, tokenizer: Path | None, data_dir: Path | None) -> None:
    """Print what a task is and three rendered examples.

    Raises:
        InputError: the task, the split or the tokenizer does not exist, or data is missing or malformed.
    """
    for line in show(load_task(name, data_dir), split, _tokens(tokenizer)):
        print(line)


def check_tasks(
    names: Sequence[str], everything: bool, full: bool, tokenizer: Path | None, data_dir: Path | None
) -> int:
    """Check tasks and print a line per check; return 0 if no check failed, and 1 otherwise.

    Raises:
        InputError: no task is named, a task or the tokenizer does not exist, or data is missing or malformed (after the
            other tasks were checked).
    """
    if bool(names) == everything:
        raise InputError("name the tasks to check, or give --all for every built-in one (and not both)")
    tokens = _tokens(tokenizer)
    counts: Counter[str] = Counter()
    errors = []
    tasks = [load_task(name, data_dir) for name in (task_names() if everything else names)]
    for task in tasks:
        if everything and (missing := task.missing_data()):
            print(f"{task.name}: skipped: {missing}")
            counts["skipped"] += 1
            continue
        print(f"{task.name}: reward {'.'.join(task.reward)}, gold {'.'.join(task.gold)}")
        try:
            for check in run_checks(task, tokens, full):
                counts[check.status] += 1
                print(_line(check), flush=True)
        except InputError as error:
            errors.append(str(error))
            print("  stopped: its files are wrong, see below")
    shown = [f"{counts[status]} {status}" for status in ("ok", "failed", "not checked") if counts[status]]
    skipped = f"; {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{len(tasks)} task{'s' * (len(tasks) > 1)}: {', '.join(shown) or 'nothing checked'}{skipped}")
    if errors:
        raise InputError("\n".join(errors))
    return int(counts["failed"] > 0)


def _line(check: Check) -> str:
    text = f"  {check.status:11}  {check.name}: {check.detail}"
    return "".join(each if each.isprintable() else " " for each in text)


def _tokens(folder: Path | None) -> Tokens | None:
    return None if folder is None else token_counter(folder)
