"""Random streams derived by name, so that no generator state has to be carried or restored.

Every random choice asks for the stream of its purpose, for example `stream(seed, "rollouts", step)`. Two
streams with different names are independent, and a resumed run asks for the same names again.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(*names: int | str) -> int:
    """Hash the names of a stream to a 63-bit seed. The order of the names matters."""
    text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(*names: int | str) -> np.random.Generator:
    """Return the numpy generator of the named stream."""
    return np.random.default_rng(derive(*names))
