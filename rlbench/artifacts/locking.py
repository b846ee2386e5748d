"""Lock files that the system releases when the process that holds them ends, however it ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlbench.errors import Busy


@contextmanager
def lock(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock file; the system releases it when the process ends, however it ends.

    Raises:
        Busy: another process holds it and does not let go within `wait_seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Busy(
                        f"{path.parent}: another rlbench process is working on this folder; wait for it or stop it"
                    ) from None
                time.sleep(0.05)
        yield


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock file. Looking leaves no trace, so that it disturbs nobody's work."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
