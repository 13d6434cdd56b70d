"""NamespaceLifecycle: nothing is created in a namespace that is absent or being deleted."""

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

NAMESPACES = "/registry/namespaces/"


def lifecycle(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Refuse a create in an absent or terminating namespace."""
    resource = context.resource
    if old is not None or not resource.kind.is_namespaced:
        return obj
    namespace = context.route.namespace
    entry = context.server.store.get(NAMESPACES + namespace)
    if entry is None:
        raise status.not_found("namespaces", namespace)
    # The word occurs in a namespace's bytes only while it is being deleted, or in a text: then decode.
    if b"deletionTimestamp" in entry.value:
        live = resource.decode(entry.value, entry.modified)
        if "deletionTimestamp" in live["metadata"]:
            raise _terminating(context, obj)
    return obj


def _terminating(context: RequestContext, obj: Json) -> status.Refusal:
    resource, namespace = context.resource, context.route.namespace
    name = obj["metadata"].get("name", "")
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    details = {
        "name": name,
        "kind": resource.plural,
        "causes": [
            {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
        ],
    }
    if resource.group:
        details["group"] = resource.group
    return status.Refusal(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}', details=details)
