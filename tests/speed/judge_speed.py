"""`make bench`: how fast our judge is beside two others, on HumanEval's references, side by side in one run.

    python judge_speed.py HumanEval.jsonl [--rounds N] [--workers N]

* ours: programs and tests in two confined processes each, in the strongest tier that this machine offers;
* human-eval style: as the judge of human-eval works, a `multiprocessing.Manager` and a forked process per program, in
  which dangerous functions are replaced by None; no isolation;
* evalplus 0.3.1: its own `untrusted_check`, from the package; no isolation. It compares values instead of running the
  tests, so calls and expected values are recorded from the references first.

All three use the same number of workers, by default as many as there are cores. Rounds are interleaved, and each gives
a ratio; the median is reported. The two others fork from this process, which has imported little:
a trainer would slow them down.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rlbench.sandbox import Program, open_judge

SECONDS = 3.0
DISABLED = (
    *("kill", "killpg", "system", "fork", "forkpty", "setuid", "putenv", "chroot", "chdir", "fchdir", "getcwd"),
    *("remove", "removedirs", "rename", "renames", "replace", "truncate", "unlink"),
    *("chmod", "chown", "fchmod", "fchown", "lchown"),
)


def read_tasks(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines() if line.strip()]


def checked(task: dict) -> str:
    return f"{task['test']}\ncheck({task['entry_point']})"


def ours(judge, tasks):
    programs = [
        Program(task["prompt"] + task["canonical_solution"], checked(task), (task["entry_point"],), task["prompt"])
        for task in tasks
    ]
    return [verdict.passed for verdict in judge.run_many(programs)]


def human_eval_style(tasks, workers):
    def judge(task):
        with multiprocessing.Manager() as manager:
            result = manager.list()
            source = task["prompt"] + task["canonical_solution"] + "\n" + checked(task)
            process = multiprocessing.Process(target=run_guarded, args=(source, result))
            process.start()
            process.join(SECONDS + 1)
            if process.is_alive():
                process.kill()
            return list(result) == ["passed"]

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(judge, tasks))


def run_guarded(source, result):
    def too_long(*_):
        raise TimeoutError

    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        kept = os.rmdir, os.unlink, os.chdir, os.open, os.close
        for name in DISABLED:
            setattr(os, name, None)
        signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                exec(source, {})
            result.append("passed")
        except BaseException as error:
            result.append(f"failed: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.rmdir, os.unlink, os.chdir, os.open, os.close = kept
            os.chdir(here)


def recorded(task):
    """The calls that the tests make of the reference, and what it answers."""
    namespace: dict = {}
    exec(task["prompt"] + task["canonical_solution"] + "\n" + task["test"], namespace)
    reference, calls, answers = namespace[task["entry_point"]], [], []

    def candidate(*arguments):
        calls.append(json.loads(json.dumps(arguments)) if is_json(arguments) else arguments)
        answers.append(reference(*arguments))
        return answers[-1]

    namespace["check"](candidate)
    return calls, answers


def is_json(value):
    try:
        return json.loads(json.dumps(value)) == list(value)
    except TypeError:
        return False


def evalplus_check(tasks, records, workers):
    from evalplus.eval import untrusted_check

    def judge(task, record):
        calls, answers = record
        status, _ = untrusted_check(
            "humaneval", task["prompt"] + task["canonical_solution"], calls, task["entry_point"], answers, 1e-6,
            [0.01] * len(calls), True,
        )  # fmt: skip
        return status == "pass"

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(judge, tasks, records))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    workers = chosen.workers
    tasks = read_tasks(chosen.file)
    records = [recorded(task) for task in tasks]
    speeds: dict[str, list[float]] = {}
    with open_judge(lanes=workers) as judge:
        contestants = {
            f"rlbench, tier {judge.tier}": lambda: ours(judge, tasks),
            "human-eval style": lambda: human_eval_style(tasks, workers),
            "evalplus 0.3.1": lambda: evalplus_check(tasks, records, workers),
        }
        for round_number in range(chosen.rounds + 1):
            for name, run in contestants.items():
                started = time.perf_counter()
                passed = sum(run())
                seconds = time.perf_counter() - started
                if round_number:  # the first is a warm-up
                    speeds.setdefault(name, []).append(len(tasks) / seconds)
                print(f"{name:18} {passed}/{len(tasks)} passed, {len(tasks) / seconds:6.1f} programs/s", flush=True)
    first, *others = speeds
    cores = len(os.sched_getaffinity(0))
    print(f"\n{workers} workers on {cores} cores, Python {sys.version.split()[0]}, median of {chosen.rounds} rounds:")
    for name, values in speeds.items():
        print(f"  {name:18} {statistics.median(values):6.1f} programs/s")
    for name in others:
        ratios = [mine / theirs for mine, theirs in zip(speeds[first], speeds[name], strict=True)]
        print(f"  {first} / {name}: {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
