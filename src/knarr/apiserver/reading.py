"""Reading: which entries a list means: selectors, chunks, and the revision it is consistent at.

resourceVersion and resourceVersionMatch as documented: "" and "0" and NotOlderThan read the present (the only
server's memory is always up to date); Exact and continued chunks read history. Spec: API Concepts, "Resource versions".
"""

import base64
from dataclasses import dataclass

import msgspec

from knarr.apiserver import options, selecting
from knarr.apiserver.context import RequestContext, integer
from knarr.apiserver.selecting import Selection
from knarr.apiserver.status import Refusal
from knarr.base.errors import BadRequest, Expired, KnarrError
from knarr.base.ids import Revision
from knarr.store.store import Entry, Listing
from knarr.wire import strict_json

ANY_REVISION = -1
"""In a token: continue in the present, though the list will not be of one moment."""
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
TOKEN_VERSION = "meta.k8s.io/v1"  # noqa: S105  # names a format


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a list; `token` is "" at the end; `remaining` None when nobody counted."""

    entries: tuple[Entry, ...]
    revision: Revision
    token: str = ""
    remaining: int | None = None


class _Token(msgspec.Struct):
    v: str
    rv: int
    start: str


def listing(context: RequestContext) -> Page:
    """The page that the request asks for. Raises BadRequest, Expired or a 504 Refusal."""
    options.check_list(context)
    limit = integer("limit", context.query.get("limit", "")) or 0
    if limit < 0:
        raise BadRequest("limit: it must not be negative")
    prefix = context.resource.list_prefix(context.route.namespace)
    at, after = _start(context, prefix, limit)
    chosen = selecting.of(context)
    store = context.server.store
    try:
        if chosen.is_everything:
            return _page(store.list(prefix, at=at, after=after, limit=limit), prefix)
        if chosen.name and context.route.namespace and at is None:
            return _single(context, chosen)
        listed = store.list(prefix, at=at, after=after)
    except Expired as error:
        raise _expired(context, error, after.removeprefix(prefix)) from error
    matching = [entry for entry in listed.entries if chosen.matches(entry.value)]
    if limit and len(matching) > limit:
        kept = tuple(matching[:limit])
        return Page(kept, listed.revision, _token(listed.revision, kept[-1].key, prefix))
    return Page(tuple(matching), listed.revision)


def _single(context: RequestContext, chosen: Selection) -> Page:
    store = context.server.store
    entry = store.get(context.resource.key(context.route.namespace, chosen.name))
    return Page((entry,) if entry is not None and chosen.matches(entry.value) else (), store.revision)


def _page(listed: Listing, prefix: str) -> Page:
    if not listed.remaining:
        return Page(listed.entries, listed.revision)
    token = _token(listed.revision, listed.entries[-1].key, prefix)
    return Page(listed.entries, listed.revision, token, listed.remaining)


def _start(context: RequestContext, prefix: str, limit: int) -> tuple[Revision | None, str]:
    query = context.query
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    token = query.get("continue", "")
    if token:
        start = _continued(token, prefix)
        if version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        return start
    if version in ("", "0"):
        return None, ""
    asked = check_not_in_future(context)
    is_exact = match == "Exact" or (limit > 0 and not match)
    return (asked, "") if is_exact else (None, "")


def check_not_in_future(context: RequestContext) -> Revision:
    """The resourceVersion asked for; a 504 Refusal when it is younger than the store, as upstream."""
    text = context.query["resourceVersion"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequest(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    asked, now = int(text), context.server.store.revision
    if asked > now:
        message = f"Timeout: Too large resource version: {asked}, current: {now}"
        details = {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }
        raise Refusal(504, "Timeout", message, details=details, after=1)
    return Revision(asked)


def _token(revision: int, last: str, prefix: str) -> str:
    start = last.removeprefix(prefix)
    raw = msgspec.json.encode(_Token(TOKEN_VERSION, revision, start))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _continued(token: str, prefix: str) -> tuple[Revision | None, str]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)), type=_Token)
    except (ValueError, *strict_json.UNREADABLE) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from error
    if found.v != TOKEN_VERSION or ".." in found.start.split("/"):
        raise BadRequest(
            "invalid continue token: continue key is not valid: server does not recognize this encoded version"
        )
    return (Revision(found.rv) if found.rv > 0 else None), prefix + found.start


def _expired(context: RequestContext, error: Expired, start: str) -> KnarrError:
    """410; to who continues, with a token that goes on from there in the present, as upstream."""
    if not context.query.get("continue"):
        return Expired("The resourceVersion for the provided list is too old.", error.oldest)
    return Refusal(410, "Expired", TOO_OLD, metadata={"continue": _token(ANY_REVISION, start, "")})
