"""The system-call filter RuntimeDefault: what ordinary programs call is allowed, everything else fails with EPERM.

An allow-list, as other container runtimes have. Left out: modules, kexec, reboot, swap, clocks, keyrings, io_uring,
bpf, perf, userfaultfd, mounts, namespaces (clone and unshare with namespace flags), raw I/O, quota, accounting.
clone3 answers ENOSYS, so that the C library falls back on clone, whose flags a filter can read.
Names that an architecture does not know are skipped by the runtime.
"""

import platform
from typing import Any, Final

_FILES = (
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
    "fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl "
    "fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 "
    "fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch "
    "inotify_init inotify_init1 inotify_rm_watch lchown lchown32 lgetxattr link linkat listxattr listxattrat "
    "llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 memfd_create mkdir mkdirat mknod mknodat newfstatat "
    "open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink "
    "readlinkat readv remap_file_pages removexattr removexattrat rename renameat renameat2 rmdir sendfile sendfile64 "
    "setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee "
    "truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write writev "
    "name_to_handle_at cachestat statmount listmount ioctl"
)
_WAITING = (
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old "
    "eventfd eventfd2 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake io_cancel io_destroy "
    "io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get ioprio_set poll ppoll ppoll_time64 "
    "pselect6 pselect6_time64 select signalfd signalfd4"
)
_MEMORY = (
    "brk get_mempolicy madvise map_shadow_stack membarrier memfd_secret mincore mlock mlock2 mlockall mmap mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise "
    "process_mrelease"
)
_PROCESSES = (
    "alarm arch_prctl capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu "
    "getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpgid getpgrp getpid "
    "getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid "
    "getuid getuid32 kill landlock_add_rule landlock_create_ruleset landlock_restrict_self modify_ldt nice pause "
    "pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace kcmp "
    "restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min "
    "sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
    "seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid "
    "setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 "
    "setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack sigprocmask sigreturn "
    "sysinfo tgkill times tkill ugetrlimit uname vfork wait4 waitid waitpid chroot uretprobe riscv_hwprobe"
)
_TIME = (
    "adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 gettimeofday nanosleep time timer_create timer_delete timer_getoverrun "
    "timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime timerfd_settime64"
)
_SOCKETS_AND_IPC = (
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open "
    "mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd "
    "recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg "
    "sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair"
)

NAMESPACE_FLAGS: Final = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""
_PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_ALG: Final = 38
_AF_VSOCK: Final = 40
_ENOSYS: Final = 38
_EPERM: Final = 1

_BY_CAPABILITY: Final = (
    # What a capability that is given would be useless without.
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount "
        "open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
)


def profile(capabilities: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The OCI seccomp object for a container with these capabilities."""
    allowed = " ".join((_FILES, _WAITING, _MEMORY, _PROCESSES, _TIME, _SOCKETS_AND_IPC)).split()
    for capability, names in _BY_CAPABILITY:
        if capability in capabilities:
            allowed += names.split()
    rules = [_rule(sorted(set(allowed)))]
    rules += [_rule(["personality"], _when(0, value, "SCMP_CMP_EQ")) for value in _PERSONALITIES]
    # Sockets of any family but AF_VSOCK (the hypervisor's) and AF_ALG (the kernel's crypto).
    rules.append(_rule(["socket"], _when(0, _AF_ALG, "SCMP_CMP_LT")))
    rules.append(_rule(["socket"], _when(0, _AF_ALG + 1, "SCMP_CMP_EQ")))
    rules.append(_rule(["socket"], _when(0, _AF_VSOCK, "SCMP_CMP_GT")))
    if "CAP_SYS_ADMIN" not in capabilities:
        masked = {**_when(0, NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ"), "valueTwo": 0}
        rules.append(_rule(["clone"], masked))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": _architectures(),
        "syscalls": rules,
    }


def _rule(names: list[str], *conditions: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": list(conditions)} if conditions else rule


def _when(index: int, value: int, operator: str) -> dict[str, Any]:
    return {"index": index, "value": value, "op": operator}


def _architectures() -> list[str]:
    return {
        "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    }.get(platform.machine(), [])


RUNTIME_DEFAULT: Final = profile()
