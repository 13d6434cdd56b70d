"""Writing: the two ways in which every verb changes the store: create a new object, or change the one that is there.

Both run strategy, admission and validation in the same order; `change` repeats on a lost race, and then finds out
whether the resourceVersion that a caller named is still the live one. An object whose last
finalizer goes while it is being deleted is removed instead of written.
Not here: what a verb wants changed (verbs/*.py), how long a deletion waits (deletion.py).
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from knarr.apiserver import assigned, managed, status, strategy
from knarr.apiserver.admission import chain
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json, Resource
from knarr.base import errors
from knarr.base.errors import BadRequest
from knarr.base.ids import Revision
from knarr.objects import managed as tracking
from knarr.store.store import Entry

OBJECT_BYTES_MAX = 1_572_864
"""etcd's default limit of a request, which upstream's clients know as the limit of an object."""
VERSION_REQUIRED = errors.Cause(
    "metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0x0: must be specified for an update"
)
_ordered: Final = msgspec.json.Encoder(order="sorted").encode
TWICE_OWNED: Final = (
    ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may "
    "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {uids}"
)
RACES_MAX = 100
NO_VERSION: Final = "0"
"""A resourceVersion that names none: what is written with it is written over whatever is there."""
GENERATED_NAMES_MAX = 8


class Written(NamedTuple):
    """What stands now: stored bytes and revision. `is_gone`: it was removed; `is_new`: it was created."""

    resource: Resource
    value: bytes
    revision: Revision
    is_new: bool = False
    is_gone: bool = False

    @property
    def body(self) -> bytes:
        return self.resource.splice(self.value, self.revision)


def checked_kind(context: RequestContext, obj: Json) -> Json:
    """The object, if it is of the route's kind, in the route's namespace. Raises BadRequest."""
    kind = context.resource.kind
    # As upstream's decoder: what the body leaves out is what the path says.
    found = (obj.get("apiVersion") or kind.api_version, obj.get("kind") or kind.kind)
    if found != (kind.api_version, kind.kind) and (kind.group or found != (f"/{kind.api_version}", kind.kind)):
        raise BadRequest(_wrong_kind(context, obj))
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise BadRequest("metadata: it must be an object")
    if kind.is_namespaced:
        given = metadata.get("namespace") or context.route.namespace
        if given != context.route.namespace:
            raise BadRequest(_wrong_namespace(context, given))
        metadata = {**metadata, "namespace": given}
    elif metadata.get("namespace"):  # as upstream: passed over
        metadata = {key: value for key, value in metadata.items() if key != "namespace"}
    if metadata.get("managedFields") == []:  # which decoding would drop
        metadata = {**metadata, "managedFields": tracking.RESET}
    named = metadata.get("ownerReferences")
    if isinstance(named, list) and len(named) > 1:  # a value of a wrong type is decoding's to refuse
        metadata = _each_owner_once(context, metadata)
    if metadata.get("resourceVersion") == NO_VERSION:
        metadata = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}


def _each_owner_once(context: RequestContext, metadata: Json) -> Json:
    """The metadata without owners that are named a second time in the very same words, which is warned of."""
    owners: dict[bytes, Any] = {}
    twice = []
    for owner in metadata["ownerReferences"]:
        words = _ordered(owner)  # a search in what there is would take the square of thousands
        if words in owners:
            twice.append(str(owner.get("uid", "")) if isinstance(owner, dict) else "")
        else:
            owners[words] = owner
    if not twice:
        return metadata
    when = " after mutating admission happens" if context.route.verb == "patch" else ""
    warning = TWICE_OWNED.format(when=when, uids=", ".join(twice))
    if warning not in context.warnings:  # a patch may be put in several times
        context.warnings.append(warning)
    return {**metadata, "ownerReferences": [*owners.values()]}


def check_name(context: RequestContext, obj: Json) -> None:
    """Raises BadRequest when the object of a named path has another name, or none."""
    name, asked = obj["metadata"].get("name"), context.route.name
    if not name:
        raise BadRequest(f"the name of the object ({asked} based on URL) was undeterminable: name must be provided")
    if name != asked:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({asked})")


def _wrong_namespace(context: RequestContext, given: str) -> str:
    if context.route.verb == "create":
        return "the namespace of the provided object does not match the namespace sent on the request"
    asked = context.route.namespace
    return f"the namespace of the object ({given}) does not match the namespace on the URL ({asked})"


def _wrong_kind(context: RequestContext, obj: Json) -> str:
    kind = context.resource.kind
    api_version, name = obj.get("apiVersion"), obj.get("kind")
    if name and name != kind.kind:
        return f'the kind "{name}" of the object does not match the kind "{kind.kind}" of the request'
    return f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"


async def create(context: RequestContext, obj: Json) -> Written:
    """Store a new object; the body was decoded and its kind checked."""
    resource = context.resource
    if obj["metadata"].get("resourceVersion") and context.route.verb == "create":
        raise BadRequest("resourceVersion should not be set on objects to be created")
    obj = strategy.stored(resource, obj)
    wants_name = not obj["metadata"].get("name") and bool(obj["metadata"].get("generateName"))
    for _ in range(GENERATED_NAMES_MAX if wants_name else 1):
        try:
            return await _create_once(context, resource, obj)
        except errors.AlreadyExists:
            if not wants_name:
                raise
    raise status.Refusal(
        409, "AlreadyExists", f"{resource.qualified}: the server was not able to generate a unique name for the object"
    )


async def _create_once(context: RequestContext, resource: Resource, obj: Json) -> Written:
    prepared = strategy.prepared_create(resource, obj, context.server.clock.now())
    # The caller owns what it sent and its defaults, not what the server and admission add from here on.
    prepared = managed.created(context, strategy.defaulted(resource, prepared))
    prepared = assigned.on_create(resource, prepared, context.user)
    prepared = assigned.taint_times(resource, prepared, context.server.clock)
    await chain.ready(context, prepared, None)
    try:
        return await _create_now(context, resource, prepared)
    finally:
        if context.releases:
            _release(context)


def _release(context: RequestContext) -> None:
    for release in context.releases:
        release()
    context.releases.clear()


async def _create_now(context: RequestContext, resource: Resource, prepared: Json) -> Written:
    server = context.server
    prepared = chain.mutated(context, prepared, None)
    name = prepared["metadata"].get("name", "")
    faults = strategy.create_faults(resource, prepared)
    if faults:
        raise status.invalid(resource.kind.kind, resource.group, name, faults)
    value = managed.fitting(context, prepared, OBJECT_BYTES_MAX)
    key = resource.key(context.route.namespace, name)
    chain.validated(context, prepared, None)  # as upstream before the store is asked: who may not, learns nothing
    if server.store.get(key) is not None:
        raise status.already_exists(resource.qualified, name)
    if context.is_dry_run:
        return Written(resource, value, Revision(0), is_new=True)
    try:
        revision = await server.store.write(key, value, expect=Revision(0))
    except errors.Conflict as error:
        raise status.already_exists(resource.qualified, name) from error
    return Written(resource, value, revision, is_new=True)


Changed = Callable[[Json], Json]
"""From the live object (a value to copy from, never to change) to the wanted one."""
Completed = Callable[[Resource, Json], Json]
"""From the wanted object to its canonical form with defaults."""


async def change(
    context: RequestContext, wanted: Changed, subresource: str = "", *, completed: Completed = strategy.defaulted
) -> Written:
    """Change the route's object until no race is lost. Raises NotFound, Conflict and what validation says.

    A PATCH is put into the live object anew each time, so one that names no resourceVersion meets no conflict."""
    resource, server = context.resource, context.server
    for _ in range(RACES_MAX):
        entry = server.store.get(context.key)
        if entry is None:
            raise status.not_found(resource.qualified, context.route.name)
        old = resource.decode_entry(entry)
        new = completed(resource, wanted(old))
        check_preconditions(resource, new, old)
        try:
            return await _changed(context, entry, (new, old), subresource)
        except _Raced:
            continue
        finally:
            if context.releases:
                _release(context)
    raise errors.Unavailable(f'{resource.qualified} "{context.route.name}" changes too fast to be changed')


class _Raced(Exception):
    """The entry changed between reading and writing."""


def check_preconditions(resource: Resource, new: Json, old: Json) -> None:
    """Raises Conflict when the new object names a resourceVersion or uid that is not the live one."""
    metadata, live = new["metadata"], old["metadata"]
    version = metadata.get("resourceVersion")
    if version and version != live["resourceVersion"]:
        raise status.modified(resource.qualified, live["name"])
    if metadata.get("uid") and metadata["uid"] != live["uid"]:
        raise errors.Conflict(
            f'Operation cannot be fulfilled on {resource.qualified} "{live["name"]}": Precondition failed: '
            f"UID in precondition: {metadata['uid']}, UID in object meta: {live['uid']}"
        )


async def _changed(context: RequestContext, entry: Entry, pair: tuple[Json, Json], subresource: str) -> Written:
    resource, server = context.resource, context.server
    new, old = pair
    new = managed.updated(context, strategy.prepared_update(resource, new, old, subresource), old)
    if not subresource:
        new = assigned.on_update(resource, new, context.user)
        new = assigned.taint_times(resource, new, server.clock)
    new = chain.mutated(context, new, old)
    faults = strategy.update_faults(resource, new, old, subresource)
    if faults:
        raise status.invalid(resource.kind.kind, resource.group, context.route.name, faults)
    value = managed.fitting(context, new, OBJECT_BYTES_MAX)
    if value == entry.value or (len(value) == len(entry.value) and _is_same(new, old)):
        return Written(resource, entry.value, entry.modified)
    chain.validated(context, new, old)
    is_gone = may_go(new)
    if context.is_dry_run:
        return Written(resource, value, entry.modified, is_gone=is_gone)
    try:
        revision = await server.store.write(entry.key, None if is_gone else value, expect=entry.modified)
    except (errors.Conflict, errors.NotFound) as error:
        raise _Raced from error
    return Written(resource, value, revision, is_gone=is_gone)


def _is_same(new: Json, old: Json) -> bool:
    """Whether two objects differ in nothing but the order of their fields and the times of their managedFields, which
    alone are no change; metadata last, for it is the longest."""
    if new.keys() != old.keys():
        return False
    for key, value in new.items():  # a loop: a generator costs three times as much
        if key != "metadata" and value != old[key]:
            return False
    return _timeless(new["metadata"]) == _timeless(old["metadata"])


def _timeless(metadata: Json) -> Json:
    entries = [{**entry, "time": ""} for entry in metadata.get("managedFields") or ()]
    return {**metadata, "resourceVersion": "", "managedFields": entries}


def may_go(obj: Json) -> bool:
    """Whether nothing holds an object that is being deleted."""
    metadata = obj["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (obj["kind"] == "Namespace" and obj.get("spec", {}).get("finalizers"))
    )
