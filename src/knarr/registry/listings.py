"""What is here: tags of a repository, repositories, and referrers (distribution specification, content discovery)."""

import json

import msgspec

from knarr.oci.manifest import OCI_INDEX, Descriptor, Index, Manifest, encode
from knarr.registry.call import Call, State, page, parse_digest
from knarr.registry.errors import Failure
from knarr.registry.manifests import parsed_manifests
from knarr.wire.http import Headers, Response

_JSON = ("content-type", "application/json")


async def root(_state: State, _call: Call) -> Response:
    """GET /v2/: the registry speaks this protocol."""
    return Response(200, (_JSON,), b"{}")


async def tags(state: State, call: Call) -> Response:
    """GET /v2/<name>/tags/list."""
    names = state.names.repository(call.repository(state))
    found = {name.parsed.tag for name in names} - {""}
    if not _is_own(state, call):
        if state.upstream is None:
            raise Failure("NAME_UNKNOWN", f"repository {call.name} is not known to the registry")
        found.update(await state.upstream.tags(call.name, call.query.get("ns", "")))
    shown, link = page(sorted(found), call, f"/v2/{call.name}/tags/list")
    return Response(200, (_JSON, *link), _line({"name": call.name, "tags": shown}))


async def catalog(state: State, call: Call) -> Response:
    """GET /v2/_catalog."""
    parsed = (name.parsed for name in state.names)
    repositories = sorted({reference.path for reference in parsed if reference.domain == state.domain})
    shown, link = page(repositories, call, "/v2/_catalog")
    return Response(200, (_JSON, *link), _line({"repositories": shown}))


async def referrers(state: State, call: Call) -> Response:
    """GET /v2/<name>/referrers/<digest>: an index of the manifests whose subject it is; empty when there is none."""
    subject = parse_digest(call.argument)
    wanted = call.query.get("artifactType", "")
    found = []
    for name, parsed in parsed_manifests(state, call.repository(state)):
        if parsed.subject is None or parsed.subject.digest != subject:
            continue
        artifact_type = _artifact_type(parsed)
        if wanted in ("", artifact_type):
            described = Descriptor(media_type=name.media_type, digest=name.digest, size=name.size)
            found.append(
                msgspec.structs.replace(described, artifact_type=artifact_type, annotations=parsed.annotations)
            )
    if state.upstream is not None and not _is_own(state, call):
        known = {entry.digest for entry in found}
        more = await state.upstream.referrers(call.name, call.query.get("ns", ""), subject)
        found += [e for e in more if e.digest not in known and wanted in ("", e.artifact_type)]
    headers: Headers = (("content-type", OCI_INDEX),)
    if wanted:
        headers = (*headers, ("oci-filters-applied", "artifactType"))
    index = Index(schema_version=2, media_type=OCI_INDEX, manifests=tuple(found))
    body = msgspec.json.decode(encode(index))
    body.setdefault("manifests", [])
    return Response(200, headers, json.dumps(body).encode())


def _line(value: object) -> bytes:
    """Compact and with an end of line, as upstream's registry writes it: people read it with curl."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _is_own(state: State, call: Call) -> bool:
    """Whether the repository was pushed or built here: then its name is no other registry's business."""
    return bool(state.names.repository(call.repository(state))) or call.name in state.repositories


def _artifact_type(parsed: Manifest | Index) -> str:
    """Its own word for it, or else the type of its configuration."""
    if parsed.artifact_type or isinstance(parsed, Index):
        return parsed.artifact_type
    return parsed.config.media_type
