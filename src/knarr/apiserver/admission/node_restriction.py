"""NodeRestriction: a kubelet writes its own Node, Lease and CSINode and the pods of its node, and nobody else's.

`request` looks at what the path names, before a body is read; `check` at the object that will be stored; `token` at
what a token is bound to. What may be asked for at all is apiserver/nodes.py's. Spec: "Admission Control Reference".
"""

from typing import Final

from knarr.apiserver import nodes, status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base.errors import Forbidden

WRITES: Final = ("create", "update", "patch", "delete", "deletecollection")
MIRROR: Final = "kubernetes.io/config.mirror"
# Of the labels below kubernetes.io and k8s.io a kubelet sets these, and those below LABEL_PREFIXES, and no other.
LABELS: Final = frozenset(
    (
        "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    )
)  # fmt: skip
LABEL_DOMAINS: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")


def request(context: RequestContext) -> None:
    """Refuse a kubelet's write to what its path says is another's. Raises Forbidden."""
    node, route = nodes.node_name(context.user), context.route
    if not node or route.verb not in WRITES:
        return
    match context.resource.qualified:
        case "nodes" if route.name and route.name != node:
            raise _forbidden(context, f'node "{node}" is not allowed to modify node "{route.name}"')
        case "pods" if route.name:
            pod = context.server.nodes.pod(route.namespace, route.name)
            if pod is not None and not nodes.on_node(pod, node):
                raise _forbidden(context, f'node "{node}" can only {_on_pod(context)} set to itself')


def _on_pod(context: RequestContext) -> str:
    match context.route.subresource:
        case "status":
            return "update pod status for pods with spec.nodeName"
        case "eviction":
            return "evict pods with spec.nodeName"
        case _:
            return "delete pods with spec.nodeName"


def check(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Refuse what a kubelet may not say of itself. Raises Forbidden."""
    node = nodes.node_name(context.user)
    if node:
        match context.resource.qualified:
            case "pods" if old is None:
                _check_mirror(context, node, obj)
            case "nodes":
                _check_node(context, node, obj, old)
            case "leases.coordination.k8s.io" | "csinodes.storage.k8s.io" if old is None:
                _check_own(context, node, obj)
    return obj


def _check_mirror(context: RequestContext, node: str, pod: Json) -> None:
    """A kubelet creates nothing but mirrors of its static pods, and these refer to nothing of the API's."""
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        raise _forbidden(context, f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
    if not nodes.on_node(pod, node):
        raise _forbidden(context, f'node "{node}" can only create pods with spec.nodeName set to itself')
    named = {resource for resource, name in nodes.references(pod) if name}
    if not pod["spec"].get("serviceAccountName"):
        named.discard("serviceaccounts")
    if named:
        raise _forbidden(context, f'node "{node}" can not create pods that reference {", ".join(sorted(named))}')


def _check_own(context: RequestContext, node: str, obj: Json) -> None:
    if obj["metadata"].get("name") != node:
        raise _forbidden(context, f'node "{node}" can only create {context.resource.plural} with its own name')


def _check_node(context: RequestContext, node: str, obj: Json, old: Json | None) -> None:
    name = obj["metadata"].get("name")
    if name != node:
        raise _forbidden(context, f'node "{node}" is not allowed to modify node "{name}"')
    if old is not None and (old.get("spec") or {}).get("taints") != (obj.get("spec") or {}).get("taints"):
        raise _forbidden(context, f'node "{node}" is not allowed to modify taints')
    if old is None and obj["metadata"].get("ownerReferences"):
        raise _forbidden(context, f'node "{node}" is not allowed to set ownerReferences')
    before = (old["metadata"].get("labels") if old else None) or {}
    after = obj["metadata"].get("labels") or {}
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if refused := sorted(key for key in changed if not _may_label(key)):
        raise _forbidden(context, f'node "{node}" is not allowed to modify labels: {", ".join(refused)}')


def _may_label(key: str) -> bool:
    domain = key.rpartition("/")[0]
    is_reserved = any(domain == each or domain.endswith(f".{each}") for each in ("kubernetes.io", "k8s.io"))
    if not is_reserved or key in LABELS:
        return True
    return any(domain == each or domain.endswith(f".{each}") for each in LABEL_DOMAINS)


def token(context: RequestContext, ref: Json | None) -> None:
    """A kubelet's tokens are bound to a pod of its node. Raises Forbidden."""
    node = nodes.node_name(context.user)
    if not node:
        return
    if not ref or ref.get("kind") != "Pod" or not ref.get("name") or not ref.get("uid"):
        raise _forbidden(context, f'node "{node}" can only request tokens bound to a pod, by name and UID')
    pod = context.server.nodes.pod(context.route.namespace, ref["name"])
    if pod is not None and not nodes.on_node(pod, node):
        raise _forbidden(context, f'node "{node}" cannot request a token bound to a pod on a different node')


def _forbidden(context: RequestContext, why: str) -> Forbidden:
    return status.forbidden(context.resource.qualified, context.route.name, why)
