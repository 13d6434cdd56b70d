"""What log, exec, attach, port-forward and proxy share: the stored pod, its node's kubelet, and the container meant.

Messages are upstream's (registry/core/pod/strategy.go, behaviour only).
"""

from typing import Any

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import Json, RequestContext
from knarr.base.errors import BadRequest, KnarrError
from knarr.wire.http_client import Target


def stored(context: RequestContext, plural: str, namespace: str, name: str) -> Json:
    """A core object as it is stored now. Raises NotFound."""
    resource = context.server.resources.by_path["", "v1", plural]
    entry = context.server.store.get(resource.key(namespace, name))
    if entry is None:
        raise status.not_found(resource.qualified, name)
    found: Json = msgspec.json.decode(entry.value)
    return found


def pod_of(context: RequestContext) -> Json:
    return stored(context, "pods", context.route.namespace, context.route.name)


def kubelet_of(context: RequestContext, pod: Json) -> Target | None:
    """The kubelet of the pod's node; None for a pod that has no node yet."""
    node_name = pod.get("spec", {}).get("nodeName", "")
    if not node_name:
        return None
    return node_target(context, node_name)


def node_target(context: RequestContext, node_name: str) -> Target:
    return context.server.kubelets.target(stored(context, "nodes", "", node_name), context.server.pki)


def container_of(pod: Json, wanted: str) -> str:
    """The container that a request means. Raises BadRequest when it must name one, or names none of the pod's. Pure."""
    name = pod["metadata"]["name"]
    spec = pod.get("spec", {})
    main, first, extra = (_names(spec.get(key)) for key in ("containers", "initContainers", "ephemeralContainers"))
    if wanted:
        if wanted not in (*main, *first, *extra):
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(main) == 1:
        return main[0]
    text = f"a container name must be specified for pod {name}"
    if main:
        text += f", choose one of: [{' '.join(main)}]"
        if first:
            text += f" or one of the init containers: [{' '.join(first)}]"
    raise BadRequest(text)


def dialing(error: KnarrError) -> status.Refusal:
    """The refusal when a kubelet or pod does not answer."""
    return status.Refusal(500, "InternalError", f"error dialing backend: {error}")


def _names(containers: Any) -> list[str]:
    return [str(container["name"]) for container in containers or ()]
