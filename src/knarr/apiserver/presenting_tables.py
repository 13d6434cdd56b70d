"""Tables in answers: objects as rows by the columns of their kind (tables/), for single objects, lists and watches."""

from typing import Any

import msgspec

from knarr.apiserver.context import RequestContext
from knarr.apiserver.negotiation import Accepted
from knarr.apiserver.resources import Json
from knarr.apiserver.tables import columns
from knarr.base.clock import Instant
from knarr.base.errors import BadRequest

_encode = msgspec.json.Encoder().encode
INCLUDE = ("", "Metadata", "None", "Object")


class Tables:
    """Encodes a metav1.Table; `bookmark` is the object of a BOOKMARK event, its only row."""

    def encode(
        self,
        context: RequestContext,
        form: Accepted,
        objects: list[Json],
        metadata: Json,
        *,
        bookmark: Json | None = None,
    ) -> bytes:
        include = context.query.get("includeObject", "")
        if include not in INCLUDE:
            raise BadRequest(f"unrecognized includeObject value: {include!r}")
        shown = columns.of(context.resource.kind)
        if objects and objects[0].get("kind") == "Scale" and context.resource.kind.kind != "Scale":
            shown = columns.scale()
        now = context.server.clock.now()
        held = objects if bookmark is None else [bookmark]
        return _encode(table(shown, held, (include, form.version), now) | {"metadata": metadata})


def table(shown: columns.Columns, objects: list[Json], form: tuple[str, str], now: Instant) -> Json:
    """The Table of objects; `form` is (includeObject, version of meta.k8s.io)."""
    include, version = form
    rows: list[Any] = []
    partial = {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}"}
    for obj in objects:
        row = shown.row(obj, now)
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = {**partial, "metadata": obj["metadata"]}
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "columnDefinitions": shown.definitions,
        "rows": rows,
    }
