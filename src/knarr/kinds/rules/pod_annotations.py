"""Checks of a pod's annotations that mean something to the server, and of their changes. Texts are upstream's.

The deletion cost is a number, a mirror names its node, and profiles of old (seccomp, AppArmor) agree with the fields.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import paths
from knarr.objects import faults

Json = dict[str, Any]
MIRROR: Final = "kubernetes.io/config.mirror"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
LOCALHOST: Final = "localhost/"
KINDS: Final = ("initContainers", "containers", "ephemeralContainers")
# Type of a profile → what an annotation may say for it.
SECCOMP_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "Unconfined": ("unconfined",),
    "RuntimeDefault": ("runtime/default", "docker/default"),
}
APP_ARMOR_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "Unconfined": ("unconfined",),
    "RuntimeDefault": ("runtime/default",),
}


def of_pod(metadata: Json, spec: Json, field: str) -> Iterator[Cause]:
    """The annotations of a pod or a template; `field` is that of its metadata's annotations."""
    said = metadata.get("annotations") or {}
    is_armed = any(key.startswith(APP_ARMOR) for key in said)
    known = {each.get("name") for kind in KINDS for each in spec.get(kind) or ()} if is_armed else set()
    for key, value in said.items():
        if key == MIRROR and not spec.get("nodeName"):
            yield faults.invalid(f"{field}[{key}]", value, "must set spec.nodeName if mirror pod annotation is set")
        elif key == DELETION_COST and not _is_cost(value):
            yield faults.invalid(f"{field}[{key}]", value, "must be a 32bit integer")
        elif key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            yield from _seccomp(value, f"{field}.{key}")
        elif key.startswith(APP_ARMOR):
            yield from _app_armor(key, value, known, field)


def _is_cost(text: str) -> bool:
    """A number of 32 bits, without a plus and without zeros before it. By length first: Python reads no long ones."""
    digits = text.removeprefix("-")
    is_number = digits.isascii() and digits.isdigit() and (text.startswith("-") or text == "0" or text[0] != "0")
    digits = digits.lstrip("0") or "0"
    return is_number and len(digits) <= 10 and -(2**31) <= int("-" * text.startswith("-") + digits) < 2**31


def _seccomp(profile: str, field: str) -> Iterator[Cause]:
    if profile.startswith(LOCALHOST):
        yield from paths.relative(profile.removeprefix(LOCALHOST), field)
    elif not any(profile in texts for texts in SECCOMP_TEXTS.values()):
        yield faults.invalid(field, profile, "must be a valid seccomp profile")


def _app_armor(key: str, profile: str, known: set[Any], field: str) -> Iterator[Cause]:
    name = key.removeprefix(APP_ARMOR)
    if name not in known:
        yield faults.invalid(f"{field}[{key}]", name, "container not found")
    if profile not in ("", "runtime/default", "unconfined") and not profile.startswith(LOCALHOST):
        detail = f"invalid AppArmor profile name: {faults.shown(profile)}"
        yield faults.invalid(f"{field}[{key}]", profile, detail)


def agreeing(metadata: Json, spec: Json, field: str) -> Iterator[Cause]:
    """Where a profile is said by an annotation and by a field, both say the same; `field` is that of the spec."""
    said = metadata.get("annotations") or {}
    if not any("security" in key for key in said):
        return
    context = spec.get("securityContext") or {}
    if SECCOMP_POD in said and "seccompProfile" in context:
        yield from _seccomp_agrees(said[SECCOMP_POD], context, f"{field}.securityContext")
    is_windows = (spec.get("os") or {}).get("name") == "windows"
    for kind in KINDS:
        for index, container in enumerate(spec.get(kind) or ()):
            name, own = container.get("name", ""), container.get("securityContext") or {}
            path = f"{field}.{kind}[{index}].securityContext"
            if SECCOMP_CONTAINER + name in said and "seccompProfile" in own:
                yield from _seccomp_agrees(said[SECCOMP_CONTAINER + name], own, path)
            profile = own.get("appArmorProfile") or context.get("appArmorProfile")
            if APP_ARMOR + name in said and profile is not None and not is_windows:
                told = ("apparmor", APP_ARMOR_TEXTS)
                yield from _agrees(said[APP_ARMOR + name], profile, f"{path}.appArmorProfile", told)


def _seccomp_agrees(text: str, context: Json, field: str) -> Iterator[Cause]:
    yield from _agrees(text, context["seccompProfile"], f"{field}.seccompProfile", ("seccomp", SECCOMP_TEXTS))


def _agrees(text: str, profile: Json, field: str, told: tuple[str, Mapping[str, tuple[str, ...]]]) -> Iterator[Cause]:
    what, texts = told
    kind = profile.get("type", "")
    if (kind in texts and text not in texts[kind]) or (kind == "Localhost" and not text.startswith(LOCALHOST)):
        yield faults.forbidden(f"{field}.type", f"{what} type in annotation and field must match")
    elif kind == "Localhost" and text.removeprefix(LOCALHOST) != profile.get("localhostProfile"):
        yield faults.forbidden(f"{field}.localhostProfile", f"{what} profile in annotation and field must match")


def change(new: Json, old: Json) -> Iterator[Cause]:
    """What no change of a pod's annotations may do."""
    field = "metadata.annotations"
    given, held = (each["metadata"].get("annotations") or {} for each in (new, old))
    for key in held.keys() | given.keys():
        if given.get(key) == held.get(key):
            continue
        verb = "remove or update" if key in held else "add"
        if key.startswith(APP_ARMOR):
            yield faults.forbidden(f"{field}[{key}]", f"may not {verb} AppArmor annotations")
        elif key == MIRROR:
            yield faults.forbidden(f"{field}[{key}]", f"may not {verb} mirror pod annotation")
    yield from of_pod(new["metadata"], new.get("spec") or {}, field)
