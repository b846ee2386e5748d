"""Runs one stage call in its own process: lock, verified inputs, stage function, seal."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Literal

from rlbench.artifacts.call import Call
from rlbench.artifacts.files import explain_disk_errors
from rlbench.artifacts.locking import lock
from rlbench.artifacts.run_folder import ERROR, LOCK
from rlbench.artifacts.sealing import remove
from rlbench.errors import DiskFull, RlbenchError

ORPHAN_SECONDS = 20.0


@dataclass(frozen=True)
class Report:
    """How a call ended: `done`, `input` (the user's mistake), `disk` (no space) or `crash`."""

    kind: Literal["done", "input", "disk", "crash"]
    message: str = ""


def make(call: Call) -> None:
    """Make the call's result and seal it.

    Raises:
        RlbenchError: an input is damaged or wrong, another process makes the same result, or the disk is full.
    """
    identity, folder = call.identity, call.folder
    with explain_disk_errors(folder.root), lock(call.work / LOCK, wait_seconds=ORPHAN_SECONDS):
        if folder.is_sealed(identity):  # the orphan that was waited for has finished it
            return
        for made in identity.inputs.values():
            folder.check(made.place)
        remove(call.out)
        (call.work / ERROR).unlink(missing_ok=True)
        call.out.mkdir()
        started = time.perf_counter()
        stage = importlib.import_module(f"rlbench.stages.{identity.stage}")
        extra = stage.run(call)
        folder.finish(identity, {**extra, "seconds": time.perf_counter() - started})


def serve(call: Call, answer: Connection, slot: int) -> None:
    """Body of a worker process: make the call and send a `Report`. The process ends with its parent.

    `slot` numbers the workers that run at the same time from 0; it chooses the GPU.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _settle(None if call.circumstances.device == "cpu" else slot)
    try:
        make(call)
        report = Report("done")
    except DiskFull as error:
        report = Report("disk", str(error))
    except RlbenchError as error:
        report = Report("input", str(error))
    except Exception as error:
        call.note_failure(traceback.format_exc())
        report = Report("crash", f"{type(error).__name__}: {error}")
    answer.send(report)
    answer.close()


def _end_with_parent() -> None:
    """A worker whose parent was killed must not go on writing beside a resumed run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _settle(gpu: int | None) -> None:
    """One CPU thread, one GPU, and no chatter from the model library: progress is shown by the parent."""
    # Imported here, so that the parent can start the server of workers before it imports torch itself.
    from transformers.utils import logging

    from rlbench.policies.device import use_gpu, use_one_thread

    use_one_thread()
    if gpu is not None:
        use_gpu(gpu)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
