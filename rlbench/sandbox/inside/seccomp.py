"""The system-call filter: what is not named here is refused. Classic BPF, see seccomp(2) and linux/filter.h.

Arguments are looked at only where they are passed by value, so that another thread cannot change them in between.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Sequence

from rlbench.sandbox.inside.syscalls import MACHINES, Machine

KILL, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_LOAD, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_X32 = 0x40000000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_FLAGS_THAT_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0x400000  # __O_TMPFILE
_SOME_PID = 0x7FFFFFFF
_EMPTY_PATH = 0x1000
_SEND_FLAGS = 0x4040  # MSG_DONTWAIT, MSG_NOSIGNAL
_RECEIVE_FLAGS = _SEND_FLAGS | 0x102  # MSG_PEEK, MSG_WAITALL
_SOCKET_OPTIONS = (3, 4, 7, 8, 38, 39)  # SO_TYPE, SO_ERROR, SO_SNDBUF, SO_RCVBUF, SO_PROTOCOL, SO_DOMAIN
_CLONE_THREAD = 0x00010000
_DESCRIPTOR_FLAGS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_[GS]ETFD, F_[GS]ETFL, F_DUPFD_CLOEXEC; never F_SETOWN, F_SETSIG
_FILE_IOCTLS = (0x5450, 0x5451, 0x5421, 0x541B)  # FIONCLEX, FIOCLEX, FIONBIO, FIONREAD


def _words(text: str) -> list[str]:
    return text.split()


# The most frequent first.
HARMLESS = _words("""
    read write futex mmap munmap mprotect brk close lseek fstat madvise getpid gettid
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack pread64 pwrite64 readv writev preadv pwritev poll ppoll select
    pselect6 sched_yield mremap mincore dup dup2 dup3 nanosleep gettimeofday time times
    exit exit_group set_tid_address set_robust_list get_robust_list restart_syscall rseq arch_prctl uname fsync
    ftruncate umask getrlimit getrusage sysinfo getuid getgid geteuid getegid getppid getpgrp getgroups
    getrandom pipe pipe2 eventfd2 epoll_create epoll_create1 epoll_ctl epoll_wait
    epoll_pwait close_range setitimer getitimer alarm pause rt_sigtimedwait rt_sigpending rt_sigsuspend
    shutdown getsockname getpeername fstatfs getcwd
""")
PATHS = _words("""
    stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents64 statfs
""")
# Nobody calls these by accident: the program ends at once.
HOSTILE = _words("""
    ptrace execve execveat process_vm_readv process_vm_writev unshare setns mount umount2 pivot_root chroot bpf
    perf_event_open userfaultfd keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register init_module
    finit_module delete_module kexec_load reboot swapon swapoff pidfd_getfd pidfd_send_signal kcmp personality
""")

Instructions = list[tuple[int, int, int, int]]
"""(code, jump if true, jump if false, constant)."""


def filter_program(machine: Machine, own_pid: int, *, paths: bool) -> Instructions:
    """Return the filter of a process.

    Args:
        machine: its system-call numbers.
        own_pid: the only process that it may signal: itself.
        paths: whether it may open files for reading, those that Landlock lets it. Without, it can open nothing; that
            a path exists, and its size, it can still find out by the call that libc asks open files about themselves
            with.
    """
    number = machine.numbers
    program: Instructions = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, machine.audit_arch), (_RETURN, 0, 0, KILL)]
    program += [(_LOAD, 0, 0, 0), (_GREATER_EQUAL, 0, 1, _X32), (_RETURN, 0, 0, KILL)]
    for name in [*HARMLESS, *(PATHS if paths else ())]:
        if name in number:
            program += [(_EQUAL, 0, 1, number[name]), (_RETURN, 0, 0, ALLOW)]
    if paths:
        program += _where(number["openat"], _no_bit(2, _FLAGS_THAT_WRITE, errno.EROFS))
        if "open" in number:
            program += _where(number["open"], _no_bit(1, _FLAGS_THAT_WRITE, errno.EROFS))
    else:  # asking an open file about itself, which libc does by an empty path; the path itself cannot be looked at
        program += _where(number["newfstatat"], _one_of(3, (_EMPTY_PATH,), errno.EPERM))
    program += _where(number["clone"], _one_bit(0, _CLONE_THREAD))
    program += _where(number["clone3"], [(_RETURN, 0, 0, REFUSE | errno.ENOSYS)])  # libc then falls back to clone
    program += _where(number["tgkill"], _one_of(0, (own_pid,), errno.EPERM))
    program += _where(number["fcntl"], _one_of(1, _DESCRIPTOR_FLAGS, errno.EPERM))
    program += _where(number["ioctl"], _one_of(1, _FILE_IOCTLS, errno.ENOTTY))
    program += _where(number["sched_getaffinity"], _one_of(0, (0, own_pid), errno.EPERM))
    program += _where(number["prlimit64"], [*_only(0, (0, own_pid)), *_null(2)])  # looking at its limits, not setting
    # Without an address, so only to the other end of a pair.
    program += _where(number["sendto"], [*_none_of(3, ~_SEND_FLAGS), *_null(4)])
    program += _where(number["recvfrom"], [*_none_of(3, ~_RECEIVE_FLAGS), (_RETURN, 0, 0, ALLOW)])
    program += _where(number["getsockopt"], _one_of(2, _SOCKET_OPTIONS, errno.EPERM))  # nothing about the other end
    program += _where(number["socketpair"], _one_of(0, (1,), errno.EPERM))  # AF_UNIX
    for name in (
        "clock_gettime",
        "clock_getres",
        "clock_nanosleep",
    ):  # higher numbers are the clocks of other processes
        program += _where(number[name], _below(0, 16))
    for name in HOSTILE:
        program += [(_EQUAL, 0, 1, number[name]), (_RETURN, 0, 0, KILL)]
    return [*program, (_RETURN, 0, 0, REFUSE | errno.EPERM)]


def _where(number: int, then: Instructions) -> Instructions:
    """Run `then`, which must return, for one system call."""
    return [(_EQUAL, 0, len(then), number), *then]


def _low(argument: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, 16 + 8 * argument)


def _high(argument: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, 20 + 8 * argument)


def _refuse(error: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, REFUSE | error)


def _no_bit(argument: int, bits: int, error: int) -> Instructions:
    return [_low(argument), (_ANY_BIT, 0, 1, bits), _refuse(error), (_RETURN, 0, 0, ALLOW)]


def _one_bit(argument: int, bit: int) -> Instructions:
    return [_low(argument), (_ANY_BIT, 0, 1, bit), (_RETURN, 0, 0, ALLOW), _refuse(errno.EPERM)]


def _one_of(argument: int, values: Sequence[int], error: int) -> Instructions:
    compared = [(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [_low(argument), *compared, _refuse(error), (_RETURN, 0, 0, ALLOW)]


def _only(argument: int, values: Sequence[int]) -> Instructions:
    """Refuse all but some values, and go on."""
    compared = [(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [_low(argument), *compared, _refuse(errno.EPERM)]


def _none_of(argument: int, bits: int) -> Instructions:
    """Refuse any of the bits, and go on."""
    return [_low(argument), (_ANY_BIT, 0, 1, bits & 0xFFFFFFFF), _refuse(errno.EPERM)]


def _below(argument: int, bound: int) -> Instructions:
    return [_low(argument), (_GREATER_EQUAL, 0, 1, bound), _refuse(errno.EPERM), (_RETURN, 0, 0, ALLOW)]


def _null(argument: int) -> Instructions:
    tests = [_low(argument), (_EQUAL, 0, 3, 0), _high(argument), (_EQUAL, 0, 1, 0)]
    return [*tests, (_RETURN, 0, 0, ALLOW), _refuse(errno.EPERM)]


def this_machine() -> Machine:
    """Return the numbers of this machine.

    Raises:
        OSError: it is not one that the filter supports.
    """
    name = os.uname().machine
    if name not in MACHINES:
        raise OSError(errno.ENOSYS, f"no system-call table for {name} (has: {', '.join(MACHINES)})")
    return MACHINES[name]


def assemble(program: Instructions) -> bytes:
    """Return the filter as an array of `struct sock_filter`."""
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def forbid_new_privileges(libc: ctypes.CDLL) -> None:
    """Set no_new_privs, without which an ordinary process may not install a filter.

    Raises:
        OSError: the kernel refuses.
    """
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


class Filter:
    """An assembled filter in which only the number of the process is missing, so that a child has little to do."""

    def __init__(self, program: Callable[[int], Instructions]) -> None:
        self._code = ctypes.create_string_buffer(assemble(program(_SOME_PID)))
        marked, other = program(_SOME_PID), program(_SOME_PID - 1)
        differing = [index for index, (one, two) in enumerate(zip(marked, other, strict=True)) if one != two]
        self._places = [8 * index + 4 for index in differing]  # of the constants in `struct sock_filter`
        self._header = struct.pack("HxxxxxxP", len(marked), ctypes.addressof(self._code))

    def install(self, libc: ctypes.CDLL, own_pid: int) -> None:
        """Put this process, and what it starts, under the filter for good.

        Raises:
            OSError: the kernel refuses.
        """
        for place in self._places:
            struct.pack_into("I", self._code, place, own_pid)
        if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.c_char_p(self._header), 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")
