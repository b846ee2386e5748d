"""Landlock: which files a process may read. See landlock(7) and linux/landlock.h."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same on every architecture
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_HANDLED_FIRST = (1 << 13) - 1
_ADDED_BY_ABI = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}  # moving between folders, truncating, device ioctls
_NETWORK, _SCOPED = 0b11, 0b11  # bind and connect (ABI 4); abstract sockets and signals (ABI 6)


def abi(libc: ctypes.CDLL) -> int:
    """Return the kernel's Landlock version; 0 or less where there is none."""
    return int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1))


def ruleset(libc: ctypes.CDLL, readable: Iterable[str], listable: Iterable[str]) -> int:
    """Return the descriptor of a rule set under which only `readable` can be read, and `listable` folders listed.

    Everything else that Landlock knows is refused: writing, making, moving and executing files, TCP, and where the
    kernel is new enough abstract sockets and signals to processes outside.

    Raises:
        OSError: the kernel has no Landlock, or a path cannot be opened.
    """
    version = abi(libc)
    if version < 1:
        raise OSError(ctypes.get_errno(), "the kernel has no Landlock, or it is switched off")
    handled = _HANDLED_FIRST | sum(bits for since, bits in _ADDED_BY_ABI.items() if version >= since)
    attributes = struct.pack("QQQ", handled, _NETWORK, _SCOPED)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = libc.syscall(_CREATE, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    allowed = [*((path, _READ_FILE | _READ_DIR) for path in readable), *((path, _READ_DIR) for path in listable)]
    for path, rights in allowed:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):  # noqa: PTH112 (pathlib is slow to import)
            rights &= ~_READ_DIR
        failed = libc.syscall(_ADD_RULE, rules, 1, ctypes.c_char_p(struct.pack("=QI", rights, place)), 0)
        os.close(place)
        if failed:
            raise OSError(ctypes.get_errno(), f"landlock_add_rule for {path}")
    return int(rules)


def restrict(libc: ctypes.CDLL, rules: int) -> None:
    """Put this process and everything it starts under the rule set for good.

    Raises:
        OSError: the kernel refuses.
    """
    if libc.syscall(_RESTRICT, rules, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
