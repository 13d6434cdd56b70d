"""A pipeline that writes down what it is asked: the stages of every request that the policy names.

Put together only when an audit log is wanted; without one requests pay nothing. Identity reviews and Secrets show
their bodies only at the levels Request and RequestResponse, as upstream.
"""

from dataclasses import replace

import msgspec

from knarr.apiserver import answers, authn, bodies, impersonation, routes
from knarr.apiserver.access import Attributes
from knarr.apiserver.audit import annotations
from knarr.apiserver.audit import policy as policies
from knarr.apiserver.audit.events import Answered, Asking
from knarr.apiserver.audit.log import AuditLog
from knarr.apiserver.audit.policy import Asked, Level, Policy
from knarr.apiserver.context import Json, User, parsed_query
from knarr.apiserver.pipeline import CRASHED, Pipeline, refusal
from knarr.apiserver.routes import Route
from knarr.apiserver.server import ApiServer
from knarr.base import ids
from knarr.base.errors import KnarrError
from knarr.wire import http

AUDIT_ID_MAX = 64
UNAUTHENTICATED = User("", (authn.UNAUTHENTICATED,))


class AuditedPipeline(Pipeline):
    """The pipeline of a server with an audit log."""

    def __init__(self, server: ApiServer, log: AuditLog, policy: Policy) -> None:
        super().__init__(server)
        self.log = log
        self._policy = policy

    async def handle(self, request: http.Request) -> http.Response:
        audit_id = request.header("audit-id")[:AUDIT_ID_MAX] or ids.new_uid()
        try:
            user = self.server.authenticator.user(request)
        except KnarrError as error:
            response = await answers.refused(request, refusal(error, {}), {})
            asking = self._asking(request, UNAUTHENTICATED, audit_id)
            self._put(asking, policies.COMPLETE, response)
        else:
            response = await self._audited(request, user, audit_id)
        response.headers += (("audit-id", audit_id),)
        return response

    async def handle_as(self, request: http.Request, user: User) -> http.Response:
        return await self._audited(request, user, ids.new_uid())

    async def _audited(self, request: http.Request, user: User, audit_id: str) -> http.Response:
        asking = self._asking(request, user, audit_id)
        level = asking.decision.level
        if level is Level.NONE:
            return await super().handle_as(request, user)
        self._put(asking, policies.RECEIVED)
        if level >= Level.REQUEST:
            try:
                request.body = await request.read(bodies.BODY_BYTES_MAX)
            except KnarrError as error:
                response = refusal(error, {})
                self._put(asking, policies.COMPLETE, response)
                return response
            asking = replace(asking, body=request.body)
        with annotations.collecting() as collected:
            response = await super().handle_as(request, user)
        impersonated, decided = self._annotated(request, user, asking.asked)
        annotated = (impersonated, {**decided, **collected})
        if _is_crash(response):
            self._put(asking, policies.PANIC, response, annotated)
        elif isinstance(response.body, bytes) and response.upgrade is None:
            self._put(asking, policies.COMPLETE, response, annotated)
        else:
            self._put(asking, policies.STARTED, response, annotated)
            self._follow(asking, response, annotated)
        return response

    def _follow(self, asking: Asking, response: http.Response, annotated: tuple[User | None, Json]) -> None:
        """Write the end of a stream down when it comes."""
        told = http.Response(response.status, response.headers)
        if response.upgrade is not None:
            run = response.upgrade

            async def upgraded(connection: http.Connection) -> None:
                try:
                    await run(connection)
                finally:
                    self._put(asking, policies.COMPLETE, told, annotated)

            response.upgrade = upgraded
            return
        body = response.body
        assert not isinstance(body, bytes)
        response.body = http.Followed(body, lambda: self._put(asking, policies.COMPLETE, told, annotated))

    def _asking(self, request: http.Request, user: User, audit_id: str) -> Asking:
        asked, version = self._asked(request)
        uri = f"{request.path}?{request.query}" if request.query else request.path
        return Asking(
            audit_id,
            uri,
            asked,
            version,
            user,
            self.server.clock.now(),
            policies.decision(self._policy, user, asked),
            source=request.peer.address.rpartition(":")[0] if ":" in request.peer.address else request.peer.address,
            agent=request.header("user-agent"),
            media=request.header("content-type", "application/json").partition(";")[0].strip().lower(),
        )

    def _asked(self, request: http.Request) -> tuple[Asked, str]:
        try:
            route = routes.match(self.server.resources, request.method, request.path, parsed_query(request.query))
        except (KnarrError, ValueError):
            route = Route(request.method.lower())
        if not isinstance(route, Route) or route.resource is None:
            return Asked(request.method.lower(), path=request.path), ""
        kind = route.resource.kind
        asked = Asked(route.verb, kind.group, kind.plural, route.subresource, route.namespace, route.name)
        return asked, kind.version

    def _annotated(self, request: http.Request, user: User, asked: Asked) -> tuple[User | None, Json]:
        """Whom the caller acted as, and what the authorizers say about it."""
        impersonated = None
        if impersonation.is_asked(request):
            try:
                impersonated = impersonation.user(self.server, user, request)
            except KnarrError:
                return None, {"authorization.k8s.io/decision": "forbid"}
        wanted = Attributes(
            asked.verb, asked.group, "", asked.resource, asked.subresource, asked.namespace, asked.name, asked.path
        )
        decision = self.server.decide(impersonated or user, wanted)
        verdict = "allow" if decision.is_allowed else "forbid"
        return impersonated, {
            "authorization.k8s.io/decision": verdict, "authorization.k8s.io/reason": decision.reason
        }  # fmt: skip

    def _put(
        self,
        asking: Asking,
        stage: str,
        response: http.Response | None = None,
        annotated: tuple[User | None, Json] = (None, {}),
    ) -> None:
        decision = asking.decision
        if decision.level is Level.NONE or stage in decision.omitted_stages:
            return
        moment = self.server.clock.now()
        if response is None:
            self.log.put(asking, Answered(stage, moment))
            return
        body = response.body if isinstance(response.body, bytes) else b""
        self.log.put(asking, Answered(stage, moment, response.status, response.headers, body, *annotated))


def _is_crash(response: http.Response) -> bool:
    if response.status != 500 or not isinstance(response.body, bytes):
        return False
    try:
        return bool(msgspec.json.decode(response.body).get("message") == CRASHED)
    except (msgspec.DecodeError, AttributeError):
        return False
