"""The Node authorizer: what a kubelet (user `system:node:NAME` in group `system:nodes`) may do. RBAC is asked after it.

A kubelet reads the Secrets, ConfigMaps and claims that pods bound to its node refer to, the pods of its node, and its
own Node, Lease and CSINode; tokens it asks for accounts of its pods. What else every kubelet may are the rules of the
role system:node. What a body may say is admission/node_restriction.py's. Spec: "Using Node Authorization".
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from knarr.apiserver.access import REFUSED, Attributes, Decision
from knarr.apiserver.bootstrap import roles
from knarr.apiserver.context import User
from knarr.apiserver.rbac import Rule
from knarr.store.store import Store

GROUP: Final = "system:nodes"
PREFIX: Final = "system:node:"
LEASE_NAMESPACE: Final = "kube-node-lease"
Json = Mapping[str, Any]
# A sort of reference → (the field of a volume, the field in it that names the object).
_VOLUMES: Final = (
    ("secrets", "secret", "secretName"),
    ("configmaps", "configMap", "name"),
    ("persistentvolumeclaims", "persistentVolumeClaim", "claimName"),
)
_READ: Final = ("get", "list", "watch")


def node_name(user: User) -> str:
    """The node that a user speaks for; "" for everybody else."""
    if GROUP in user.groups and user.name.startswith(PREFIX):
        return user.name.removeprefix(PREFIX)
    return ""


class NodeAuthorizer:
    """Decisions by the pods in the store as they are now: nothing is kept, so nothing is stale."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules = tuple(msgspec.convert(roles.rules("system:node"), tuple[Rule, ...]))

    def decide(self, user: User, wanted: Attributes) -> Decision:
        """Allowed, or not by this authorizer; the reason then says why if the node asked for what is another's."""
        node = node_name(user)
        if not node:
            return REFUSED
        narrow = _NARROWED.get((wanted.group, wanted.resource)) if not wanted.path else None
        if narrow is not None:
            why = narrow(self, node, wanted)
            return Decision(not why, why)
        return Decision(any(rule.allows(wanted) for rule in self._rules))

    def pod(self, namespace: str, name: str) -> Json | None:
        entry = self._store.get(f"/registry/pods/{namespace}/{name}")
        found: Json | None = msgspec.json.decode(entry.value) if entry is not None else None
        return found

    def refers(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod on the node refers to the object."""
        return any((resource, name) in references(pod) for pod in self._pods_naming(node, namespace, name))

    def _pods_naming(self, node: str, namespace: str, name: str) -> Iterator[Json]:
        # A search through the bytes first: of thousands of pods only those few are decoded that can matter.
        mark, named = f'"nodeName":"{node}"'.encode(), f'"{name}"'.encode()
        for entry in self._store.list(f"/registry/pods/{namespace}/").entries:
            if mark in entry.value and named in entry.value:
                pod = msgspec.json.decode(entry.value)
                if on_node(pod, node):
                    yield pod

    def volume_is_used(self, node: str, name: str) -> bool:
        """Whether the PersistentVolume is bound to a claim that a pod on the node uses."""
        entry = self._store.get(f"/registry/persistentvolumes/{name}")
        if entry is None:
            return False
        claim = (msgspec.json.decode(entry.value).get("spec") or {}).get("claimRef") or {}
        return self.refers(node, "persistentvolumeclaims", claim.get("namespace", ""), claim.get("name", ""))

    def opens_a_volume(self, node: str, namespace: str, name: str) -> bool:
        """Whether the Secret is one that a PersistentVolume needs which is bound to a claim in use on the node."""
        named = f'"{name}"'.encode()
        for entry in self._store.list("/registry/persistentvolumes/").entries:
            if named in entry.value:
                volume = msgspec.json.decode(entry.value)
                if (namespace, name) in volume_secrets(volume) and self.volume_is_used(
                    node, volume["metadata"]["name"]
                ):
                    return True
        return False


def volume_secrets(volume: Json) -> frozenset[tuple[str, str]]:
    """(namespace, name) of each Secret that a kubelet needs for a PersistentVolume. Pure."""
    return frozenset(_volume_secrets(volume.get("spec") or {}))


def _volume_secrets(spec: Json) -> Iterator[tuple[str, str]]:
    claimed = (spec.get("claimRef") or {}).get("namespace", "")
    for source in spec.values():
        if isinstance(source, dict):
            if source.get("secretName"):  # azureFile's
                yield source.get("secretNamespace") or claimed, source["secretName"]
            for field in ("secretRef", "nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"):
                secret = source.get(field) or {}
                yield secret.get("namespace") or claimed, secret.get("name", "")


def on_node(pod: Json, node: str) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName") == node)


def references(pod: Json) -> frozenset[tuple[str, str]]:
    """(resource, name) of each object in its namespace that a pod makes its kubelet read. Pure."""
    return frozenset(_references(pod.get("spec") or {}))


def _references(spec: Json) -> Iterator[tuple[str, str]]:
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)
        if volume.get("ephemeral"):
            yield "persistentvolumeclaims", volume.get("name", "")
        for source in (volume.get("projected") or {}).get("sources") or ():
            for resource, field in (("secrets", "secret"), ("configmaps", "configMap")):
                yield resource, (source.get(field) or {}).get("name", "")
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            yield from _of_container(container)


def _of_volume(volume: Json) -> Iterator[tuple[str, str]]:
    for resource, source, field in _VOLUMES:
        yield resource, (volume.get(source) or {}).get(field, "")
    for source in volume.values():  # the secrets of csi, cephfs, iscsi and the like
        if isinstance(source, dict):
            for field in ("secretRef", "nodePublishSecretRef"):
                yield "secrets", (source.get(field) or {}).get("name", "")


def _of_container(container: Json) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        yield "configmaps", (source.get("configMapRef") or {}).get("name", "")
        yield "secrets", (source.get("secretRef") or {}).get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name", "")
        yield "secrets", (source.get("secretKeyRef") or {}).get("name", "")


# -- each answers "" or why not ---


def _referred(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.verb not in _READ:
        return "can only read resources of this type"
    if wanted.subresource:
        return "cannot read subresource"
    if not wanted.namespace:
        return "can only read namespaced object of this type"
    if not wanted.name:
        return "No Object name found"
    if nodes.refers(node, wanted.resource, wanted.namespace, wanted.name):
        return ""
    if wanted.resource == "secrets" and nodes.opens_a_volume(node, wanted.namespace, wanted.name):
        return ""
    return _unrelated(node)


def _unrelated(node: str) -> str:
    return f"no relationship found between node '{node}' and this object"


def _claim(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    # A node that grew a volume says so in the claim's status.
    is_status = wanted.subresource == "status" and wanted.verb in ("get", "update", "patch")
    if not is_status:
        return _referred(nodes, node, wanted)
    is_used = nodes.refers(node, wanted.resource, wanted.namespace, wanted.name)
    return "" if is_used else _unrelated(node)


def _volume(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.verb not in _READ or wanted.subresource:
        return "can only read resources of this type"
    if not wanted.name:
        return "No Object name found"
    return "" if nodes.volume_is_used(node, wanted.name) else _unrelated(node)


def _account(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.subresource != "token":
        return _referred(nodes, node, wanted)
    if wanted.verb != "create":
        return "can only create tokens for individual service accounts"
    if nodes.refers(node, "serviceaccounts", wanted.namespace, wanted.name):
        return ""
    return _unrelated(node)


def _pod(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.verb in ("list", "watch"):
        if f"spec.nodeName={node}" in wanted.field_selector.replace("==", "=").split(","):
            return ""
        if not wanted.name:
            return "can only list/watch pods with spec.nodeName field selector"
    if wanted.verb in _READ:
        pod = nodes.pod(wanted.namespace, wanted.name)
        return "" if pod is None or on_node(pod, node) else _unrelated(node)
    what = f"{wanted.verb} {wanted.subresource}".strip()
    if what in ("create", "delete", "create eviction", "update status", "patch status"):
        return ""  # whose pod it is, node_restriction.py asks
    return "can only read, delete and report the status of pods"


def _node(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.subresource not in ("", "status"):
        return "can only access its own node and its status"
    if wanted.verb in _READ and wanted.name != node:
        what = f"'{wanted.name}'" if wanted.name else "all nodes"
        return f"node '{node}' cannot read {what}, only its own Node object"
    if wanted.verb in ("create", "update", "patch", "delete", *_READ):
        return ""  # whose Node it is, node_restriction.py asks of writes
    return "can only read and write single nodes"


def _lease(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.verb not in ("get", "create", "update", "patch", "delete"):
        return "can only get, create, update, patch, or delete a node lease"
    if wanted.namespace != LEASE_NAMESPACE:
        return f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
    if wanted.verb != "create" and wanted.name != node:
        return "can only access node lease with the same name as the requesting node"
    return ""


def _csi_node(nodes: NodeAuthorizer, node: str, wanted: Attributes) -> str:
    if wanted.verb not in ("get", "create", "update", "patch", "delete"):
        return "can only get, create, update, patch, or delete a CSINode"
    if wanted.verb != "create" and wanted.name != node:
        return "can only access CSINode with the same name as the requesting node"
    return ""


_NARROWED: Final[dict[tuple[str, str], Callable[[NodeAuthorizer, str, Attributes], str]]] = {
    ("", "secrets"): _referred,
    ("", "configmaps"): _referred,
    ("", "persistentvolumeclaims"): _claim,
    ("", "persistentvolumes"): _volume,
    ("", "serviceaccounts"): _account,
    ("", "pods"): _pod,
    ("", "nodes"): _node,
    ("coordination.k8s.io", "leases"): _lease,
    ("storage.k8s.io", "csinodes"): _csi_node,
}
