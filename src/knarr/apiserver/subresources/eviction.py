"""Eviction: deletes a pod if its PodDisruptionBudget allows one more disruption, and says so in the pod's conditions.

A pod that is not ready counts for nothing, so the budget's policy for unhealthy pods decides whether it is asked.
Not here: how many disruptions a budget allows (controllers/disruption.py). Spec: "API-initiated Eviction".
"""

import dataclasses

import msgspec

from knarr.apiserver import answers, bodies, deletion, status, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base import clock, errors
from knarr.base.errors import BadRequest
from knarr.objects import labels
from knarr.store.store import Entry
from knarr.wire import http

TYPE_NAME = "io.k8s.api.policy.v1.Eviction"
BUDGETS = "/registry/poddisruptionbudgets/"
DISRUPTED_MAX = 2000
TARGET = "DisruptionTarget"


async def answer(context: RequestContext) -> http.Response:
    eviction = bodies.typed(await bodies.object_body(context), TYPE_NAME)
    if eviction.get("kind") not in (None, "Eviction"):
        raise BadRequest("the body is not an Eviction")
    if (eviction.get("metadata") or {}).get("name", context.route.name) != context.route.name:
        raise BadRequest("name in URL does not match name in Eviction object")
    options = deletion.options(context, eviction.get("deleteOptions") or {})
    pod = _pod(context)
    deletion.check_preconditions(context, options, pod)
    budgets = _budgets(context, pod) if _counts(pod) else []
    if len(budgets) > 1:
        raise status.Refusal(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    if budgets:
        await _spend(context, budgets[0], pod, is_dry_run=options.dry_run)
    if not options.dry_run:
        await _mark(context)
    one = dataclasses.replace(context, route=dataclasses.replace(context.route, verb="delete", subresource=""))
    # What the mark changed is no reason to refuse: the caller's own conditions were judged before.
    await deletion.delete(one, dataclasses.replace(options, resource_version=""))
    success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answers.json_response(answers.encoded(success), 201)


def _pod(context: RequestContext) -> Json:
    entry = context.server.store.get(context.key)
    if entry is None:
        raise status.not_found("pods", context.route.name)
    return context.resource.decode_entry(entry)


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


def is_guarded(budget: Json, pod: Json) -> bool:
    """Whether the budget has a say: not about a pod that is not ready, if its policy is so or none is missed. Pure."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    if any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions):
        return True
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    current = budget.get("status") or {}
    healthy, desired = current.get("currentHealthy", 0), current.get("desiredHealthy", 0)
    return not (healthy >= desired > 0)


async def _spend(context: RequestContext, entry: Entry | None, pod: Json, *, is_dry_run: bool) -> None:
    """Take one disruption from the budget, if it guards the pod. Raises TooMany when none is left."""
    resource, store = context.server.resources.of("policy", "v1", "poddisruptionbudgets"), context.server.store
    for _ in range(writing.RACES_MAX):
        if entry is None:
            return  # the budget is gone
        budget = resource.decode_entry(entry)
        if not is_guarded(budget, pod):
            return
        check_allowed(budget)
        if is_dry_run:
            return
        current, now = budget.get("status") or {}, clock.rfc3339(context.server.clock.now())
        disrupted = {**(current.get("disruptedPods") or {}), pod["metadata"]["name"]: now}
        less = {**current, "disruptionsAllowed": current["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
        try:
            await store.write(entry.key, resource.encode({**budget, "status": less}), expect=entry.modified)
            return
        except (errors.Conflict, errors.NotFound):
            entry = store.get(entry.key)
    raise errors.TooMany("the disruption budget is still being processed by the server", 10)


def check_allowed(budget: Json) -> None:
    """Raises a 429 Refusal, or Forbidden, when the budget has no disruption left to give. Pure."""
    metadata, current = budget["metadata"], budget.get("status") or {}
    name, allowed = metadata["name"], current.get("disruptionsAllowed", 0)
    if current.get("observedGeneration", 0) < metadata.get("generation", 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", after=10)
    if len(current.get("disruptedPods") or {}) > DISRUPTED_MAX:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise status.forbidden("poddisruptionbudgets.policy", name, why)
    if allowed > 0:
        return
    healthy, desired = current.get("currentHealthy", 0), current.get("desiredHealthy", 0)
    if healthy <= desired:
        raise _refused(f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently")
    raise _refused(f"The disruption budget {name} does not allow evicting pods currently")


def _refused(why: str, after: int = 0) -> status.Refusal:
    details: Json = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if after:
        details["retryAfterSeconds"] = after
    text = "Cannot evict pod as it would violate the pod's disruption budget."
    return status.Refusal(429, "TooManyRequests", text, details=details, after=after)


async def _mark(context: RequestContext) -> None:
    """Say in the pod why it ends: Jobs tell disruptions from failures by it."""
    resource, store = context.resource, context.server.store
    for _ in range(writing.RACES_MAX):
        entry = store.get(context.key)
        if entry is None:
            return
        marked = targeted(resource.decode_entry(entry), clock.rfc3339(context.server.clock.now()))
        content = resource.encode(marked)
        if content == entry.value:
            return  # an eviction before this one has said it
        try:
            await store.write(entry.key, content, expect=entry.modified)
            return
        except (errors.Conflict, errors.NotFound):
            continue
    raise errors.Unavailable(f'pods "{context.route.name}" changes too fast to be evicted')


def targeted(pod: Json, now: str) -> Json:
    """The pod with the condition of an eviction; its time stays while the condition was true before. Pure."""
    current = pod.get("status") or {}
    conditions = list(current.get("conditions") or ())
    index = next((at for at, each in enumerate(conditions) if each.get("type") == TARGET), len(conditions))
    before = conditions[index] if index < len(conditions) else {}
    since = (before.get("status") == "True" and before.get("lastTransitionTime")) or now
    why = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    conditions[index : index + 1] = [{"type": TARGET, "status": "True", "lastTransitionTime": since, **why}]
    return {**pod, "status": {**current, "conditions": conditions}}
