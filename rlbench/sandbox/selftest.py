"""The self-test of a tier: twelve programs that try what none may do. If one gets through, the tier is not used."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlbench.sandbox import probes
from rlbench.sandbox.program import Limits, Program
from rlbench.sandbox.verdict import Status, Tier, Verdict

LIMITS = Limits(cpu_seconds=0.3, wall_seconds=20.0, memory_bytes=512 << 20)
_VARIABLE = "RLBENCH_SELF_TEST"
_INSIDE = ("A", "B", "C")  # an external runner may let a program do more within its own walls


@dataclass(frozen=True)
class Probe:
    """One thing that must not be possible: a function of `probes`, and other verdicts that are as good as "refused"."""

    name: str
    otherwise: tuple[Status, ...] = ()
    tiers: tuple[str, ...] = (*_INSIDE, "D")


PROBES = (
    Probe("read_a_file"),
    Probe("write_a_file", tiers=_INSIDE),
    Probe("start_a_process", tiers=_INSIDE),
    Probe("run_a_command", ("sandbox_violation",), tiers=_INSIDE),
    Probe("connect_to_a_port"),
    Probe("connect_to_a_local_socket"),
    Probe("signal_a_process", tiers=_INSIDE),
    Probe("read_memory", ("sandbox_violation",), tiers=_INSIDE),
    Probe("learn_a_secret", tiers=_INSIDE),
    Probe("inherit_a_secret", tiers=("D",)),  # instead of learn_a_secret: a container has variables of its own
    Probe("use_memory", ("memory_limit",)),
    Probe("use_cpu_time", ("cpu_limit",)),
    Probe("raise_a_limit", tiers=_INSIDE),
)

RunMany = Callable[[Sequence[Program]], Sequence[Verdict]]


def self_test(tier: Tier, run_many: RunMany) -> list[str]:
    """Run the tier's probes and return what got through, in words; nothing if the tier holds.

    Args:
        tier: under test.
        run_many: runs programs in it, with the limits `LIMITS`.
    """
    source = Path(probes.__file__).read_text(encoding="utf-8")
    chosen = [probe for probe in PROBES if tier in probe.tiers]
    assert chosen, f"no probe for tier {tier}"
    with _surroundings() as (known, contacted):
        programs = [Program(source, _call(probe.name, known), (probe.name,)) for probe in chosen]
        verdicts = run_many(programs)
        reached = contacted()
    found = [
        f"{probe.name}: {verdict.status} ({verdict.reason})"
        for probe, verdict in zip(chosen, verdicts, strict=True)
        if verdict.status not in ("passed", *probe.otherwise)
    ]
    return found + [f"connect: a program reached {place}" for place in reached]


def _call(name: str, known: dict[str, Any]) -> str:
    """The test of one probe, told what its function asks for."""
    function = getattr(probes, name)
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount]
    arguments = ", ".join(f"{argument}={known[argument]!r}" for argument in wanted)
    return f"found = {name}({arguments})\nassert found == {probes.REFUSED!r}, found"


@contextlib.contextmanager
def _surroundings() -> Iterator[tuple[dict[str, Any], Callable[[], list[str]]]]:
    """Put up what the probes look for; the second value says who was contacted."""
    name = f"\0rlbench-{secrets.token_hex(8)}"
    with (
        contextlib.ExitStack() as leaving,
        tempfile.TemporaryDirectory(prefix="rlbench-self-test-") as folder,
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as local,
    ):
        Path(folder).chmod(0o777)
        file = Path(folder) / "canary"
        file.write_text("canary")
        file.chmod(0o644)
        local.bind(name)
        local.listen()
        listeners = {"a port of the judge": port, "a local socket of the judge": local}
        known = {"file": str(file), "folder": folder, "port": port.getsockname()[1], "name": name, "pid": os.getpid(),
                 "variable": _VARIABLE}  # fmt: skip
        leaving.callback(os.environ.pop, _VARIABLE, None)
        os.environ[_VARIABLE] = "secret"
        yield known, lambda: [place for place, listener in listeners.items() if _was_reached(listener)]


def _was_reached(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True
