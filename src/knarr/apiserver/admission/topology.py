"""PodTopologyLabels: a pod has the zone and region of its node as labels from the moment it is bound.

Only at bindings (and pods that come with a node): a node that is labelled later changes no pod, as upstream.
"""

from typing import Final

import msgspec

from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

NODES: Final = "/registry/minions/"
LABELS: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


def pod_labels(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The pod with its node's topology labels; those of the pod's author are overwritten."""
    if context.resource.stored.kind != "Pod" or (old is not None and context.route.subresource != "binding"):
        return obj
    node = (obj.get("spec") or {}).get("nodeName")
    entry = context.server.store.get(NODES + node) if node else None
    if entry is None or b"topology.kubernetes.io/" not in entry.value:
        return obj
    labels = msgspec.json.decode(entry.value)["metadata"].get("labels") or {}
    found = {key: labels[key] for key in LABELS if key in labels}
    if not found:
        return obj
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **found}}}
