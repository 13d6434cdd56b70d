"""AppArmor: whether this kernel has it, which profiles it knows, and the default profile of containers.

The profile is the second wall behind capabilities, seccomp and masked paths. It lets a container use its own files,
network and capabilities, and refuses what reaches beyond it: mounts, the kernel's settings and memory below /proc and
/sys, tracing and signals to anybody but containers of the same profile. It includes no file of the distribution, so it
reads the same everywhere. Which container gets it is criserver/containers/profiles.py's.
"""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from knarr.base.logs import fields, log

DEFAULT: Final = "knarr-default"
ENABLED: Final = Path("/sys/module/apparmor/parameters/enabled")
LOADED: Final = Path("/sys/kernel/security/apparmor/profiles")
ABI: Final = Path("/etc/apparmor.d/abi/3.0")
PARSER: Final = "apparmor_parser"
LOAD_SECONDS: Final = 60.0
"""The parser takes a tenth of a second; an emulated machine some."""

# Where a rule allows a class of acts as a whole, the deny lines below it take from it: denying wins in AppArmor. The
# directories of processes begin with a digit, everything else below /proc is the kernel's. Of /sys, control groups
# alone stay to their mount, which is read-only unless somebody asked otherwise. A signal or a trace needs both sides:
# who may reach into a container is for the sender's profile to say, and its pid namespace. Where the low-level runtime
# has a profile of its own (Debian 13, Ubuntu 24.04), containers with no-new-privileges run under both, by a joint name.
_RULES: Final = """\
  network,
  capability,
  unix,
  file,
  umount,

  deny mount,
  deny /proc/* w,
  deny /proc/[^0-9]*/** wl,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwklx,
  deny /sys/{[^f],f[^s]}*/** wklx,
  deny /sys/fs/{[^c],c[^g],cg[^r]}*/** wklx,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,

  signal (receive),
  signal (send) peer={PROFILE,PROFILE//&**,**//&PROFILE},
  ptrace (readby, tracedby),
  ptrace (read, trace) peer={PROFILE,PROFILE//&**,**//&PROFILE},
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Whether it enforces profiles, and the default one's name once that is loaded ("" before, and if it cannot be)."""

    is_enabled: bool = False
    default: str = ""
    loaded: Path = LOADED

    def knows(self, name: str) -> bool:
        """Whether it has that profile now."""
        try:
            return name in names(self.loaded.read_text())
        except OSError:
            return False


def read() -> Kernel:
    """Asks this machine's kernel; a default profile that an earlier start loaded is found."""
    try:
        is_enabled = ENABLED.read_text().startswith("Y") and LOADED.exists()
    except OSError:
        is_enabled = False
    found = Kernel(is_enabled)
    return replace(found, default=DEFAULT) if is_enabled and found.knows(DEFAULT) else found


def prepared() -> Kernel:
    """The same with the default profile loaded. Without it containers run as they do where there is no AppArmor."""
    found = read()
    if not found.is_enabled:
        return found
    if fault := _load():
        log("runtime").warning("%s", fields(apparmor=DEFAULT, event="not loaded", reason=fault))
        return found
    return replace(found, default=DEFAULT)


def profile(name: str, *, has_abi: bool) -> str:
    """The default profile's text under that name; `has_abi`: rules mean what AppArmor 3.0 meant by them."""
    head = "abi <abi/3.0>,\n" if has_abi else ""
    flags = "flags=(attach_disconnected,mediate_deleted)"
    return f"{head}profile {name} {flags} {{\n{_RULES.replace('PROFILE', name)}}}\n"


def names(listing: str) -> frozenset[str]:
    """The profiles that the kernel's list names, one `NAME (MODE)` a line."""
    return frozenset(line.rpartition(" (")[0] for line in listing.splitlines() if line.endswith(")"))


def _load() -> str:
    """Give the kernel the default profile, in place of an older one: "", or what is in the way."""
    text = profile(DEFAULT, has_abi=ABI.exists()).encode()
    words = [PARSER, "--skip-cache", "--replace"]
    try:
        done = subprocess.run(words, input=text, capture_output=True, timeout=LOAD_SECONDS, check=False)
    except FileNotFoundError:
        return f"{PARSER} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.decode(errors="replace").strip() or f"{PARSER} failed"
