"""Checks of volumes: one source each, and what each source asks. Texts are upstream's.

For pods' volumes (`of_pod`) and, by the same table, for the sources of PersistentVolumes (`source`). Not here: mounts
(mounts.py), a PersistentVolume's own settings (storage.py).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import fields, numbers, paths
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
Check = Callable[[Json, str], Iterator[Cause]]
HOST_PATH_TYPES: Final = (
    "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
CSI_SECRETS: Final = (
    "nodePublishSecretRef", "controllerPublishSecretRef", "nodeStageSecretRef", "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)  # fmt: skip


def of_pod(volume: Json, field: str, seen: dict[str, Json]) -> Iterator[Cause]:
    """A pod's volume; `seen` are those before it by name, and it is added."""
    name = volume.get("name", "")
    if name:
        yield from faults.each(f"{field}.name", name, names.dns_label(name))
        if name in seen:
            yield faults.duplicate(f"{field}.name", name)
    seen[name] = volume
    sources = [key for key in volume if key != "name"]
    for key in sources[1:]:
        yield faults.forbidden(f"{field}.{key}", "may not specify more than 1 volume type")
    if not sources:
        yield faults.required(field, "must specify a volume type")
    elif sources[0] in SOURCES:
        yield from SOURCES[sources[0]](volume[sources[0]] or {}, f"{field}.{sources[0]}")


def source(kind: str, found: Json, field: str) -> Iterator[Cause]:
    """One source of a PersistentVolume."""
    if kind in SOURCES:
        yield from SOURCES[kind](found, field)


def _needs(*keys: str) -> Check:
    """A source that asks for nothing but that these are not empty."""

    def check(found: Json, field: str) -> Iterator[Cause]:
        for key in keys:
            if not found.get(key):
                yield faults.required(f"{field}.{key}")

    return check


def _empty_dir(found: Json, field: str) -> Iterator[Cause]:
    if str(found.get("sizeLimit", "")).startswith("-"):
        yield faults.forbidden(f"{field}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(found: Json, field: str) -> Iterator[Cause]:
    if not found.get("path"):
        yield faults.required(f"{field}.path")
        return
    yield from paths.no_backsteps(found["path"], f"{field}.path")
    kind = found.get("type")
    if kind and kind not in HOST_PATH_TYPES:
        yield faults.unsupported(f"{field}.type", kind, HOST_PATH_TYPES)


def _mode(found: Json, key: str, field: str) -> Iterator[Cause]:
    mode = found.get(key)
    if mode is not None and not 0 <= mode <= 0o777:
        detail = "must be a number between 0 and 0777 (octal), both inclusive"
        yield faults.invalid(f"{field}.{key}", mode, detail)


def _items(found: Json, field: str) -> Iterator[Cause]:
    for index, item in enumerate(found.get("items") or ()):
        yield from key_to_path(item, f"{field}.items[{index}]")


def key_to_path(item: Json, field: str) -> Iterator[Cause]:
    if not item.get("key"):
        yield faults.required(f"{field}.key")
    if not item.get("path"):
        yield faults.required(f"{field}.path")
    else:
        yield from paths.local(item["path"], f"{field}.path")
    yield from _mode(item, "mode", field)


def _secret(found: Json, field: str) -> Iterator[Cause]:
    if not found.get("secretName"):
        yield faults.required(f"{field}.secretName")
    yield from _mode(found, "defaultMode", field)
    yield from _items(found, field)


def _config_map(found: Json, field: str) -> Iterator[Cause]:
    if not found.get("name"):
        yield faults.required(f"{field}.name")
    yield from _mode(found, "defaultMode", field)
    yield from _items(found, field)


def _downward(found: Json, field: str) -> Iterator[Cause]:
    yield from _mode(found, "defaultMode", field)
    for index, item in enumerate(found.get("items") or ()):
        yield from _downward_item(item, f"{field}.items[{index}]")


def _downward_item(item: Json, field: str) -> Iterator[Cause]:
    if not item.get("path"):
        yield faults.required(f"{field}.path")
    else:
        yield from paths.local(item["path"], f"{field}.path")
    yield from _mode(item, "mode", field)
    of_object, of_resources = item.get("fieldRef"), item.get("resourceFieldRef")
    if of_object is not None:
        yield from fields.of_object(of_object, f"{field}.fieldRef", fields.IN_VOLUMES)
        if of_resources is not None:
            yield faults.invalid(field, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
    elif of_resources is not None:
        yield from fields.of_resources(of_resources, f"{field}.resourceFieldRef", is_in_volume=True)
    else:
        yield faults.required(field, "one of fieldRef and resourceFieldRef is required")


def _projected(found: Json, field: str) -> Iterator[Cause]:
    yield from _mode(found, "defaultMode", field)
    taken: set[str] = set()
    for index, each in enumerate(found.get("sources") or ()):
        path = f"{field}.sources[{index}]"
        kinds = [key for key in PROJECTED if key in each]
        if len(kinds) > 1:
            yield faults.forbidden(path, "may not specify more than 1 volume type per source")
        for key in kinds[:1]:
            yield from PROJECTED[key](each[key] or {}, f"{path}.{key}")
            for where in _written(each[key] or {}):
                if where in taken:
                    yield faults.invalid(path, where, "conflicting duplicate paths")
                taken.add(where)


def _written(found: Json) -> Iterator[str]:
    """The paths that a projected source writes, as far as it names them."""
    if found.get("path"):
        yield found["path"]
    for item in found.get("items") or ():
        if item.get("path"):
            yield item["path"]


def _named_items(found: Json, field: str) -> Iterator[Cause]:
    if not found.get("name"):
        yield faults.required(f"{field}.name")
    yield from _items(found, field)


def _token(found: Json, field: str) -> Iterator[Cause]:
    yield from numbers.token_seconds(found.get("expirationSeconds"), f"{field}.expirationSeconds")
    if not found.get("path"):
        yield faults.required(f"{field}.path")
    else:
        yield from paths.local(found["path"], f"{field}.path")


def _trust_bundle(found: Json, field: str) -> Iterator[Cause]:
    name, signer = found.get("name"), found.get("signerName")
    if name and signer:
        yield faults.invalid(field, found, "only one of name and signerName may be used")
    elif not name and not signer:
        yield faults.required(field, "either name or signerName must be specified")
    if found.get("labelSelector") is not None and name:
        detail = "labelSelector must be unset if name is specified"
        yield faults.invalid(f"{field}.labelSelector", found["labelSelector"], detail)
    yield from numbers.label_selector(found.get("labelSelector"), f"{field}.labelSelector")
    if not found.get("path"):
        yield faults.required(f"{field}.path")
    else:
        yield from paths.local(found["path"], f"{field}.path")


def _nfs(found: Json, field: str) -> Iterator[Cause]:
    yield from _needs("server", "path")(found, field)
    if found.get("path") and not found["path"].startswith("/"):
        yield faults.invalid(f"{field}.path", found["path"], "must be an absolute path")


def _iscsi(found: Json, field: str) -> Iterator[Cause]:
    yield from _needs("targetPortal", "iqn")(found, field)
    if found.get("iqn") and not found["iqn"].startswith(("iqn.", "eui.", "naa.")):
        yield faults.invalid(f"{field}.iqn", found["iqn"], "must be valid format")
    yield from numbers.between(found.get("lun"), f"{field}.lun", (0, 255))
    if (found.get("chapAuthDiscovery") or found.get("chapAuthSession")) and not found.get("secretRef"):
        yield faults.required(f"{field}.secretRef")


def _fc(found: Json, field: str) -> Iterator[Cause]:
    names_of, wwids = found.get("targetWWNs"), found.get("wwids")
    if not names_of and not wwids:
        yield faults.required(f"{field}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if names_of and wwids:
        yield faults.invalid(
            f"{field}.targetWWNs", names_of, "targetWWNs and wwids can not be specified simultaneously"
        )
    if names_of:
        if found.get("lun") is None:
            yield faults.required(f"{field}.lun", "lun is required if targetWWNs is specified")
        yield from numbers.between(found.get("lun"), f"{field}.lun", (0, 255))


def _git_repo(found: Json, field: str) -> Iterator[Cause]:
    yield from _needs("repository")(found, field)
    yield from paths.local(found.get("directory", ""), f"{field}.directory")


def _disk(name: str) -> Check:
    def check(found: Json, field: str) -> Iterator[Cause]:
        yield from _needs(name)(found, field)
        partition = found.get("partition", 0)
        if not 0 <= partition <= 255:
            yield faults.invalid(f"{field}.partition", partition, "must be between 1 and 255, inclusive")

    return check


def _csi(found: Json, field: str) -> Iterator[Cause]:
    yield from csi_driver(found.get("driver", ""), f"{field}.driver")
    for key in CSI_SECRETS:
        if key in found and not found[key].get("name"):
            yield faults.required(f"{field}.{key}.name")
        elif key in found:
            name = found[key]["name"]
            yield from faults.each(f"{field}.{key}.name", name, names.dns_subdomain(name))


def csi_driver(name: str, field: str) -> Iterator[Cause]:
    """The name of a CSI driver."""
    if not name:
        yield faults.required(field)
        return
    if len(name) > 63:
        yield faults.too_long(field, 63)
    yield from faults.each(field, name, names.dns_subdomain(name.lower()))


def _ephemeral(found: Json, field: str) -> Iterator[Cause]:
    template = found.get("volumeClaimTemplate")
    if template is None:
        yield faults.required(f"{field}.volumeClaimTemplate")
        return
    metadata = template.get("metadata") or {}
    for key in metadata:
        if key not in ("annotations", "labels", "creationTimestamp"):
            detail = "not allowed here; only labels and annotations are"
            yield faults.forbidden(f"{field}.volumeClaimTemplate.metadata.{key}", detail)
    yield from claim_spec(template.get("spec") or {}, f"{field}.volumeClaimTemplate.spec")


ACCESS_MODES: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


def access_modes(spec: Json, field: str) -> Iterator[Cause]:
    """Of a claim or a PersistentVolume."""
    modes = spec.get("accessModes") or ()
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield faults.unsupported(f"{field}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        yield faults.forbidden(f"{field}.accessModes", detail)


def claim_spec(spec: Json, field: str) -> Iterator[Cause]:
    """A PersistentVolumeClaimSpec, of a claim or a template of one."""
    if not spec.get("accessModes"):
        yield faults.required(f"{field}.accessModes", "at least 1 access mode is required")
    yield from access_modes(spec, field)
    yield from numbers.label_selector(spec.get("selector"), f"{field}.selector")
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if amount is None:
        yield faults.required(f"{field}.resources[storage]")
    elif quantity.parse(amount) <= 0:
        yield faults.invalid(f"{field}.resources[storage]", amount, faults.NOT_POSITIVE)
    for key in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(key):
            yield from faults.each(f"{field}.{key}", spec[key], names.dns_subdomain(spec[key]))
    for key in ("dataSource", "dataSourceRef"):
        if spec.get(key) is not None:
            yield from _origin(spec[key], f"{field}.{key}")
    plain, full = spec.get("dataSource"), spec.get("dataSourceRef") or {}
    if full.get("namespace"):
        yield from faults.each(
            f"{field}.dataSourceRef.namespace", full["namespace"], names.dns_label(full["namespace"])
        )
        if plain is not None:
            detail = "may not be specified when dataSourceRef.namespace is specified"
            yield faults.invalid(field, f"{field}.dataSource", detail)
    elif plain is not None and full and plain != {key: each for key, each in full.items() if key != "namespace"}:
        yield faults.invalid(field, f"{field}.dataSource", "must match dataSourceRef")


def _origin(reference: Json, field: str) -> Iterator[Cause]:
    for key in ("name", "kind"):
        if not reference.get(key):
            yield faults.required(f"{field}.{key}")
    if not reference.get("apiGroup") and reference.get("kind") != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        yield faults.invalid(field, reference.get("kind", ""), detail)
    if reference.get("apiGroup"):
        yield from faults.each(f"{field}.apiGroup", reference["apiGroup"], names.dns_subdomain(reference["apiGroup"]))


def _image(found: Json, field: str) -> Iterator[Cause]:
    reference = found.get("reference", "")
    if reference != reference.strip():
        yield faults.invalid(f"{field}.reference", reference, "must not have leading or trailing whitespace")


PROJECTED: Final[Mapping[str, Check]] = {
    "secret": _named_items,
    "configMap": _named_items,
    "downwardAPI": _downward,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
    "podCertificate": _needs("signerName", "keyType"),
}
# Field of a volume → what its value must be. Sources that only have required fields are the schema's.
SOURCES: Final[Mapping[str, Check]] = {
    "awsElasticBlockStore": _disk("volumeID"),
    "cephfs": _needs("monitors"),
    "configMap": _config_map,
    "csi": _csi,
    "downwardAPI": _downward,
    "emptyDir": _empty_dir,
    "ephemeral": _ephemeral,
    "fc": _fc,
    "flexVolume": _needs("driver"),
    "gcePersistentDisk": _disk("pdName"),
    "gitRepo": _git_repo,
    "glusterfs": _needs("endpoints", "path"),
    "hostPath": _host_path,
    "image": _image,
    "iscsi": _iscsi,
    "nfs": _nfs,
    "persistentVolumeClaim": _needs("claimName"),
    "projected": _projected,
    "rbd": _needs("monitors", "image"),
    "secret": _secret,
}
