"""How programs are confined: the tiers, strongest first, and what this machine offers for them.

A: bubblewrap (namespaces, an empty file system) around B. B: Landlock and a system-call filter. C: a filter that lets
nobody open a file. D: a runner that the user configures. There is no tier below: rather than run a
program bare, `SandboxUnavailable` is raised.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from rlbench.errors import RlbenchError
from rlbench.sandbox.inside.lockdown import Kind
from rlbench.sandbox.verdict import Tier

TIERS: tuple[Tier, ...] = ("A", "B", "C", "D")
LOCKDOWN: dict[Tier, Kind] = {"A": "landlock", "B": "landlock", "C": "no-paths", "none": "none"}
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # the same order of sets every time
    "MALLOC_ARENA_MAX": "1",  # threads share one arena, else their address space runs out
}
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")
_OTHERS = ("/usr/share/zoneinfo", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
_INSTALLED = ("site-packages", "dist-packages")
_INSIDE = "/judge"
_PACKAGE = Path(__file__).resolve().parent
_FILES = ("rlbench/__init__.py", "rlbench/sandbox")
_BOOT = "import sys; sys.path.insert(0, {root!r}); from rlbench.sandbox.inside.zygote import main; main()"


class SandboxUnavailable(RlbenchError):
    """This machine cannot confine programs, and they are never run bare. The message says what each tier lacks."""


def interpreter() -> Path:
    """The real file of the Python that runs this, outside any virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def readable() -> list[str]:
    """What a program may read: the standard library without what was installed into it, and shared libraries."""
    folders = {Path(place).resolve() for place in (f"{sys.base_prefix}/lib", *_LIBRARIES) if Path(place).is_dir()}
    libraries = [each for folder in folders for each in _children(folder) if not each.name.startswith("python")]
    others = [Path(place) for place in _OTHERS if Path(place).exists()]
    return sorted({str(each) for each in [*_children(_standard_library()), *libraries, *others]})


def listable() -> list[str]:
    """Folders that imports look into."""
    return [str(_standard_library())]


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib")).resolve()


def _children(folder: Path) -> list[Path]:
    """What is in the folder and leads nowhere else, without installed packages."""
    return [each for each in folder.iterdir() if each.name not in _INSTALLED and not each.is_symlink()]


def command(tier: Tier) -> tuple[list[str], str]:
    """Return how a fork server of a tier is started (its last argument, the settings, is left to the caller), and the
    folder in which it finds this package.

    Raises:
        SandboxUnavailable: the tier needs a program that is not installed.
    """
    python = [str(interpreter()), "-s", "-S", "-P", "-B", "-X", "utf8"]
    root = _INSIDE if tier == "A" else str(_PACKAGE.parent.parent)
    start = [*python, "-c", _BOOT.format(root=root)]
    return ([*_bubblewrap(), *start] if tier == "A" else start), root


def _bubblewrap() -> Sequence[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable("bubblewrap is not installed (on Debian and Ubuntu: apt-get install bubblewrap)")
    arguments = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:  # the fork server then gives root up, which needs no user namespace
        arguments += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        arguments += ["--unshare-user", "--cap-drop", "ALL"]
    places = ["/usr", str(sys.base_prefix), str(interpreter()), "/etc/ld.so.cache"]
    for place in dict.fromkeys(places):
        if Path(place).exists() and (place == "/usr" or not place.startswith("/usr/")):
            for folder in list(Path(place).parents)[-2::-1]:  # open to everybody, as those of the original may not be
                arguments += ["--perms", "0755", "--dir", str(folder)]
            arguments += ["--ro-bind", place, place]
    for place in ("/lib", "/lib64", "/lib32"):
        if Path(place).is_symlink():
            arguments += ["--symlink", str(Path(place).readlink()), place]
        elif Path(place).exists():
            arguments += ["--ro-bind", place, place]
    for name in _FILES:
        arguments += ["--ro-bind", str(_PACKAGE.parent.parent / name), f"{_INSIDE}/{name}"]
    variables = [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
    return [*arguments, "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--remount-ro", "/tmp", "--chdir", "/",
            "--new-session", "--clearenv", *variables]  # fmt: skip
