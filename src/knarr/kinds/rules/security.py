"""Checks of security contexts, of a pod and of a container, on Linux and on Windows. Texts are upstream's."""

import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers, paths
from knarr.objects import faults, names

Json = dict[str, Any]
ID_MAX: Final = 2**31 - 1
_SYSCTL: Final = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_sysctl = re.compile(_SYSCTL)
# What a pod shares with its host → sysctls that would be the host's then.
OF_NAMESPACES: Final = (
    ("hostNetwork", ("net.",)),
    ("hostIPC", ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")),
)
ONLY_LINUX_OF_POD: Final = (
    "seLinuxOptions", "seccompProfile", "appArmorProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
)  # fmt: skip
ONLY_LINUX_OF_CONTAINER: Final = (
    "seLinuxOptions", "seccompProfile", "appArmorProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip


def of_pod(context: Json, spec: Json, field: str) -> Iterator[Cause]:
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        yield from numbers.between(context.get(key), f"{field}.{key}", (0, ID_MAX))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from numbers.between(group, f"{field}.supplementalGroups[{index}]", (0, ID_MAX))
    yield from _profiles(context, field)
    if context.get("sysctls"):
        yield from _sysctls(context["sysctls"], spec, f"{field}.sysctls")
    yield from _windows(context.get("windowsOptions") or {}, f"{field}.windowsOptions")
    yield from _system(context, spec, field, ONLY_LINUX_OF_POD)


def of_container(context: Json, spec: Json, field: str) -> Iterator[Cause]:
    for key in ("runAsUser", "runAsGroup"):
        yield from numbers.between(context.get(key), f"{field}.{key}", (0, ID_MAX))
    yield from _profiles(context, field)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield faults.invalid(field, context, detail)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield faults.invalid(field, context, detail)
    if context.get("procMount") == "Unmasked" and spec.get("hostUsers") is not False:
        detail = "`hostUsers` must be false to use `Unmasked`"
        yield faults.invalid(f"{field}.procMount", "Unmasked", detail)
    yield from _windows(context.get("windowsOptions") or {}, f"{field}.windowsOptions")
    yield from _system(context, spec, field, ONLY_LINUX_OF_CONTAINER)


def _profiles(context: Json, field: str) -> Iterator[Cause]:
    """Seccomp and AppArmor: a local profile has a name, no other has one."""
    for key, kind in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(key)
        if profile is None:
            continue
        path, local = f"{field}.{key}.localhostProfile", profile.get("localhostProfile")
        if not profile.get("type"):
            yield faults.required(f"{field}.{key}.type", f"type is required when {key} is set")
        if profile.get("type") == "Localhost":
            if not local:
                yield faults.required(path, f"must be set when {kind} type is Localhost")
            elif kind == "seccomp":
                yield from paths.relative(local, path)
            elif local != local.strip():
                yield faults.invalid(path, local, "must not be padded with whitespace")
        elif local is not None:
            yield faults.invalid(path, local, f"can only be set when {kind} type is Localhost")


def _sysctls(sysctls: list[Json], spec: Json, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        name = sysctl.get("name", "")
        if name and (len(name) > 253 or not _sysctl.fullmatch(name)):
            detail = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            yield faults.invalid(f"{field}[{index}].name", name, detail)
        elif name.replace("/", ".") in seen:
            yield faults.duplicate(f"{field}[{index}].name", name)
        seen.add(name.replace("/", "."))
        for key, prefixes in OF_NAMESPACES:
            if spec.get(key) and name.replace("/", ".").startswith(prefixes):
                yield faults.invalid(f"{field}[{index}].name", name, f"may not be specified when '{key}' is true")


def _windows(options: Json, field: str) -> Iterator[Cause]:
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        yield from faults.each(f"{field}.gmsaCredentialSpecName", name, names.dns_subdomain(name))
    specification = options.get("gmsaCredentialSpec")
    if specification is not None and not specification:
        detail = "gmsaCredentialSpec cannot be an empty string"
        yield faults.invalid(f"{field}.gmsaCredentialSpec", specification, detail)
    user = options.get("runAsUserName")
    if user is None:
        return
    if not user:
        yield faults.invalid(f"{field}.runAsUserName", user, "runAsUserName cannot be an empty string")
    elif any(ord(character) < 32 or ord(character) == 127 for character in user):
        yield faults.invalid(f"{field}.runAsUserName", user, "runAsUserName cannot contain control characters")
    elif user.count("\\") > 1:
        yield faults.invalid(f"{field}.runAsUserName", user, "runAsUserName cannot contain more than one backslash")


def _system(context: Json, spec: Json, field: str, only_linux: tuple[str, ...]) -> Iterator[Cause]:
    """What the other operating system has no use for."""
    system = (spec.get("os") or {}).get("name")
    if system == "linux" and context.get("windowsOptions") is not None:
        yield faults.forbidden(f"{field}.windowsOptions", "windows options cannot be set for a linux pod")
    if system == "windows":
        for key in only_linux:
            if context.get(key) is not None:
                yield faults.forbidden(f"{field}.{key}", "cannot be set for a windows pod")
