"""Where tensors live: CUDA when it is there, else the CPU with one thread per worker."""

from __future__ import annotations

from typing import Literal

import torch

from rlbench.errors import InputError

DeviceName = Literal["auto", "cpu", "cuda"]
DtypeName = Literal["float32", "bfloat16"]


def resolve_device(name: DeviceName) -> torch.device:
    """Turn the name in an experiment into a device.

    Raises:
        InputError: CUDA was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError("device: expected a CUDA device, found none; use device: auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def use_one_thread() -> None:
    """Make this process compute on one CPU thread, so that results do not depend on the number of cores."""
    torch.set_num_threads(1)


def use_gpu(slot: int) -> None:
    """Make the plain device "cuda" mean another GPU for every worker that runs at the same time, as far as they go."""
    if torch.cuda.is_available():
        torch.cuda.set_device(slot % torch.cuda.device_count())


def autocast(device: torch.device, dtype: DtypeName) -> torch.autocast:
    """Context in which forward passes run in bfloat16 if that was asked for; weights stay in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16")


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock read afterwards covers its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device) -> int:
    """Highest memory use of this process so far: of the GPU's allocator, or the resident set on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
