"""Numbers of the Linux system calls that the filter names, for the two machines it supports."""

from __future__ import annotations

from typing import NamedTuple


class Machine(NamedTuple):
    """A processor architecture as seccomp sees it."""

    audit_arch: int
    """AUDIT_ARCH_* of linux/audit.h."""
    numbers: dict[str, int]


def _parse(text: str) -> dict[str, int]:
    return {name: int(number) for name, _, number in (entry.partition("=") for entry in text.split())}


# asm/unistd_64.h
X86_64 = Machine(0xC000003E, _parse("""
    read=0 write=1 open=2 close=3 stat=4 fstat=5 lstat=6 poll=7 lseek=8 mmap=9 mprotect=10 munmap=11 brk=12
    rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 ioctl=16 pread64=17 pwrite64=18 readv=19 writev=20 access=21
    pipe=22 select=23 sched_yield=24 mremap=25 mincore=27 madvise=28 dup=32 dup2=33 pause=34 nanosleep=35 getitimer=36
    alarm=37 setitimer=38 getpid=39 sendto=44 recvfrom=45 shutdown=48 getsockname=51 getpeername=52 socketpair=53
    getsockopt=55 clone=56 fork=57 vfork=58 execve=59 exit=60 kill=62 uname=63 fcntl=72 fsync=74 ftruncate=77
    getcwd=79 readlink=89 umask=95 gettimeofday=96 getrlimit=97 getrusage=98 sysinfo=99 times=100 ptrace=101 getuid=102
    getgid=104 geteuid=107 getegid=108 getppid=110 getpgrp=111 getgroups=115 getpgid=121 getsid=124 rt_sigpending=127
    rt_sigtimedwait=128 rt_sigsuspend=130 sigaltstack=131 personality=135 statfs=137 fstatfs=138 getpriority=140
    pivot_root=155 arch_prctl=158 chroot=161 mount=165 umount2=166 swapon=167 swapoff=168 reboot=169 init_module=175
    delete_module=176 gettid=186 time=201 futex=202 sched_getaffinity=204 epoll_create=213 getdents64=217
    set_tid_address=218 restart_syscall=219 clock_gettime=228 clock_getres=229 clock_nanosleep=230 exit_group=231
    epoll_wait=232 epoll_ctl=233 tgkill=234 kexec_load=246 add_key=248 request_key=249 keyctl=250 openat=257
    newfstatat=262 readlinkat=267 faccessat=269 pselect6=270 ppoll=271 unshare=272 set_robust_list=273
    get_robust_list=274 epoll_pwait=281 eventfd2=290 epoll_create1=291 dup3=292 pipe2=293 preadv=295 pwritev=296
    perf_event_open=298 prlimit64=302 setns=308 process_vm_readv=310 process_vm_writev=311 kcmp=312 finit_module=313
    getrandom=318 bpf=321 execveat=322 userfaultfd=323 statx=332 rseq=334 pidfd_send_signal=424 io_uring_setup=425
    io_uring_enter=426 io_uring_register=427 clone3=435 close_range=436 pidfd_getfd=438 faccessat2=439
"""))  # fmt: skip

# asm-generic/unistd.h
AARCH64 = Machine(0xC00000B7, _parse("""
    getcwd=17 eventfd2=19 epoll_create1=20 epoll_ctl=21 epoll_pwait=22 dup=23 dup3=24 fcntl=25 ioctl=29 umount2=39
    mount=40 pivot_root=41 statfs=43 fstatfs=44 ftruncate=46 faccessat=48 chroot=51 openat=56 close=57 pipe2=59
    getdents64=61 lseek=62 read=63 write=64 readv=65 writev=66 pread64=67 pwrite64=68 preadv=69 pwritev=70 pselect6=72
    ppoll=73 readlinkat=78 newfstatat=79 fstat=80 fsync=82 personality=92 exit=93 exit_group=94 set_tid_address=96
    unshare=97 futex=98 set_robust_list=99 get_robust_list=100 nanosleep=101 getitimer=102 setitimer=103 kexec_load=104
    init_module=105 delete_module=106 clock_gettime=113 clock_getres=114 clock_nanosleep=115 ptrace=117
    sched_getaffinity=123 sched_yield=124 restart_syscall=128 kill=129 tgkill=131 sigaltstack=132 rt_sigsuspend=133
    rt_sigaction=134 rt_sigprocmask=135 rt_sigpending=136 rt_sigtimedwait=137 rt_sigreturn=139 getpriority=141
    reboot=142 times=153 getpgid=155 getsid=156 getgroups=158 uname=160 getrlimit=163 getrusage=165 umask=166
    gettimeofday=169 getpid=172 getppid=173 getuid=174 geteuid=175 getgid=176 getegid=177 gettid=178 sysinfo=179
    socketpair=199 getsockname=204 getpeername=205 sendto=206 recvfrom=207 getsockopt=209 shutdown=210 brk=214
    munmap=215 mremap=216 add_key=217 request_key=218 keyctl=219 clone=220 execve=221 mmap=222 swapon=224 swapoff=225
    mprotect=226 mincore=232 madvise=233 perf_event_open=241 prlimit64=261 setns=268 process_vm_readv=270
    process_vm_writev=271 kcmp=272 finit_module=273 getrandom=278 bpf=280 execveat=281 userfaultfd=282 statx=291
    rseq=293 pidfd_send_signal=424 io_uring_setup=425 io_uring_enter=426 io_uring_register=427 clone3=435
    close_range=436 pidfd_getfd=438 faccessat2=439
"""))  # fmt: skip

MACHINES = {"x86_64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}
