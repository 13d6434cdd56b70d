"""Presenting: objects, lists and writes as answers in the accepted form (JSON, Table, PartialObjectMetadata).

The plain form never decodes: bytes of the store are spliced and joined.
"""

import dataclasses
from typing import Any

from knarr.apiserver import answers, conversions
from knarr.apiserver.context import RequestContext
from knarr.apiserver.negotiation import JSON, Accepted, accepted
from knarr.apiserver.reading import Page
from knarr.apiserver.resources import Json
from knarr.apiserver.writing import Written
from knarr.base.ids import Revision
from knarr.wire import http


async def written(context: RequestContext, made: Written) -> http.Response:
    """What a write left; 201 for something new."""
    form = accepted(context.request.header("accept"))
    status = 201 if made.is_new else 200
    if not made.revision:  # a dry run of a create: nothing has a resourceVersion yet
        obj = made.resource.decode(made.value, 0)
        del obj["metadata"]["resourceVersion"]
        return answers.json_response(answers.encoded(conversions.served(made.resource, obj)), status)
    if form is JSON and not made.resource.is_converted:
        return answers.json_response(made.body, status)
    return await one(context, made.value, made.revision, status=status)


async def one(context: RequestContext, value: bytes, revision: Revision, *, status: int = 200) -> http.Response:
    form = accepted(context.request.header("accept"))
    content = object_bytes(context, form, value, revision)
    return answers.json_response(content, status)


def object_bytes(context: RequestContext, form: Accepted, value: bytes, revision: Revision) -> bytes:
    """One object's JSON in a form; a Table of one row for `table`."""
    resource = context.resource
    if form.form == "table":
        obj = conversions.served(resource, resource.decode(value, revision))
        return context.server.tables.encode(context, form, [obj], {"resourceVersion": str(revision)})
    if form.form in ("partial", "partial-list"):
        return answers.encoded(partial(resource.decode(value, revision), form.version))
    if resource.is_converted:
        return answers.encoded(conversions.served(resource, resource.decode(value, revision)))
    return resource.splice(value, revision)


def partial(obj: Json, version: str) -> Json:
    """PartialObjectMetadata of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": obj["metadata"],
    }


async def many(context: RequestContext, page: Page) -> http.Response:
    """A list."""
    form = accepted(context.request.header("accept"))
    resource, kind = context.resource, context.resource.kind
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.token:
        metadata["continue"] = page.token
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
    if form.form == "table":
        objects = [conversions.served(resource, resource.decode_entry(entry)) for entry in page.entries]
        return answers.json_response(context.server.tables.encode(context, form, objects, metadata))
    if form.form in ("partial", "partial-list"):
        items = [partial(resource.decode_entry(entry), form.version) for entry in page.entries]
        whole = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": metadata,
            "items": items,
        }
        return answers.json_response(answers.encoded(whole))
    opening = b'{"kind":"%bList","apiVersion":"%b","metadata":%b,"items":[' % (
        kind.kind.encode(),
        kind.api_version.encode(),
        answers.encoded(metadata),
    )
    if resource.is_converted:
        plain = dataclasses.replace(form, form="json")
        parts = [object_bytes(context, plain, entry.value, entry.modified) for entry in page.entries]
    else:
        # As Resource.splice, but an object is copied once here, and once more when all are joined.
        head = resource.head
        parts = [
            value.replace(head, b'%b"resourceVersion":"%d",' % (head, modified), 1)
            for _, value, _, modified in page.entries
        ]
    return answers.json_response(_joined(opening, parts))


def _joined(opening: bytes, parts: list[bytes]) -> bytes:
    """The list in one copy: each further one of some megabytes costs as much as all that was looked up for it."""
    if not parts:
        return opening + b"]}"
    parts[0] = opening + parts[0]
    parts[-1] += b"]}"
    return b",".join(parts)


def unstored(context: RequestContext, made: list[Json]) -> http.Response:
    """Objects that are made when they are asked for: the one of a get, else the list; in the accepted form."""
    form, kind = accepted(context.request.header("accept")), context.resource.kind
    if form.form == "table":
        return answers.json_response(context.server.tables.encode(context, form, made, {}))
    is_partial = form.form in ("partial", "partial-list")
    if is_partial:
        made = [partial(each, form.version) for each in made]
    if context.route.name:
        return answers.json_response(answers.encoded(made[0]))
    name, version = (kind.kind, kind.api_version)
    if is_partial:
        name, version = "PartialObjectMetadata", f"meta.k8s.io/{form.version}"
    whole = {"kind": f"{name}List", "apiVersion": version, "metadata": {}, "items": made}
    return answers.json_response(answers.encoded(whole))
