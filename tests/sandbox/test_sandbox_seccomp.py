"""The system-call filter, run by an interpreter of classic BPF on both machines that it knows."""

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from rlbench.sandbox.inside.seccomp import ALLOW, HARMLESS, HOSTILE, KILL, PATHS, assemble, filter_program
from rlbench.sandbox.inside.syscalls import AARCH64, MACHINES, X86_64

PID = 4711
AT_FDCWD = (1 << 64) - 100
POINTER = 0x7F00_1234_5678
HIGH = 1 << 32
CLONE_VM, CLONE_THREAD, CLONE_NEWUSER, SIGCHLD = 0x100, 0x10000, 0x10000000, 17
THREAD = 0x3D0F00  # what glibc's pthread_create passes
WRITING = [
    os.O_WRONLY,
    os.O_RDWR,
    os.O_CREAT,
    os.O_TRUNC,
    os.O_APPEND,
    0o20000000 | 0o200000,
    3,
    os.O_RDWR | os.O_CREAT,
]
SPECIAL = {
    *("open", "openat", "clone", "clone3", "tgkill", "fcntl", "ioctl", "prlimit64", "sched_getaffinity"),
    *("sendto", "recvfrom", "getsockopt", "socketpair", "clock_gettime", "clock_getres", "clock_nanosleep"),
}
# Never allowed, whatever the arguments: name and numbers on x86_64 and aarch64 (None where there is none).
FORBIDDEN = {
    "fork": (57, None), "vfork": (58, None), "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendmsg": (46, 211), "sendmmsg": (307, 269), "recvmsg": (47, 212),
    "creat": (85, None), "openat2": (437, 437), "open_by_handle_at": (304, 265), "mkdir": (83, None),
    "mkdirat": (258, 34), "rename": (82, None), "renameat2": (316, 276), "unlink": (87, None), "unlinkat": (263, 35),
    "linkat": (265, 37), "symlinkat": (266, 36), "mknodat": (259, 33), "truncate": (76, 45), "fchmod": (91, 52),
    "fchmodat": (268, 53), "fchownat": (260, 54), "utimensat": (280, 88), "setxattr": (188, 5), "chdir": (80, 49),
    "setuid": (105, 146), "setresuid": (117, 147), "setgroups": (116, 159), "capset": (126, 91), "prctl": (157, 167),
    "seccomp": (317, 277), "setrlimit": (160, 164), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "setpgid": (109, 154), "setsid": (112, 157), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_create": (319, 279), "inotify_init1": (294, 26), "timer_create": (222, 107),
    "signalfd4": (289, 74), "timerfd_create": (283, 85), "pidfd_open": (434, 434), "sendfile": (40, 71),
    "splice": (275, 76), "copy_file_range": (326, 285), "mlock": (149, 228), "mbind": (237, 235),
    "io_setup": (206, 0), "io_submit": (209, 2), "syslog": (103, 116), "sethostname": (170, 161), "acct": (163, 89),
    "clock_settime": (227, 112), "quotactl": (179, 60), "fanotify_init": (300, 262),
    "landlock_create_ruleset": (444, 444),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "open_tree": (428, 428), "fsopen": (430, 430),
}  # fmt: skip


def refuse(error=errno.EPERM):
    return 0x00050000 | error


def execute(program, number, *arguments, arch):
    """Return what the assembled filter answers to one system call; BPF as in linux/filter.h and seccomp(2)."""
    words = [value & ((1 << 64) - 1) for value in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *words)
    place, accumulator = 0, 0
    while True:
        code, if_true, if_false, constant = struct.unpack_from("<HBBI", program, 8 * place)
        place += 1
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            accumulator = struct.unpack_from("<I", data, constant)[0]
        elif code == 0x06:  # BPF_RET | BPF_K
            return constant
        else:
            tests = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: bool(accumulator & constant)}
            place += if_true if tests[code] else if_false


@pytest.fixture(params=[X86_64, AARCH64], ids=["x86_64", "aarch64"])
def machine(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["paths", "no-paths"])
def paths(request):
    return request.param


@pytest.fixture
def call(machine, paths):
    """`call("read", ...)` or `call(0, ...)`: what the filter says."""
    program = assemble(filter_program(machine, PID, paths=paths))

    def ask(name, *arguments, arch=machine.audit_arch):
        number = machine.numbers[name] if isinstance(name, str) else name
        return execute(program, number, *arguments, arch=arch)

    return ask


def test_it_is_a_filter_that_the_kernel_takes(machine, paths):
    program = assemble(filter_program(machine, PID, paths=paths))
    assert len(program) % 8 == 0
    assert len(program) // 8 <= 4096  # BPF_MAXINSNS
    for place in range(len(program) // 8):
        code, if_true, if_false, constant = struct.unpack_from("<HBBI", program, 8 * place)
        furthest = place + 1 + (max(if_true, if_false) if code in (0x15, 0x35, 0x45) else 0)
        assert furthest < len(program) // 8 or code == 0x06
        assert code != 0x20 or (constant % 4 == 0 and constant < 64)


def test_another_architecture_is_killed(machine, call):
    for arch in (0x40000003, 0x40000028, X86_64.audit_arch, AARCH64.audit_arch, 0):
        if arch != machine.audit_arch:
            for name in ("read", "exit_group", "openat", "execve"):
                assert call(name, arch=arch) == KILL


def test_x32_calls_are_killed(machine, call):
    for number in [*machine.numbers.values(), 512, 520, 0x3FFFFFFF]:
        assert call(number | 0x40000000) == KILL
    assert call(-1) == KILL


def test_what_is_harmless_is_allowed_with_any_argument(machine, call):
    for name in HARMLESS:
        if name in machine.numbers:
            assert call(name) == ALLOW
            assert call(name, *[(1 << 64) - 1] * 6) == ALLOW


def test_paths_are_looked_at_only_where_landlock_guards_them(machine, paths, call):
    for name in PATHS:
        if name in machine.numbers:
            assert call(name, AT_FDCWD, POINTER) == (ALLOW if paths else refuse())
    for name in ("open", "openat"):
        if name in machine.numbers and not paths:
            assert call(name, AT_FDCWD, POINTER, os.O_RDONLY) == refuse()


def test_files_are_opened_for_reading_only(machine, paths, call):
    if not paths:
        pytest.skip("nothing is opened at all")
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK, 0o10000000):
        assert call("openat", AT_FDCWD, POINTER, flags) == ALLOW
        if "open" in machine.numbers:
            assert call("open", POINTER, flags) == ALLOW
    for flags in WRITING:
        for value in (flags, flags | os.O_CLOEXEC, flags | HIGH):  # the kernel takes the low half
            assert call("openat", AT_FDCWD, POINTER, value, 0o600) == refuse(errno.EROFS)
            if "open" in machine.numbers:
                assert call("open", POINTER, value, 0o600) == refuse(errno.EROFS)


def test_threads_but_no_processes(call):
    for flags in (SIGCHLD, 0x1200011, CLONE_VM | 0x4000 | SIGCHLD, CLONE_NEWUSER | SIGCHLD, 0, CLONE_THREAD << 32):
        assert call("clone", flags) == refuse()
    assert call("clone", THREAD) == ALLOW
    assert call("clone", CLONE_THREAD) == ALLOW
    assert call("clone3", POINTER, 88) == refuse(errno.ENOSYS)  # its flags are in memory


def test_only_the_own_process_is_signalled(call):
    assert call("tgkill", PID, PID, 6) == ALLOW
    assert call("tgkill", PID, PID + 1, 6) == ALLOW  # a thread of its own
    for other in (PID - 1, PID + 1, 0, 1, -1):
        assert call("tgkill", other, PID, 9) == refuse()


def test_descriptors_are_copied_but_send_no_signals(call):
    for command in (0, 1, 2, 3, 4, 1030):
        assert call("fcntl", 3, command, 0) == ALLOW
    for command in (5, 6, 7, 8, 9, 10, 11, 15, 1024, 1026, 1031, 1033, 8 | HIGH):  # locks, owners, signals, leases
        assert call("fcntl", 3, command, 1) == refuse()


def test_terminals_get_no_input(call):
    for request in (0x5450, 0x5451, 0x5421, 0x541B):
        assert call("ioctl", 0, request) == ALLOW
    for request in (0x5412, 0x5401, 0x5413, 0x541C, 0x5452, 0x540E, 0x8901, 0x5412 | HIGH):  # TIOCSTI, TIOCLINUX ...
        assert call("ioctl", 0, request) == refuse(errno.ENOTTY)


def test_limits_are_read_but_not_set(call):
    assert call("prlimit64", 0, 7, 0, POINTER) == ALLOW
    for new in (POINTER, 1, HIGH, 1 << 63):
        assert call("prlimit64", 0, 7, new, 0) == refuse()
    for name, rest in (("prlimit64", (7, 0, POINTER)), ("sched_getaffinity", (8, POINTER))):
        assert call(name, PID, *rest) == ALLOW
        for other in (1, PID + 1, PID - 1):
            assert call(name, other, *rest) == refuse()


def test_nothing_is_sent_to_an_address(call):
    assert call("sendto", 3, POINTER, 5, 0, 0, 0) == ALLOW
    for address in (POINTER, 1, HIGH, 1 << 63):
        assert call("sendto", 3, POINTER, 5, 0, address, 16) == refuse()


def test_only_common_ways_of_sending_and_receiving(call):
    for flags in (0, 0x40, 0x4000, 0x4040):
        assert call("sendto", 3, POINTER, 5, flags, 0, 0) == ALLOW
        assert call("recvfrom", 3, POINTER, 5, flags | 0x102, 0, 0) == ALLOW
    for flags in (1, 0x41, 0x8, 0x20000000):  # out of band, and others
        assert call("sendto", 3, POINTER, 5, flags, 0, 0) == refuse()
        assert call("recvfrom", 3, POINTER, 5, flags, 0, 0) == refuse()


def test_a_socket_tells_nothing_about_the_other_end(call):
    for option in (3, 4, 7, 8):
        assert call("getsockopt", 3, 1, option, POINTER, POINTER) == ALLOW
    for option in (17, 59, 77, 31):  # SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD, SO_PEERSEC
        assert call("getsockopt", 3, 1, option, POINTER, POINTER) == refuse()


def test_clocks_of_other_processes_are_not_read(call):
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        for clock in (0, 1, 2, 3, 4, 7, 11):
            assert call(name, clock, POINTER) == ALLOW
        for pid in (1, PID, PID + 1):
            for kind in (2, 6):  # of a process, of a thread
                assert call(name, (~pid << 3) | kind, POINTER) == refuse()
        assert call(name, (~0 << 3) | 3, POINTER) == refuse()  # of an open file


def test_pairs_of_sockets_are_local(call):
    assert call("socketpair", 1, 1, 0, POINTER) == ALLOW
    for family in (0, 2, 10, 16, 17, 40):
        assert call("socketpair", family, 1, 0, POINTER) == refuse()


def test_hostile_calls_kill(call):
    for name in HOSTILE:
        assert call(name, POINTER, POINTER) == KILL
    assert {"execve", "ptrace", "process_vm_readv", "io_uring_setup", "bpf", "mount", "unshare"} <= set(HOSTILE)


def test_whatever_is_not_named_is_refused(machine, call):
    for number in set(range(1024)) - set(machine.numbers.values()):
        assert call(number) == refuse()
        assert call(number, *[POINTER] * 6) == refuse()
    for name in set(machine.numbers) - {*HARMLESS, *PATHS, *HOSTILE} - SPECIAL:
        assert call(name) == refuse(), name
        assert call(name, *[1] * 6) == refuse(), name


def test_forbidden_calls_are_not_allowed(machine, call):
    for name, numbers in FORBIDDEN.items():
        number = numbers[machine is AARCH64]
        if number is not None:
            for argument in (0, 1, PID, THREAD, POINTER, (1 << 64) - 1):
                assert call(number, *[argument] * 6) != ALLOW, name


def header(machine):
    """The kernel's own table, as far as it is installed."""
    if machine is AARCH64:
        text, prefix = Path("/usr/include/asm-generic/unistd.h"), r"__NR(?:3264)?_"
    else:
        places = ("x86_64-linux-gnu/asm", "asm")
        found = [path for place in places if (path := Path("/usr/include") / place / "unistd_64.h").exists()]
        text, prefix = (found or [Path("/usr/include/asm/unistd_64.h")])[0], "__NR_"
    if not text.exists():
        pytest.skip(f"the kernel's headers are not installed: no {text}")
    numbers = {name: int(value) for name, value in re.findall(rf"#define {prefix}(\w+)\s+(\d+)\b", text.read_text())}
    if machine is AARCH64:
        numbers["newfstatat"] = numbers["fstatat"]
    return numbers


def test_numbers_are_the_kernels(machine):
    official = header(machine)
    wrong = {name: number for name, number in machine.numbers.items() if official.get(name, number) != number}
    assert not wrong
    own = {name: numbers[machine is AARCH64] for name, numbers in FORBIDDEN.items()}
    assert not {
        name: number for name, number in own.items() if number is not None and official.get(name, number) != number
    }


def test_no_name_of_the_filter_is_forgotten_in_the_table(machine):
    official = header(machine)
    for name in [*HARMLESS, *PATHS, *HOSTILE, *SPECIAL]:
        assert name in machine.numbers or name not in official, name


def test_both_names_of_the_arm_machine_are_known():
    assert MACHINES == {"x86_64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}
    assert X86_64.audit_arch == 62 | 0xC0000000
    assert AARCH64.audit_arch == 183 | 0xC0000000
