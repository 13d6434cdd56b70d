"""`knarr doctor`: what this machine offers a node, what is missing, and which versions have known holes."""

import argparse
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from knarr.base.errors import Invalid
from knarr.cli import printing, requirements

Verdict = Literal["ok", "warn", "fail"]

# Floors: below them the runtime has a published escape; knarr guards root file systems itself, an update is better.
FLOORS = {"crun": (1, 28), "runc": (1, 3, 6)}

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    what: str
    why: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--strict", action="store_true", help="a warning fails too")


def run(arguments: argparse.Namespace) -> int:
    findings = [finding for check in CHECKS for finding in check()]
    for finding in findings:
        printing.show(f"{finding.verdict:<4}  {finding.what}" + (f": {finding.why}" if finding.why else ""))
    bad = {"fail", "warn"} if arguments.strict else {"fail"}
    return printing.EXIT_MISSING if any(finding.verdict in bad for finding in findings) else 0


def _path() -> str:
    """Where root finds programs: a plain user's PATH need not have them all, and `knarr up` runs as root."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN))


def _programs() -> list[Finding]:
    lacking = requirements.missing(_path())
    found = [Finding("ok", " or ".join(need.programs)) for need in requirements.REQUIREMENTS if need not in lacking]
    return found + [
        Finding("fail", " or ".join(need.programs), f"{need.purpose}; apt-get install {need.package}")
        for need in lacking
    ]


def _runtimes() -> list[Finding]:
    findings = []
    for program, floor in FLOORS.items():
        version = _version(program)
        if version and version < floor:
            want, have = ".".join(map(str, floor)), ".".join(map(str, version))
            why = f"older than {want}, which mends known escapes; the first on the PATH is used"
            findings.append(Finding("warn", f"{program} {have}", why))
    return findings


def _version(program: str) -> tuple[int, ...] | None:
    if not shutil.which(program):
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", answer, re.ASCII)
    return tuple(int(part) for part in found.groups() if part) if found else None


def _cgroups() -> list[Finding]:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return [Finding("ok", "cgroup v2")]
    if Path("/sys/fs/cgroup/memory").is_dir():
        return [Finding("ok", "cgroup v1")]
    return [Finding("fail", "cgroups", "neither v1 nor v2 is mounted at /sys/fs/cgroup")]


def _kernel() -> list[Finding]:
    findings = [Finding("ok", f"kernel {platform.release()}")]
    file_systems = Path("/proc/filesystems").read_text()
    if "\toverlay\n" not in file_systems:
        findings.append(Finding("fail", "overlayfs", "the kernel does not list it; modprobe overlay"))
    if not Path("/proc/self/ns/net").exists():
        findings.append(Finding("fail", "network namespaces", "the kernel has none"))
    return findings


def _apparmor() -> list[Finding]:
    from knarr.runtime import apparmor  # loaded by those who ask

    if not apparmor.read().is_enabled:
        return [Finding("ok", "no AppArmor", "the kernel does not enforce it; seccomp and capabilities hold")]
    if shutil.which(apparmor.PARSER, path=_path()):
        return [Finding("ok", f"AppArmor, containers run under {apparmor.DEFAULT}")]
    why = f"{apparmor.PARSER} is missing, so containers run without {apparmor.DEFAULT}; apt-get install apparmor"
    return [Finding("warn", "AppArmor", why)]


def _rights() -> list[Finding]:
    if os.getuid() == 0:
        return [Finding("ok", "root")]
    return [Finding("warn", "not root", "knarr up asks sudo; --api-only works without")]


def _clients() -> list[Finding]:
    return [Finding("ok", "kubectl")] if shutil.which("kubectl") else [Finding("warn", "kubectl", "not on the PATH")]


def _remnants() -> list[Finding]:
    """What clusters left that no record tells of any more."""
    if os.getuid() != 0:
        return []
    from knarr.assembly import remnants  # the node's parts: for root alone
    from knarr.assembly import settings as settings_module

    findings = [Finding("warn", f"{line}: a cluster may have left some") for line in remnants.unseen()]
    for name in remnants.names():
        try:
            settings = settings_module.default(name, is_root=True)
        except Invalid:
            continue  # no cluster can have that name
        has_record = (settings.data_dir / settings_module.FILE_NAME).exists()
        if has_record or remnants.state_elsewhere(settings):
            continue
        left = remnants.found(settings)
        what = f"{left[0]}{f' and {len(left) - 1} more' if left[1:] else ''}" if left else ""
        if what:
            todo = f"of a cluster whose record is gone; knarr delete --name {name} --yes removes it"
            findings.append(Finding("warn", what, todo))
    return findings


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    _rights,
    _programs,
    _runtimes,
    _cgroups,
    _kernel,
    _apparmor,
    _clients,
    _remnants,
)
