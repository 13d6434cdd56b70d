"""Manifests by tag or digest: GET, HEAD, PUT, DELETE (OCI distribution specification, pull, push, content management).

A manifest is kept byte for byte. What it refers to must be here first; its subject need not be. A pushed tag is at
once a name of the node, so that it can run.
"""

from collections.abc import Iterator
from functools import partial

from knarr.base import tasks
from knarr.base.errors import Invalid, KnarrError, NotFound
from knarr.images import gc
from knarr.images.content import add, read
from knarr.images.names import Name
from knarr.oci import digest as digests
from knarr.oci import manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.reference import Reference
from knarr.registry import quota
from knarr.registry.call import Call, State
from knarr.registry.errors import Failure
from knarr.wire.http import Headers, Response


async def get(state: State, call: Call) -> Response:
    """GET and HEAD /v2/<name>/manifests/<reference>."""
    digest, media_type = await _lookup(state, call)
    try:
        body = read(state.content, digest, manifest.SIZE_MAX)
    except NotFound as error:
        raise Failure("MANIFEST_UNKNOWN", f"manifest {call.argument} of {call.name} is not here") from error
    headers: Headers = (
        ("content-type", media_type),
        ("docker-content-digest", digest),
        ("content-length", str(len(body))),
        ("etag", f'"{digest}"'),
    )
    if call.request.header("if-none-match") == f'"{digest}"':
        return Response(304, headers[3:])
    return Response(200, headers, b"" if call.request.method == "HEAD" else body)


async def put(state: State, call: Call) -> Response:
    """PUT /v2/<name>/manifests/<reference>."""
    reference = call.reference(state)
    served = call.request.header("content-type").partition(";")[0].strip()
    body = await call.request.read(manifest.SIZE_MAX)
    try:
        parsed = manifest.parse(body, served)
    except KnarrError as error:
        raise Failure("MANIFEST_INVALID", str(error)) from error
    _check_parts(state, parsed)
    digest = reference.digest or digests.of(body)
    parts = [part.digest for part in _described(parsed)]
    named = partial(state.names.tag, media_type=manifest.type_of(parsed, served), size=len(body), origin="pushed")
    async with state.naming.hold(call.name):  # or two manifests together would be more than the quota
        quota.check_new_manifest(state, call.repository(state), digest, len(body), parts)
        try:
            await tasks.in_thread(add, state.content, body, digest)
        except Invalid as error:
            raise Failure("DIGEST_INVALID", f"the manifest: {error}") from error
        quota.check_manifest(state, call.repository(state), digest)
        _check_parts(state, parsed)  # still here, and safe from garbage collection until the name keeps them
        await tasks.in_thread(named, reference, digest)
    state.remember(call.name)
    state.sessions.referred(call.name)
    headers: Headers = (("location", f"/v2/{call.name}/manifests/{digest}"), ("docker-content-digest", digest))
    if parsed.subject is not None:
        headers = (*headers, ("oci-subject", parsed.subject.digest))
    return Response(201, headers)


async def delete(state: State, call: Call) -> Response:
    """DELETE /v2/<name>/manifests/<reference>: a tag alone, or by digest every name that means it."""
    reference = call.reference(state)
    doomed = [reference]
    if reference.digest is not None:
        names = state.names.repository(call.repository(state))
        doomed = [name.parsed for name in names if name.digest == reference.digest]
    removed = [await tasks.in_thread(state.names.untag, name) for name in doomed]
    if not any(removed):
        raise Failure("MANIFEST_UNKNOWN", f"manifest {call.argument} of {call.name} is not here")
    state.remember(call.name)
    return Response(202)


def parsed_manifests(state: State, repository: str) -> Iterator[tuple[Name, Manifest | Index]]:
    """Every manifest that has a name in the repository, once each."""
    seen: set[Digest] = set()
    for name in state.names.repository(repository):
        if name.digest in seen:
            continue
        seen.add(name.digest)
        try:
            yield name, manifest.parse(read(state.content, name.digest, manifest.SIZE_MAX))
        except KnarrError:
            continue


async def _lookup(state: State, call: Call) -> tuple[Digest, str]:
    """Digest and media type of what the reference names: by name, or as an entry of an index that has one."""
    reference = call.reference(state)
    name = state.names.find(reference)
    if name is not None:
        return name.digest, name.media_type
    if reference.digest is not None:
        entry = _entry_of_index(state, reference)
        if entry is not None:
            return entry.digest, entry.media_type
    if state.upstream is not None:
        ns = call.query.get("ns", "")
        name = await state.upstream.manifest(call.name, ns, tag=reference.tag, digest=reference.digest)
        return name.digest, name.media_type
    raise Failure("MANIFEST_UNKNOWN", f"manifest {call.argument} of {call.name} is not here")


def _entry_of_index(state: State, reference: Reference) -> Descriptor | None:
    for _, parsed in parsed_manifests(state, reference.repository):
        if isinstance(parsed, Index):
            for entry in parsed.manifests:
                if entry.digest == reference.digest:
                    return entry
    return None


def _check_parts(state: State, parsed: Manifest | Index) -> None:
    """Everything that the manifest refers to is here, in the size it says. Foreign layers are only referred to."""
    for part in _described(parsed):
        if part.urls:
            continue
        if isinstance(parsed, Index):
            _keep(state, part.digest)
        if not state.content.touch(part.digest):
            raise Failure("MANIFEST_BLOB_UNKNOWN", f"blob {part.digest} is not here")
        if state.content.info(part.digest).size != part.size:
            raise Failure("SIZE_INVALID", f"blob {part.digest} has not the size {part.size} that the manifest says")


def _described(parsed: Manifest | Index) -> tuple[Descriptor, ...]:
    return parsed.manifests if isinstance(parsed, Index) else (parsed.config, *parsed.layers)


def _keep(state: State, digest: Digest) -> None:
    """An image that no name kept is wanted again by an index: none of its blobs may go before the index is named."""
    for part in gc.reached(state.content, {digest}):
        state.content.touch(part)
