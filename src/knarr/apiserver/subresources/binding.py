"""Binding a pod to a node: pods/NAME/binding and the bindings collection that says the same."""

import contextlib
import dataclasses

from knarr.apiserver import answers, bodies, managed, status, writing
from knarr.apiserver.admission import chain, topology
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base import clock
from knarr.base.errors import Cause, Conflict, NotFound, Unavailable
from knarr.wire import http

TYPE_NAME = "io.k8s.api.core.v1.Binding"


async def answer(context: RequestContext) -> http.Response:
    binding = bodies.typed(await bodies.object_body(context), TYPE_NAME)
    return await _bind(context, binding)


async def collection(context: RequestContext) -> http.Response:
    """POST to bindings: the pod's name is the binding's."""
    binding = bodies.typed(await bodies.object_body(context), TYPE_NAME)
    pods = context.server.resources.of("", "v1", "pods")
    name = (binding.get("metadata") or {}).get("name") or ""
    route = dataclasses.replace(context.route, resource=pods, name=name, subresource="binding")
    return await _bind(dataclasses.replace(context, route=route), binding)


async def _bind(context: RequestContext, binding: Json) -> http.Response:
    target = binding.get("target") or {}
    name = context.route.name
    if target.get("kind") not in (None, "", "Node"):
        fault = Cause("target.kind", "FieldValueNotSupported", 'Unsupported value: supported values: "Node"')
        raise status.invalid("Binding", "", name, [fault])
    if not target.get("name"):
        raise status.invalid("Binding", "", name, [Cause("target.name", "FieldValueRequired", "Required value")])
    now = clock.rfc3339(context.server.clock.now())
    await _write(context, lambda pod: bound(pod, binding, now))
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answers.json_response(answers.encoded(success), 201)


async def _write(context: RequestContext, wanted: writing.Changed) -> None:
    """As upstream, straight into the store: a binding is no update of the pod, so neither defaults nor managedFields
    come into it, and nothing changes that validation has not seen."""
    resource, store = context.resource, context.server.store
    for _ in range(writing.RACES_MAX):
        entry = store.get(context.key)
        if entry is None:
            raise status.not_found(resource.qualified, context.route.name)
        old = resource.decode_entry(entry)
        new = topology.pod_labels(context, wanted(old), old)
        value = managed.fitting(context, new, writing.OBJECT_BYTES_MAX)
        chain.validated(context, new, old)
        if context.is_dry_run:
            return
        with contextlib.suppress(Conflict, NotFound):
            await store.write(entry.key, value, expect=entry.modified)
            return
    raise Unavailable(f'{resource.qualified} "{context.route.name}" changes too fast to be changed')


def bound(pod: Json, binding: Json, now: str) -> Json:
    """The pod on its node. Raises Conflict when it has one or is going."""
    node, metadata, spec = binding["target"]["name"], pod["metadata"], pod["spec"]
    name, asked = metadata["name"], binding.get("metadata") or {}
    prefix = f'Operation cannot be fulfilled on pods/binding "{name}": '
    if asked.get("uid") and asked["uid"] != metadata["uid"]:
        raise Conflict(
            f"{prefix}Precondition failed: UID in precondition: {asked['uid']}, UID in object meta: {metadata['uid']}"
        )
    if metadata.get("deletionTimestamp"):
        raise Conflict(f"{prefix}pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise Conflict(f'{prefix}pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise Conflict(f"{prefix}pod {name} has non-empty .spec.schedulingGates")
    changed = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    if asked.get("annotations"):
        changed["annotations"] = {**(metadata.get("annotations") or {}), **asked["annotations"]}
    current = pod.get("status") or {}
    conditions = [each for each in current.get("conditions") or [] if each.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    return {
        **pod,
        "metadata": changed,
        "spec": {**spec, "nodeName": node},
        "status": {**current, "conditions": [*conditions, scheduled]},
    }
