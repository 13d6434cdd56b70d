"""Who may ask the kubelet's HTTP server for what: certificates and bearer tokens in, RBAC's word out.

The API server is asked: TokenReview who a token is, SubjectAccessReview whether that user may do the verb to a
subresource of this node. Its answers are kept for upstream's times. `wanted` is pure. Nobody is anonymous, and exec,
attach and port-forward want `create` whatever the method (TRUST SEC-13, SEC-14). Spec: docs "Kubelet
authentication/authorization".
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol
from urllib.parse import unquote

from knarr.base.clock import Clock, Instant
from knarr.client.client import Client, Json
from knarr.kinds import registry
from knarr.wire import http, tls

ADMINISTRATORS: Final = "system:masters"
TOKENREVIEW: Final = registry.row("authentication.k8s.io", "v1", "TokenReview")
SUBJECTACCESSREVIEW: Final = registry.row("authorization.k8s.io", "v1", "SubjectAccessReview")
TOKEN_KEPT, ALLOWED_KEPT, REFUSED_KEPT = timedelta(minutes=2), timedelta(minutes=5), timedelta(seconds=30)
KEPT_MAX: Final = 1024
_VERBS: Final = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_STREAMS: Final = ("exec", "attach", "portForward", "run")
# The first part of a path → the subresources of nodes, one of which the user needs.
_SUBRESOURCES: Final = {
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "spec": ("spec",),
    "checkpoint": ("checkpoint",),
    "pods": ("pods", "proxy"),
    "runningpods": ("pods", "proxy"),
    "healthz": ("healthz", "proxy"),
    "configz": ("configz", "proxy"),
}


@dataclass(frozen=True, slots=True)
class Who:
    """A user as certificate or token tell."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class Guard(Protocol):
    async def authenticate(self, request: http.Request) -> Who | None:
        """Whose request it is; None for nobody's. Raises Unavailable when that cannot be told now."""
        ...

    async def allows(self, who: Who, request: http.Request) -> bool: ...


def wanted(method: str, path: str) -> tuple[str, tuple[str, ...]]:
    """(verb, subresources of the node) that a request needs; one of the subresources is enough."""
    # Decoded as the server does it: an encoded letter makes no other path.
    first = unquote(path.strip("/").split("/")[0]).lower()
    if first in (stream.lower() for stream in _STREAMS):
        return "create", ("proxy",)
    return _VERBS.get(method, method.lower()), _SUBRESOURCES.get(first, ("proxy",))


class Administrators:
    """Certificates of the cluster's administrators, and nobody else."""

    async def authenticate(self, request: http.Request) -> Who | None:
        certificate = request.peer.certificate
        return Who(*tls.subject(certificate)) if certificate is not None else None

    async def allows(self, who: Who, request: http.Request) -> bool:
        return ADMINISTRATORS in who.groups


@dataclass(slots=True)
class Delegated:
    """Asks the API server, whose own certificate needs no asking."""

    client: Client
    clock: Clock
    node_name: str
    _who: "OrderedDict[str, tuple[Instant, Who | None]]" = field(default_factory=OrderedDict)
    _allowed: "OrderedDict[tuple[Who, str, str], tuple[Instant, bool]]" = field(default_factory=OrderedDict)

    async def authenticate(self, request: http.Request) -> Who | None:
        certificate = request.peer.certificate
        if certificate is not None:
            return Who(*tls.subject(certificate))
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return await self._reviewed(token.strip())

    async def allows(self, who: Who, request: http.Request) -> bool:
        if ADMINISTRATORS in who.groups:
            return True
        verb, subresources = wanted(request.method, request.path)
        for subresource in subresources:
            if await self._may(who, verb, subresource):
                return True
        return False

    async def _reviewed(self, token: str) -> Who | None:
        # What is kept is not the token: a dump of this process gives nobody away for longer than a request lasts.
        key = hashlib.sha256(token.encode()).hexdigest()
        now = self.clock.now()
        kept = self._who.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        body: Json = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = (await self.client.create(TOKENREVIEW, "", body)).get("status", {})
        user = status.get("user") or {}
        who = None
        if status.get("authenticated"):
            who = Who(user.get("username", ""), tuple(user.get("groups") or ()), user.get("uid", ""))
        self._who[key] = (now + (TOKEN_KEPT if who is not None else REFUSED_KEPT), who)
        _bound(self._who)
        return who

    async def _may(self, who: Who, verb: str, subresource: str) -> bool:
        key = (who, verb, subresource)
        now = self.clock.now()
        kept = self._allowed.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        asked = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource, "name": self.node_name}
        spec = {"user": who.name, "groups": list(who.groups), "uid": who.uid, "resourceAttributes": asked}
        body: Json = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self.client.create(SUBJECTACCESSREVIEW, "", body)
        is_allowed = bool(answer.get("status", {}).get("allowed"))
        self._allowed[key] = (now + (ALLOWED_KEPT if is_allowed else REFUSED_KEPT), is_allowed)
        _bound(self._allowed)
        return is_allowed


def _bound(kept: "OrderedDict[Any, Any]") -> None:
    while len(kept) > KEPT_MAX:
        kept.popitem(last=False)
