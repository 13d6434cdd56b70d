"""Deletion: what a DELETE does to an object: grace, finalizers of propagation, removal.

Graceful kinds (pods) get a deletionTimestamp and wait for their node; objects with finalizers wait for those; the
rest goes at once. Who removes dependents: controllers/garbage.py. Spec: "Garbage Collection", "Pod Lifecycle".
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from knarr.apiserver import bodies, status, writing
from knarr.apiserver import options as request_options
from knarr.apiserver.context import RequestContext, integer
from knarr.apiserver.resources import Json
from knarr.apiserver.writing import Written
from knarr.base import errors
from knarr.base.clock import Instant, rfc3339
from knarr.base.errors import BadRequest, Cause
from knarr.objects import faults

# Kinds whose DELETE answers with the object instead of a Status, as upstream.
ANSWERS_OBJECT: Final = frozenset(
    {"pods", "persistentvolumes", "persistentvolumeclaims", "podtemplates", "resourcequotas", "services",
     "serviceaccounts"}
)  # fmt: skip
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
TYPE_NAME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
GRACE_SECONDS_MAX: Final = 100 * 365 * 24 * 3600
"""A deletionTimestamp lies no further ahead: a longer grace is a number that no date can hold."""
POLICIES = ("Orphan", "Background", "Foreground")


@dataclass(frozen=True, slots=True)
class Options:
    """metav1.DeleteOptions."""

    grace_seconds: int | None = None
    policy: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    is_cascading: bool = False
    """The caller asked by orphanDependents that the dependents go."""


def options(context: RequestContext, body: Json) -> Options:
    """From body and query; the query counts where the body is silent. Raises BadRequest or a 422 Refusal."""
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest(f'no kind "{body["kind"]}" is an option of a deletion: it must be DeleteOptions')
    query, body = context.query, bodies.typed(body, TYPE_NAME) if body else body
    grace = body.get("gracePeriodSeconds")
    if grace is None:
        grace = integer("gracePeriodSeconds", query.get("gracePeriodSeconds", ""))
    policy = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = context.is_asked("orphanDependents")
    given: list[str] = body.get("dryRun") or []
    request_options.refuse("DeleteOptions", _policy_faults(policy, orphan) + request_options.dry_run(given))
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    wanted: dict[str, Any] = body.get("preconditions") or {}
    return Options(
        grace,
        policy,
        wanted.get("uid") or "",
        wanted.get("resourceVersion") or "",
        bool(given) or context.is_dry_run,
        orphan is False,
    )


def _policy_faults(policy: str, orphan: bool | None) -> list[Cause]:
    if policy and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        return [faults.invalid("propagationPolicy", policy, text)]
    if policy and policy not in POLICIES:
        text = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        return [Cause("propagationPolicy", "FieldValueNotSupported", text)]
    return []


async def delete(context: RequestContext, wanted: Options) -> Written:
    """Delete the route's object, or begin to. Raises NotFound, Conflict."""
    resource, server = context.resource, context.server
    for _ in range(writing.RACES_MAX):
        entry = server.store.get(context.key)
        if entry is None:
            raise status.not_found(resource.qualified, context.route.name)
        old = resource.decode_entry(entry)
        check_preconditions(context, wanted, old)
        new = marked(context, old, wanted, server.clock.now())
        is_gone = writing.may_go(new)
        value = entry.value if is_gone else resource.encode(new)
        if wanted.dry_run or (value == entry.value and not is_gone):
            return Written(resource, value, entry.modified, is_gone=is_gone)
        try:
            revision = await server.store.write(entry.key, None if is_gone else value, expect=entry.modified)
        except (errors.Conflict, errors.NotFound):
            continue
        return Written(resource, value, revision, is_gone=is_gone)
    raise errors.Unavailable(f'{resource.qualified} "{context.route.name}" changes too fast to be deleted')


def check_preconditions(context: RequestContext, wanted: Options, old: Json) -> None:
    """Raises Conflict when the live object is not the one that the caller means, Forbidden for a fixed namespace."""
    metadata, name = old["metadata"], context.route.name
    for asked, live, word in (
        (wanted.uid, metadata["uid"], "UID"),
        (wanted.resource_version, metadata["resourceVersion"], "ResourceVersion"),
    ):
        if asked and asked != live:
            raise errors.Conflict(
                f'Operation cannot be fulfilled on {context.resource.qualified} "{name}": Precondition failed: '
                f"{word} in precondition: {asked}, {word} in object meta: {live}"
            )
    if context.resource.stored.kind == "Namespace" and name in ("default", "kube-system", "kube-public"):
        raise status.forbidden("namespaces", name, "this namespace may not be deleted")


def marked(context: RequestContext, old: Json, wanted: Options, now: Instant) -> Json:
    """The object as the deletion leaves it; `writing.may_go` of it says whether it can be removed."""
    metadata = dict(old["metadata"])
    new = {**old, "metadata": metadata}
    finalizers = propagated(context, metadata.get("finalizers") or [], wanted.policy)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    grace = grace_seconds(context, old, wanted)
    was_marked = "deletionTimestamp" in metadata
    if was_marked:
        grace = min(grace, metadata.get("deletionGracePeriodSeconds") or 0)
    if not was_marked or grace < (metadata.get("deletionGracePeriodSeconds") or 0):
        since = now if not was_marked else _asked_at(metadata)
        metadata["deletionTimestamp"] = rfc3339(since + timedelta(seconds=min(grace, GRACE_SECONDS_MAX)))
        metadata["deletionGracePeriodSeconds"] = grace
        if metadata.get("generation"):
            metadata["generation"] += 1
    if old["kind"] == "Namespace":
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    return new


def _asked_at(metadata: Json) -> Instant:
    from knarr.base.clock import parse_rfc3339

    kept = timedelta(seconds=min(metadata.get("deletionGracePeriodSeconds") or 0, GRACE_SECONDS_MAX))
    return parse_rfc3339(metadata["deletionTimestamp"]) - kept


def grace_seconds(context: RequestContext, old: Json, wanted: Options) -> int:
    """Seconds that the object is given: only graceful kinds (pods) that run somewhere get any."""
    facts = context.resource.kind.facts.get("delete") or {}
    if not facts.get("graceful"):
        return 0
    spec, phase = old.get("spec") or {}, (old.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Failed", "Succeeded"):
        return 0
    grace = wanted.grace_seconds
    if grace is None:
        grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        grace = 30
    return int(grace) if grace >= 0 else 1


def propagated(context: RequestContext, finalizers: list[str], policy: str) -> list[str]:
    """The finalizers with those of the propagation policy put in and out, in upstream's way."""
    if not policy:
        default = (context.resource.kind.facts.get("delete") or {}).get("defaultPropagation")
        if default == "Orphan" and FOREGROUND not in finalizers:
            policy = "Orphan"
        else:
            return list(finalizers)
    kept = [finalizer for finalizer in finalizers if finalizer not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    return kept
