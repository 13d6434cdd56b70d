"""Tables of what a container gets when nobody asks for anything: capabilities, paths, mounts, devices, namespaces.

Capabilities are containerd's fourteen less NET_RAW, MKNOD and AUDIT_WRITE (docs: a pod cannot forge packets or make
devices; ping works by net.ipv4.ping_group_range). Paths are those that every runtime masks.
"""

from typing import Final

_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
    "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
    "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
_NAMES_DEFAULT = "CHOWN DAC_OVERRIDE FSETID FOWNER SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL"

ALL_CAPABILITIES: Final = tuple(f"CAP_{name}" for name in str.split(_NAMES))
"""In the order of their numbers, 0 to 40."""
CAPABILITIES: Final = tuple(f"CAP_{name}" for name in str.split(_NAMES_DEFAULT))

MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM: Final = "/dev/shm"  # noqa: S108  # a place inside the container

MOUNTS: Final = (
    # target, type, source, options
    ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    (SHM, "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)

DEVICE_RULES: Final[tuple[tuple[str, dict[str, int], str], ...]] = (
    # type, numbers, access: mknod of anything is harmless without its use; then null zero full tty urandom random,
    # console, pts/*, ptmx
    ("c", {}, "m"),
    ("b", {}, "m"),
    ("c", {"major": 1, "minor": 3}, "rwm"),
    ("c", {"major": 1, "minor": 8}, "rwm"),
    ("c", {"major": 1, "minor": 7}, "rwm"),
    ("c", {"major": 5, "minor": 0}, "rwm"),
    ("c", {"major": 1, "minor": 5}, "rwm"),
    ("c", {"major": 1, "minor": 9}, "rwm"),
    ("c", {"major": 5, "minor": 1}, "rwm"),
    ("c", {"major": 136}, "rwm"),
    ("c", {"major": 5, "minor": 2}, "rwm"),
)

NEW_NAMESPACES: Final = {"pid": "", "network": "", "ipc": "", "uts": "", "mount": "", "cgroup": ""}
