"""Cross-field checks of a pod and of pod templates: host settings, names, tolerations, DNS, claims, Windows.

Containers are in containers.py, volumes in volumes.py, places in affinity.py, changes in pod_changes.py. Texts are
upstream's.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import (
    addresses,
    affinity,
    amounts,
    containers,
    numbers,
    pod_annotations,
    security,
    tolerations,
    volumes,
)
from knarr.objects import faults, metadata, names

Json = dict[str, Any]
NO_VOLUMES: Final[Mapping[str, Json]] = {}
# Field → how its text is judged.
NAMES: Final[tuple[tuple[str, Callable[[str], list[str]]], ...]] = (
    ("hostname", names.dns_label),
    ("subdomain", names.dns_label),
    ("serviceAccountName", names.dns_subdomain),
    ("nodeName", names.dns_subdomain),
    ("priorityClassName", names.dns_subdomain),
    ("runtimeClassName", names.dns_subdomain),
)
ONLY_LINUX: Final = ("hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
HOST_NAMESPACES: Final = ("hostNetwork", "hostPID", "hostIPC")
"""What a pod with users of its own may not share."""
HOSTNAME_OVERRIDE_MAX: Final = 64
NAMESERVERS_MAX: Final = 3
SEARCHES_MAX: Final = 32
SEARCH_CHARACTERS_MAX: Final = 2048


def pod(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from pod_spec(spec, "spec")
    listed: list[Json] = spec.get("volumes") or []
    for index, volume in enumerate(listed):
        if "image" in volume and not volume["image"].get("reference"):
            yield faults.required(f"spec.volumes[{index}].image.reference")
    name = found["metadata"].get("name", "")
    if name and any("ephemeral" in volume for volume in listed):
        yield from _made_claims(listed, name)


def _made_claims(listed: list[Json], name: str) -> Iterator[Cause]:
    """The claims that will be made for the pod: their names are names, and no other volume is one of them."""
    made = {f"{name}-{volume.get('name')}" for volume in listed if "ephemeral" in volume}
    for index, volume in enumerate(listed):
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            yield faults.invalid(f"spec.volumes[{index}].persistentVolumeClaim.claimName", claim, detail)
        if "ephemeral" in volume and volume.get("name"):
            claim = f"{name}-{volume['name']}"
            for text in names.dns_subdomain(claim):
                detail = f"PVC name {faults.shown(claim)}: {text}"
                yield faults.invalid(f"spec.volumes[{index}].name", volume["name"], detail)


def template(found: Json, field: str, claims: Mapping[str, Json] = NO_VOLUMES) -> Iterator[Cause]:
    """A PodTemplateSpec at a field; `claims` are volumes that its pods will have besides their own."""
    given = found.get("metadata") or {}
    spec = found.get("spec") or {}
    # Upstream's paths, though both are of the metadata.
    yield from metadata.labels(given.get("labels") or {}, f"{field}.labels")
    if given.get("annotations"):
        yield from metadata.annotations(given["annotations"], f"{field}.annotations")
        yield from pod_annotations.of_pod(given, spec, f"{field}.annotations")
        yield from pod_annotations.agreeing(given, spec, f"{field}.spec")
    yield from pod_spec(spec, f"{field}.spec", claims)
    if spec.get("ephemeralContainers"):
        yield faults.forbidden(f"{field}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(spec: Json, field: str, claims: Mapping[str, Json] = NO_VOLUMES) -> Iterator[Cause]:
    own: dict[str, Json] = {}
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from volumes.of_pod(volume, f"{field}.volumes[{index}]", own)
    yield from containers.all_containers(spec, field, {**claims, **own} if claims else own)
    yield from _seconds(spec, field)
    for key, judge in NAMES:
        if spec.get(key):
            yield from faults.each(f"{field}.{key}", spec[key], judge(spec[key]))
    if spec.get("tolerations"):
        yield from tolerations.each(spec["tolerations"], f"{field}.tolerations")
    for key, check in PARTS:
        if spec.get(key):
            yield from check(spec, field)
    if spec.get("hostUsers") is False:
        for key in HOST_NAMESPACES:
            if spec.get(key):
                yield faults.forbidden(f"{field}.{key}", "when `pod.Spec.HostUsers` is false")
    yield from _dns(spec, field)


def _seconds(spec: Json, field: str) -> Iterator[Cause]:
    grace, deadline = spec.get("terminationGracePeriodSeconds", 0), spec.get("activeDeadlineSeconds", 1)
    if grace < 0:
        yield faults.invalid(f"{field}.terminationGracePeriodSeconds", grace, faults.NON_NEGATIVE)
    if not 1 <= deadline < 2**31:
        detail = "must be between 1 and 2147483647, inclusive"
        yield faults.invalid(f"{field}.activeDeadlineSeconds", deadline, detail)


def _node_selector(spec: Json, field: str) -> Iterator[Cause]:
    yield from numbers.labels(spec["nodeSelector"], f"{field}.nodeSelector")


def _affinity(spec: Json, field: str) -> Iterator[Cause]:
    yield from affinity.of_pod(spec["affinity"], f"{field}.affinity")


def _spreads(spec: Json, field: str) -> Iterator[Cause]:
    yield from affinity.spreads(spec["topologySpreadConstraints"], f"{field}.topologySpreadConstraints")


def _security(spec: Json, field: str) -> Iterator[Cause]:
    yield from security.of_pod(spec["securityContext"], spec, f"{field}.securityContext")


def _shared(spec: Json, field: str) -> Iterator[Cause]:
    if spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield faults.invalid(f"{field}.securityContext.shareProcessNamespace", True, detail)


def _aliases(spec: Json, field: str) -> Iterator[Cause]:
    for index, alias in enumerate(spec["hostAliases"]):
        yield from addresses.address(alias.get("ip", ""), f"{field}.hostAliases[{index}].ip")
        for at, name in enumerate(alias.get("hostnames") or ()):
            path = f"{field}.hostAliases[{index}].hostnames[{at}]"
            yield from faults.each(path, name, names.dns_subdomain(name))


def _readiness(spec: Json, field: str) -> Iterator[Cause]:
    for index, gate in enumerate(spec["readinessGates"]):
        kind = gate.get("conditionType", "")
        yield from faults.each(f"{field}.readinessGates[{index}].conditionType", kind, names.qualified(kind))


def _scheduling_gates(spec: Json, field: str) -> Iterator[Cause]:
    for index, gate in enumerate(spec["schedulingGates"]):
        name = gate.get("name", "")
        if name:
            yield from faults.each(f"{field}.schedulingGates[{index}]", name, names.qualified(name))
    if spec.get("nodeName"):
        detail = "cannot be set until all schedulingGates have been cleared"
        yield faults.forbidden(f"{field}.nodeName", detail)


def _resource_claims(spec: Json, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, claim in enumerate(spec["resourceClaims"]):
        path, name = f"{field}.resourceClaims[{index}]", claim.get("name", "")
        if name:
            yield from faults.each(f"{path}.name", name, names.dns_label(name))
            if name in seen:
                yield faults.duplicate(f"{path}.name", name)
        seen.add(name)
        kinds = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(kinds) != 1:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            if not kinds:
                detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield faults.invalid(path, claim, detail)
        for kind in kinds:
            yield from faults.each(f"{path}.{kind}", claim[kind], names.dns_subdomain(claim[kind]))


def _overhead(spec: Json, field: str) -> Iterator[Cause]:
    yield from amounts.of_container({"limits": spec["overhead"]}, f"{field}.overhead")


def _resources(spec: Json, field: str) -> Iterator[Cause]:
    listed = [*(spec.get("containers") or ()), *_sidecars(spec)]
    yield from amounts.of_pod(spec["resources"], f"{field}.resources", listed)


def _sidecars(spec: Json) -> Iterator[Json]:
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            yield container


def _hostname_override(spec: Json, field: str) -> Iterator[Cause]:
    name, path = spec["hostnameOverride"], f"{field}.hostnameOverride"
    if len(name) > HOSTNAME_OVERRIDE_MAX:
        yield faults.invalid(path, name, f"must be no more than {HOSTNAME_OVERRIDE_MAX} characters")
    yield from faults.each(path, name, names.dns_subdomain(name))
    for key in ("hostNetwork", "setHostnameAsFQDN"):
        if spec.get(key):
            yield faults.forbidden(path, f"may not be specified when {key} is true")


def _system(spec: Json, field: str) -> Iterator[Cause]:
    name = spec["os"].get("name", "")
    if not name:
        yield faults.required(f"{field}.os.name", "cannot be empty")
    elif name not in ("linux", "windows"):
        yield faults.unsupported(f"{field}.os.name", name, ("linux", "windows"))
    if name == "windows":
        for key in ONLY_LINUX:
            if spec.get(key) is not None:
                yield faults.forbidden(f"{field}.{key}", "cannot be set for a windows pod")


def _dns(spec: Json, field: str) -> Iterator[Cause]:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            detail = "must provide `dnsConfig` when `dnsPolicy` is None"
            yield faults.required(f"{field}.dnsConfig", detail)
        elif not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield faults.required(f"{field}.dnsConfig.nameservers", detail)
    if config:
        yield from _dns_config(config, f"{field}.dnsConfig")


def _dns_config(config: Json, field: str) -> Iterator[Cause]:
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > NAMESERVERS_MAX:
        detail = f"must not have more than {NAMESERVERS_MAX} nameservers"
        yield faults.invalid(f"{field}.nameservers", servers, detail)
    for index, server in enumerate(servers):
        yield from addresses.address(server, f"{field}.nameservers[{index}]")
    if len(searches) > SEARCHES_MAX:
        yield faults.invalid(f"{field}.searches", searches, f"must not have more than {SEARCHES_MAX} search paths")
    if len(" ".join(searches)) > SEARCH_CHARACTERS_MAX:
        detail = f"must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces) in the search list"
        yield faults.invalid(f"{field}.searches", searches, detail)
    for index, search in enumerate(searches):
        # Since 1.32 "." alone and labels with underscores are search paths.
        plain = search.removesuffix(".").replace("_", "a")
        if plain:
            yield from faults.each(f"{field}.searches[{index}]", search, names.dns_subdomain(plain))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield faults.required(f"{field}.options[{index}]", "must not be empty")


# Field of a PodSpec → what is judged once it is set.
PARTS: Final[tuple[tuple[str, Callable[[Json, str], Iterator[Cause]]], ...]] = (
    ("nodeSelector", _node_selector),
    ("affinity", _affinity),
    ("topologySpreadConstraints", _spreads),
    ("securityContext", _security),
    ("shareProcessNamespace", _shared),
    ("hostAliases", _aliases),
    ("readinessGates", _readiness),
    ("schedulingGates", _scheduling_gates),
    ("resourceClaims", _resource_claims),
    ("overhead", _overhead),
    ("resources", _resources),
    ("hostnameOverride", _hostname_override),
    ("os", _system),
)
