"""Authorising: which question a request puts to the authorizers, and the refusal in upstream's words.

The decisions are nodes.py's and rbac.py's. exec, attach and port-forward act, so they need `create` by any method.
"""

from typing import TYPE_CHECKING, Final

from knarr.apiserver import access, authn, selecting
from knarr.apiserver.admission import node_restriction
from knarr.apiserver.context import RequestContext, User
from knarr.base import errors
from knarr.wire import http

if TYPE_CHECKING:
    from knarr.apiserver.server import ApiServer

VERB_OF_METHOD: Final = {"PUT": "update", "PATCH": "patch"}
"""What a method is asked for as where its path does not offer it: a collection is not replaced, but who may?"""


def authorise(context: RequestContext) -> None:
    """Whether the caller may do what the route says. Raises Forbidden in upstream's words."""
    route, kind = context.route, context.resource.kind
    verb = route.verb or VERB_OF_METHOD.get(context.request.method, "")
    if (
        route.subresource
        and kind.subresources[route.subresource].facts.get("connect")
        and "pathSuffix" not in (kind.subresources[route.subresource].facts)
    ):
        verb = "create"  # exec, attach and portforward act, whatever the method
    name, fields = route.name, ""
    if verb in ("list", "watch", "deletecollection"):
        fields = context.query.get("fieldSelector", "")
        name = name or selecting.single_name(fields)  # a rule's resourceNames hold for such a list as well
    _decide(context, verb, name, fields)
    node_restriction.request(context)


def authorise_create(context: RequestContext) -> None:
    """For an update or apply that finds nothing there and so creates. Raises Forbidden."""
    _decide(context, "create", context.route.name, "")


def _decide(context: RequestContext, verb: str, name: str, fields: str) -> None:
    if context.server.access.trusts(context.user):
        return
    route, kind = context.route, context.resource.kind
    wanted = access.Attributes(
        verb, kind.group, kind.version, kind.plural, route.subresource, route.namespace, name, field_selector=fields
    )
    decision = context.server.decide(context.user, wanted)
    if not decision.is_allowed:
        _refuse_nobody(context.user)
        qualified = context.resource.qualified + (f"/{route.subresource}" if route.subresource else "")
        named = f' "{name}"' if name else ""
        raise errors.Forbidden(
            f"{qualified}{named} is forbidden: {access.refusal_text(context.user, wanted, decision.reason)}"
        )


def _refuse_nobody(user: User) -> None:
    """Who brings no credentials is told to, and nothing else."""
    if user is authn.ANONYMOUS:
        raise errors.Unauthenticated("Unauthorized")


def authorise_path(server: "ApiServer", user: User, request: http.Request) -> None:
    """The same for a path that is no resource."""
    wanted = access.Attributes(request.method.lower(), path=request.path)
    decision = server.decide(user, wanted)
    if not decision.is_allowed:
        _refuse_nobody(user)
        raise errors.Forbidden(f"forbidden: {access.refusal_text(user, wanted, decision.reason)}")
