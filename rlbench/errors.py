"""The errors a user can cause or meet. Each message says what was expected, what was got and what to do.

The command line prints the message without a traceback and exits with `exit_code`. Anything that is not an
`RlbenchError` is a defect of rlbench and keeps its traceback.
"""


class RlbenchError(Exception):
    """Base of all errors that are explained to the user instead of being shown as a traceback."""

    exit_code = 2


class InputError(RlbenchError):
    """A file, option or name that the user gave is wrong."""


class CorruptArtifact(RlbenchError):
    """A sealed folder does not hold the bytes that its manifest promises."""


class Busy(RlbenchError):
    """Another process is already working on the same folder."""


class DiskFull(RlbenchError):
    """There is no space left; what was finished before is intact and the work can be resumed."""


class Interrupted(RlbenchError):
    """The user stopped the work; what was finished before is intact and the work can be resumed."""

    exit_code = 130


class Diverged(RlbenchError):
    """Training produced a value that is not finite. It is an outcome of the run, not a crash.

    `step` is the training step (counted from 0) at which it was seen.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step
