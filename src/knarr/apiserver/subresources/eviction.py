"""Eviction: deletes a pod if its PodDisruptionBudgets allow one more disruption."""

import dataclasses

import msgspec

from knarr.apiserver import answers, bodies, deletion, status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base import clock, errors
from knarr.base.errors import BadRequest
from knarr.objects import labels
from knarr.store.store import Entry
from knarr.wire import http

TYPE_NAME = "io.k8s.api.policy.v1.Eviction"
BUDGETS = "/registry/poddisruptionbudgets/"


async def answer(context: RequestContext) -> http.Response:
    eviction = bodies.typed(await bodies.object_body(context), TYPE_NAME)
    if eviction.get("kind") not in (None, "Eviction"):
        raise BadRequest("the body is not an Eviction")
    server = context.server
    entry = server.store.get(context.key)
    if entry is None:
        raise status.not_found("pods", context.route.name)
    pod = context.resource.decode_entry(entry)
    options = deletion.options(context, eviction.get("deleteOptions") or {})
    budgets = _budgets(context, pod)
    if budgets and _counts(pod):
        if len(budgets) > 1:
            raise status.Refusal(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            )
        await _spend(context, budgets[0], pod)
    one = dataclasses.replace(context, route=dataclasses.replace(context.route, verb="delete", subresource=""))
    await deletion.delete(one, options)
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answers.json_response(answers.encoded(success), 201)


def _counts(pod: Json) -> bool:
    """Whether the pod's end is a disruption at all."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed", "Pending") and "deletionTimestamp" not in pod["metadata"]


def _budgets(context: RequestContext, pod: Json) -> list[Entry]:
    found = []
    for entry in context.server.store.list(f"{BUDGETS}{context.route.namespace}/").entries:
        spec = msgspec.json.decode(entry.value).get("spec") or {}
        selector = labels.of(spec.get("selector"))
        if selector.matches(pod["metadata"].get("labels") or {}):
            found.append(entry)
    return found


async def _spend(context: RequestContext, entry: Entry, pod: Json) -> None:
    """Take one disruption from the budget. Raises TooMany when none is left."""
    resource = context.server.resources.of("policy", "v1", "poddisruptionbudgets")
    budget = resource.decode_entry(entry)
    current = budget.get("status") or {}
    name = budget["metadata"]["name"]
    allowed = current.get("disruptionsAllowed", 0)
    if allowed <= 0:
        text = f"The disruption budget {name} needs {current.get('desiredHealthy', 0)} healthy pods and has "
        text += f"{current.get('currentHealthy', 0)} currently"
        raise status.Refusal(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
            details={"causes": [{"reason": "DisruptionBudget", "message": text}]},
            after=10,
        )
    if context.is_dry_run:
        return
    disrupted = {**(current.get("disruptedPods") or {})}
    disrupted[pod["metadata"]["name"]] = clock.rfc3339(context.server.clock.now())
    changed = {**budget, "status": {**current, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}
    try:
        await context.server.store.write(entry.key, resource.encode(changed), expect=entry.modified)
    except errors.Conflict as error:
        raise errors.TooMany("the disruption budget is still being processed by the server", 10) from error
