"""Discovery: which groups, versions, resources and verbs are served, in the aggregated and in the older form.

Made from the kinds' rows, encoded once per document. `answer` is pure: path and Accept header in, bytes out.
Spec: apidiscovery.k8s.io/v2 (and v2beta1, which kubectl 1.26 to 1.29 ask for); APIGroupList, APIResourceList.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from knarr.apiserver.resources import Resource, Resources
from knarr.kinds.registry import Kind, Subresource

JSON: Final = "application/json"
AGGREGATED: Final = {
    version: f"{JSON};g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
}
_VERSION = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?", re.ASCII)
_STABILITY: Final = {None: 2, "beta": 1, "alpha": 0}

Document = Mapping[str, Any]


class Discovery:
    """The documents of a set of kinds. `address` is where clients reach the server."""

    def __init__(self, kinds: Iterable[Kind], address: str = "127.0.0.1:6443") -> None:
        self._address = address
        self._groups: dict[str, dict[str, list[Resource]]] = {}
        for resource in Resources(kinds):
            served = self._groups.setdefault(resource.kind.group, {})
            served.setdefault(resource.kind.version, []).append(resource)
        self._encoded = lru_cache(maxsize=256)(self._encode)

    def answer(self, path: str, accept: str) -> tuple[str, bytes] | None:
        """(content type, body) of a discovery path, None if it is no such path."""
        path = path.rstrip("/")
        if path in ("/api", "/apis"):
            wanted = next((version for version in _asked(accept) if version in AGGREGATED), "")
            if wanted:
                return AGGREGATED[wanted], self._encoded(path, wanted)
        body = self._encoded(path, "")
        return (JSON, body) if body else None

    def _encode(self, path: str, aggregated: str) -> bytes:
        document = self._aggregated(path, aggregated) if aggregated else self._plain(path)
        return msgspec.json.encode(document) if document is not None else b""

    def _aggregated(self, path: str, version: str) -> Document:
        names = [""] if path == "/api" else [name for name in sorted(self._groups) if name]
        items = [
            {
                "metadata": {"name": name, "creationTimestamp": None},
                "versions": [
                    {
                        "version": served,
                        "resources": [_aggregated_resource(each.kind) for each in self._groups[name][served]],
                        "freshness": "Current",
                    }
                    for served in preferred(self._groups[name])
                ],
            }
            for name in names
            if name in self._groups
        ]
        api = f"apidiscovery.k8s.io/{version}"
        return {"kind": "APIGroupDiscoveryList", "apiVersion": api, "metadata": {}, "items": items}

    def _plain(self, path: str) -> Document | None:
        match path.split("/")[1:]:
            case ["api"]:
                address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}]
                return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}
            case ["apis"]:
                groups = [self._group(name) for name in sorted(self._groups) if name]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["apis", group] if group in self._groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["api", version] if version in self._groups.get("", {}):
                return _resource_list(version, self._groups[""][version])
            case ["apis", group, version] if version in self._groups.get(group, {}):
                return _resource_list(f"{group}/{version}", self._groups[group][version])
            case _:
                return None

    def _group(self, name: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{name}/{each}", "version": each} for each in preferred(self._groups[name])]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def preferred(versions: Iterable[str]) -> list[str]:
    """Versions with the preferred one first: stable before beta before alpha, then the higher number."""

    def rank(version: str) -> tuple[int, int, int]:
        found = _VERSION.fullmatch(version)
        assert found is not None, version
        return _STABILITY[found[2]], int(found[1]), int(found[3] or 0)

    return sorted(versions, key=rank, reverse=True)


def _asked(accept: str) -> list[str]:
    """The versions of aggregated discovery that the Accept header names, in its order."""
    asked = []
    for clause in accept.replace(" ", "").split(","):
        parameters = dict(part.split("=", 1) for part in clause.split(";")[1:] if "=" in part)
        if clause.startswith(JSON) and parameters.get("as") == "APIGroupDiscoveryList":
            asked.append(parameters.get("v", ""))
    return asked


def _kind_names(kind: Kind, subresource: Subresource | None = None) -> tuple[str, str, str]:
    return subresource.kind if subresource and subresource.kind else (kind.group, kind.version, kind.kind)


def _response_kind(names: Sequence[str]) -> dict[str, str]:
    return {"group": names[0], "version": names[1], "kind": names[2]}


def _aggregated_resource(kind: Kind) -> Document:
    resource: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": _response_kind(_kind_names(kind)),
        "scope": "Namespaced" if kind.is_namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    }
    if kind.short_names:
        resource["shortNames"] = kind.short_names
    if kind.categories:
        resource["categories"] = kind.categories
    if kind.subresources:
        resource["subresources"] = [
            {"subresource": name, "responseKind": _response_kind(_kind_names(kind, each)), "verbs": each.verbs}
            for name, each in kind.subresources.items()
        ]
    return resource


def _storage_version_hash(stored: Kind) -> str:
    """Eight bytes that change when objects are stored in another version; upstream's form of them."""
    name = f"{stored.group}/{stored.version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


def _resource_list(group_version: str, served: Sequence[Resource]) -> Document:
    resources = []
    for resource in served:
        kind = resource.kind
        row: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.is_namespaced,
            "kind": kind.kind,
            "verbs": kind.verbs,
        }
        if kind.short_names:
            row["shortNames"] = kind.short_names
        if kind.categories:
            row["categories"] = kind.categories
        if "watch" in kind.verbs:  # what is made for the answer alone is not stored
            row["storageVersionHash"] = _storage_version_hash(resource.stored)
        resources.append(row)
        for name, each in kind.subresources.items():
            group, version, word = _kind_names(kind, each)
            foreign = {"group": group, "version": version} if (group, version) != (kind.group, kind.version) else {}
            resources.append(
                {
                    "name": f"{kind.plural}/{name}",
                    "singularName": "",
                    "namespaced": kind.is_namespaced,
                    **foreign,
                    "kind": word,
                    "verbs": each.verbs,
                }
            )
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
