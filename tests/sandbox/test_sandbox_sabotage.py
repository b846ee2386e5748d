"""The self-test finds each of its twelve protections missing: copies of the judge lack what guards one probe."""

import os

import pytest

from rlbench.sandbox.selftest import PROBES

SECCOMP, SYSCALLS, LANDLOCK = "inside/seccomp.py", "inside/syscalls.py", "inside/landlock.py"
LOCKDOWN, ZYGOTE, LANE, TIERS = "inside/lockdown.py", "inside/zygote.py", "lane.py", "tiers.py"
LET = "[(_RETURN, 0, 0, ALLOW)]"

READ_ALL = [(LANDLOCK, "for path in readable)", 'for path in [*readable, "/"])')]
WRITE_ALL = [
    *READ_ALL,
    (LANDLOCK, "            rights &= ~_READ_DIR", "            rights &= _READ_FILE"),
    (LANDLOCK, "_READ_FILE | _READ_DIR) for", "_HANDLED_FIRST) for"),
    (LANDLOCK, "_ADDED_BY_ABI = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}", "_ADDED_BY_ABI = dict[int, int]()"),
]  # fmt: skip
PATHS = [(LOCKDOWN, 'paths=kind == "landlock"', "paths=True")]
OPEN_TO_WRITE = [
    (
        SECCOMP,
        '_where(number["openat"], _no_bit(2, _FLAGS_THAT_WRITE, errno.EROFS))',
        f'_where(number["openat"], {LET})',
    )
]
NO_LANDLOCK = [(LOCKDOWN, "            landlock.restrict(libc, self.rules)\n", "")]
UNSCOPED = [(LANDLOCK, "_NETWORK, _SCOPED = 0b11, 0b11", "_NETWORK, _SCOPED = 0, 0")]
SOCKETS = [
    (SYSCALLS, "socketpair=53", "socket=41 connect=42 socketpair=53"),
    (SYSCALLS, "socketpair=199", "socket=198 connect=203 socketpair=199"),
    (SECCOMP, "    shutdown getsockname", "    socket connect shutdown getsockname"),
]
FORK = [(SECCOMP, "_one_bit(0, _CLONE_THREAD)", LET)]
EXECUTE = [
    (SECCOMP, "ptrace execve execveat", "ptrace execveat"),
    (SECCOMP, "    read write futex", "    execve read write futex"),
]
KILLING = [(SECCOMP, "    read write futex", "    kill read write futex")]
MEMORY = [
    (SECCOMP, "execveat process_vm_readv process_vm_writev", "execveat process_vm_writev"),
    (SECCOMP, "    read write futex", "    process_vm_readv read write futex"),
    (LOCKDOWN, "if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:",
     "libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)\n    if libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0) != 0:"),
]  # fmt: skip
STAY_ROOT = [(ZYGOTE, "        become_nobody()\n", "")]
ENVIRONMENT = [(LANE, "env=tiers.ENVIRONMENT", "env={**os.environ, **tiers.ENVIRONMENT}")]
NO_MEMORY_LIMIT = [(LOCKDOWN, "        resource.RLIMIT_AS: resources.memory_bytes,\n", "")]
NO_CPU_LIMIT = [
    (ZYGOTE, "if used > self.cpu_seconds:", "if used < 0:"),
    (LOCKDOWN, "seconds = math.ceil(resources.cpu_seconds)", "seconds = 600"),
]
SET_LIMITS = [(SECCOMP, "[*_only(0, (0, own_pid)), *_null(2)]", LET)]
OWN_TMP = [(TIERS, '"--tmpfs", "/tmp", "--remount-ro", "/tmp"', '"--bind", "/tmp", "/tmp"')]
SEEN_ENVIRONMENT = [*ENVIRONMENT, (TIERS, '"--clearenv", ', "")]
OWN_NETWORK = [(TIERS, '"--unshare-net", ', "")]

SABOTAGE = {
    ("read_a_file", "B"): READ_ALL,
    ("read_a_file", "C"): PATHS,
    ("read_a_file", "A"): [*READ_ALL, *OWN_TMP],
    ("write_a_file", "B"): [*WRITE_ALL, *OPEN_TO_WRITE],
    ("write_a_file", "C"): [*PATHS, *OPEN_TO_WRITE],
    ("write_a_file", "A"): [*WRITE_ALL, *OPEN_TO_WRITE, *OWN_TMP],
    ("start_a_process", "B"): FORK,
    ("start_a_process", "A"): FORK,
    ("run_a_command", "B"): [
        *EXECUTE,
        *READ_ALL,
        (LANDLOCK, "_HANDLED_FIRST = (1 << 13) - 1", "_HANDLED_FIRST = (1 << 13) - 2"),
    ],
    ("run_a_command", "C"): EXECUTE,
    ("connect_to_a_port", "B"): [*SOCKETS, *UNSCOPED],
    ("connect_to_a_port", "A"): [*SOCKETS, *UNSCOPED, *OWN_NETWORK],
    ("connect_to_a_local_socket", "B"): [*SOCKETS, *UNSCOPED],
    ("connect_to_a_local_socket", "C"): SOCKETS,
    ("signal_a_process", "B"): [*KILLING, *UNSCOPED],
    ("signal_a_process", "C"): KILLING,
    ("read_memory", "B"): [*MEMORY, *NO_LANDLOCK],
    ("read_memory", "C"): MEMORY,
    ("learn_a_secret", "B"): ENVIRONMENT,
    ("learn_a_secret", "A"): SEEN_ENVIRONMENT,
    ("use_memory", "B"): NO_MEMORY_LIMIT,
    ("use_cpu_time", "B"): NO_CPU_LIMIT,
    ("raise_a_limit", "B"): SET_LIMITS,
    ("raise_a_limit", "A"): SET_LIMITS,
}


def test_every_probe_is_sabotaged():
    ours = {probe.name for probe in PROBES if "B" in probe.tiers}
    assert len(ours) == 12
    assert {name for name, tier in SABOTAGE if tier == "B"} == ours


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["A", "B", "C"])
def test_an_undamaged_copy_opens(tier, package, tiers_here):
    if tier not in tiers_here:
        pytest.skip(f"this machine does not offer tier {tier}")
    assert package().open(tier, RLBENCH_CANARY="secret") == f"opened {tier} {tier} passed"


@pytest.mark.slow
@pytest.mark.parametrize(("probe", "tier"), SABOTAGE, ids=[f"{name}-{tier}" for name, tier in SABOTAGE])
def test_a_missing_protection_is_found(probe, tier, package, tiers_here):
    if tier not in tiers_here:
        pytest.skip(f"this machine does not offer tier {tier}")
    copy = package()
    for name, old, new in SABOTAGE[probe, tier]:
        copy.change(name, old, new)
    found = copy.open(tier, RLBENCH_CANARY="secret", TMPDIR="/tmp")
    assert found.startswith("unavailable "), found
    assert f"tier {tier} does not hold" in found
    assert f"{probe}: " in found


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can stay root")
@pytest.mark.parametrize("tier", ["A", "B", "C"])
def test_a_program_that_is_still_root_is_found(tier, package, tiers_here):
    if tier not in tiers_here:
        pytest.skip(f"this machine does not offer tier {tier}")
    copy = package()
    for name, old, new in STAY_ROOT:
        copy.change(name, old, new)
    found = copy.open(tier)
    assert found.startswith("unavailable ")
    assert "learn_a_secret: failed" in found
    assert "is root" in found
