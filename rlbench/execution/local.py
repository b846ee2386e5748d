"""Runs stage calls in local processes, as many at a time as there are workers, each as soon as its inputs exist.

Every call has its own process, forked from a server that has imported the heavy libraries once: a call that crashes
or is killed takes nothing with it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from rlbench.artifacts.call import Call
from rlbench.execution.worker import Report, serve

_PRELOADED = [
    *(f"rlbench.stages.{stage}" for stage in ("train", "sample", "score", "compare", "report")),
    # Imported on first use, which would otherwise cost every single call a second or two.
    "transformers.models.llama.modeling_llama",
    "rouge_score.rouge_scorer",
    "sacrebleu.metrics.bleu",
]


@dataclass
class _Running:
    call: Call
    slot: int
    process: ForkServerProcess
    answer: Connection


def default_workers(device: str) -> int:
    """As many workers as cores on a CPU; one per GPU where CUDA is used."""
    if device != "cpu":
        import torch

        if torch.cuda.is_available():
            return max(1, torch.cuda.device_count())
    return len(os.sched_getaffinity(0))


def execute(calls: Sequence[Call], workers: int, on_end: Callable[[Call, Report], None]) -> None:
    """Run calls whose inputs are sealed until none is left that can run.

    Args:
        calls: in the order of preference. A call whose inputs never appear is left out.
        workers: processes at a time.
        on_end: told of every call that ended. After a full disk no further call is started.
    """
    context = _context()
    waiting, running = list(calls), list[_Running]()
    stopped = False
    try:
        while True:
            ready = [call for call in waiting if _ready(call)] if not stopped else []
            free = [slot for slot in range(workers) if slot not in {each.slot for each in running}]
            for call, slot in zip(ready, free, strict=False):
                waiting.remove(call)
                running.append(_start(context, call, slot))
            if not running:
                return
            for ended in _wait(running):
                running.remove(ended)
                report = _report(ended)
                stopped = stopped or report.kind == "disk"
                on_end(ended.call, report)
    finally:
        for each in running:
            each.process.kill()
            each.process.join()


def warm_up() -> None:
    """Start the server that workers are forked from, so that it imports libraries while this process does."""
    _context()
    forkserver.ensure_running()


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _ready(call: Call) -> bool:
    return all(call.folder.is_sealed(made) for made in call.identity.inputs.values())


def _start(context: multiprocessing.context.ForkServerContext, call: Call, slot: int) -> _Running:
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(call, send, slot), daemon=True)
    process.start()
    send.close()
    return _Running(call, slot, process, receive)


def _wait(running: Sequence[_Running]) -> list[_Running]:
    """The calls that have answered or died, at least one."""
    done = wait([each.answer for each in running])
    return [each for each in running if each.answer in done]


def _report(ended: _Running) -> Report:
    try:
        report: Report = ended.answer.recv()
    except EOFError:
        ended.process.join()
        code = ended.process.exitcode or 0
        cause = f"killed by signal {-code} (out of memory?)" if code < 0 else f"exit code {code}"
        return Report("crash", f"the process ended without an answer: {cause}")
    ended.process.join()
    return report
