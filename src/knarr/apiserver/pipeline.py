"""The pipeline: authenticate → authorise → verb → answer, and every refusal a metav1.Status.

`handle` serves sockets; `handle_as` serves callers in process whose user is known. The verbs are a table.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from knarr.apiserver import (
    answers,
    authorising,
    components,
    impersonation,
    negotiation,
    nonresource,
    options,
    reviews,
    routes,
    status,
    usage,
)
from knarr.apiserver import metrics as metrics_page
from knarr.apiserver.context import RequestContext, User, parsed_query
from knarr.apiserver.resources import Resource
from knarr.apiserver.server import ApiServer
from knarr.apiserver.subresources import binding
from knarr.apiserver.subresources import table as subresources
from knarr.apiserver.verbs import create, delete, deletecollection, get, list, patch, update, watch
from knarr.base import ids, logs
from knarr.base.errors import KnarrError, Unauthenticated
from knarr.kinds import metrics
from knarr.wire import http

Verb = Callable[[RequestContext], Awaitable[http.Response]]

VERBS: Final[dict[str, Verb]] = {
    "create": create.create,
    "get": get.get,
    "list": list.list_,
    "watch": watch.watch,
    "update": update.update,
    "patch": patch.patch,
    "delete": delete.delete,
    "deletecollection": deletecollection.deletecollection,
}
# (group, plural) of the kinds that are asked and never stored → what answers.
UNSTORED: Final[dict[tuple[str, str], Verb]] = {
    **dict.fromkeys(reviews.ROWS, reviews.answer),
    ("", "bindings"): binding.collection,
    ("", "componentstatuses"): components.components,
    (metrics.GROUP, "nodes"): usage.nodes,
    (metrics.GROUP, "pods"): usage.pods,
}
CRASHED: Final = "Internal error occurred"
log = logs.log("apiserver")


class Pipeline:
    """Requests of one server."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    async def handle(self, request: http.Request) -> http.Response:
        """A request from a socket."""
        audit = (("audit-id", ids.new_uid()),)
        try:
            user = self.server.authenticator.user(request)
            response = await self.handle_as(request, user)
        except KnarrError as error:
            query: Mapping[str, str] = {}
            with contextlib.suppress(KnarrError):  # of too many parameters none is worth a look
                query = parsed_query(request.query)
            response = await answers.refused(request, refusal(error, {}), query)
        response.headers += audit
        return response

    async def handle_as(self, request: http.Request, user: User) -> http.Response:
        """A request of a user who is known."""
        start = time.perf_counter()
        context: RequestContext | None = None
        query: Mapping[str, str] = {}
        try:
            query = parsed_query(request.query)
            route = routes.match(self.server.resources, request.method, request.path, query)
            if isinstance(route, routes.Unknown):
                if impersonation.is_asked(request):
                    user = impersonation.user(self.server, user, request)
                authorising.authorise_path(self.server, user, request)
                response = nonresource.unknown_path()
            else:
                context = RequestContext(self.server, request, route, query, user)
                response = await self._counted(context)
        except KnarrError as error:
            response = await answers.refused(request, refusal(error, _details(context, error)), query)
        except Exception:
            log.exception("request failed %s", logs.fields(method=request.method, path=request.path))
            response = refusal(status.Refusal(500, "InternalError", CRASHED), {})
        self.server.metrics.count(context, response.status, time.perf_counter() - start)
        return response

    async def _counted(self, context: RequestContext) -> http.Response:
        """The answer, counted among the requests in flight; what goes on after it among those that run long."""
        inflight, is_mutating = self.server.metrics.inflight, context.request.method in metrics_page.MUTATING
        inflight[is_mutating] += 1
        try:
            if impersonation.is_asked(context.request):
                context.impersonator = context.user
                context.user = impersonation.user(self.server, context.user, context.request)
            gate = self.server.gate
            response = await (_dispatch(context) if gate is None else gate.passed(context, _dispatch))
            response = await answers.finished(context, response)
        finally:
            inflight[is_mutating] -= 1
        if context.route.subresource:
            self.server.metrics.followed(context, response)
        return response


async def _dispatch(context: RequestContext) -> http.Response:
    route = context.route
    if route.resource is None:
        authorising.authorise_path(context.server, context.user, context.request)
        return await nonresource.answer(context)
    authorising.authorise(context)  # Before a word on what the path offers: that is not everybody's to know.
    try:
        return await _asked(context, route.resource)
    except KnarrError as error:
        if not context.warnings:
            raise
        return refusal(error, _details(context, error))  # with what was warned of before it was refused


def _asked(context: RequestContext, resource: Resource) -> Awaitable[http.Response]:
    """What answers, begun: a plain function, for every coroutine on the way costs with each step of the answer."""
    route = context.route
    if not route.is_offered:
        raise status.method_not_allowed()
    if not route.is_connected:
        options.check(context)
        if context.request.method != "GET":
            negotiation.accepted(context.request.header("accept"))  # who cannot be answered changes nothing
    if route.subresource:
        return subresources.answer(context)
    row = UNSTORED.get((resource.group, resource.plural))
    if row is not None:
        return row(context)
    return VERBS[route.verb](context)


def refusal(error: KnarrError, details: dict[str, Any]) -> http.Response:
    """The answer to an error."""
    body = status.of(error, details)
    headers: http.Headers = ()
    after = (body.get("details") or {}).get("retryAfterSeconds")
    if after:
        headers = (("retry-after", str(after)),)
    return answers.json_response(answers.encoded(body), body["code"], headers)


def _details(context: RequestContext | None, error: KnarrError) -> dict[str, Any]:
    """What was asked for; who says nothing of themselves is not told, as upstream, whether we know such a kind."""
    if context is None or context.route.resource is None or isinstance(error, Unauthenticated):
        return {}
    route, resource = context.route, context.route.resource
    details = {"name": route.name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}
