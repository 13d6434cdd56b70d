"""Reviews: kinds that are asked and never stored: access, identity and token reviews."""

from collections.abc import Callable
from typing import Any, Final

from knarr.apiserver import answers, bodies, negotiation, status, writing
from knarr.apiserver.access import Attributes
from knarr.apiserver.context import Json, RequestContext, User
from knarr.apiserver.tokens import ISSUER
from knarr.base import clock, errors
from knarr.base.errors import Cause
from knarr.kinds import walks
from knarr.objects import faults
from knarr.wire import http

Answer = Callable[[RequestContext, Json], Json]


async def answer(context: RequestContext) -> http.Response:
    """Answer a create of a review. Raises a 406 Refusal for who wants a Table of it."""
    negotiation.accepted(context.request.header("accept"), negotiation.UNTABLED)
    obj = writing.checked_kind(context, await bodies.object_body(context))
    bodies.report(context, walks.unknown_fields(context.resource.kind, obj))
    obj = walks.decoded(context.resource.kind, obj)
    kind = context.resource.kind
    reviewed = ROWS[kind.group, kind.plural](context, obj)
    return answers.json_response(answers.encoded(reviewed), 201)


def self_subject_review(context: RequestContext, obj: Json) -> Json:
    reviewed = {**obj, "status": {"userInfo": user_value(context.user)}}
    reviewed["metadata"] = {**obj["metadata"], "creationTimestamp": clock.rfc3339(context.server.clock.now())}
    return reviewed


def user_value(user: User) -> Json:
    """authentication.k8s.io UserInfo."""
    value: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        value["uid"] = user.uid
    if user.extra:
        value["extra"] = {key: list(values) for key, values in user.extra.items()}
    return value


def token_review(context: RequestContext, obj: Json) -> Json:
    spec = obj.get("spec") or {}
    tokens = context.server.tokens
    token, audiences = spec.get("token") or "", spec.get("audiences") or [ISSUER]
    if not token:
        raise errors.BadRequest("token is required for TokenReview in authentication")
    checked = tokens.check(token, audiences) if tokens else None
    if checked is None and ISSUER in audiences:
        user = context.server.authenticator.token_user(token)  # one that is no ServiceAccount's
        checked = (user, [ISSUER]) if user is not None else None
    if checked is None:
        return {**obj, "status": {"user": {}, "error": "invalid bearer token"}}
    user, audiences = checked
    return {**obj, "status": {"authenticated": True, "user": user_value(user), "audiences": audiences}}


def self_access_review(context: RequestContext, obj: Json) -> Json:
    _refuse(obj, _attribute_faults(obj.get("spec") or {}))
    return _access_reviewed(context, obj, context.user)


def access_review(context: RequestContext, obj: Json) -> Json:
    spec = obj.get("spec") or {}
    _refuse(obj, [*_attribute_faults(spec), *_user_faults(spec)])
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    user = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "", extra)
    return _access_reviewed(context, obj, user)


def local_access_review(context: RequestContext, obj: Json) -> Json:
    spec, found = obj.get("spec") or {}, []
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    asked = (resource or {}).get("namespace") or ""
    if resource is not None and asked != context.route.namespace:
        found.append(faults.invalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace"))
    if path is not None:
        found.append(faults.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"))
    _refuse(obj, [*_attribute_faults(spec), *_user_faults(spec), *found])
    return access_review(context, obj)


def _access_reviewed(context: RequestContext, obj: Json, user: User) -> Json:
    decision = context.server.decide(user, _attributes(obj))
    decided: Json = {"allowed": decision.is_allowed}
    if decision.reason:
        decided["reason"] = decision.reason
    return {**obj, "status": decided}


def _attributes(obj: Json) -> Attributes:
    spec = obj.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is None:
        assert path is not None, "judged by _attribute_faults"
        return Attributes(path.get("verb") or "", path=path.get("path") or "/")
    return Attributes(
        resource.get("verb") or "",
        resource.get("group") or "",
        resource.get("version") or "",
        resource.get("resource") or "",
        resource.get("subresource") or "",
        resource.get("namespace") or "",
        resource.get("name") or "",
    )


def _attribute_faults(spec: Json) -> list[Cause]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        return [faults.invalid("spec.nonResourceAttributes", path, text)]
    if resource is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        return [faults.invalid("spec.resourceAttributes", None, text)]
    return []


def _user_faults(spec: Json) -> list[Cause]:
    if spec.get("user") or spec.get("groups"):
        return []
    return [faults.invalid("spec.user", "", "at least one of user or group must be specified")]


def _refuse(obj: Json, found: list[Cause]) -> None:
    """Raises a 422 Refusal for the faults of a review, if there are any."""
    if found:
        raise status.invalid(obj["kind"], _ACCESS, "", found)


def rules_review(context: RequestContext, obj: Json) -> Json:
    namespace = (obj.get("spec") or {}).get("namespace") or ""
    if not namespace:
        raise errors.BadRequest("no namespace on request")
    resource_rules: list[Any] = []
    path_rules: list[Any] = []
    for rule in context.server.rules(context.user, namespace):
        if rule.non_resource_urls:
            path_rules.append({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls})
        else:
            value = {"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources}
            resource_rules.append(value | ({"resourceNames": rule.resource_names} if rule.resource_names else {}))
    rules = {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}
    return {**obj, "status": rules}


_IDENTITY: Final = "authentication.k8s.io"
_ACCESS: Final = "authorization.k8s.io"
# (group, plural) of a review → what answers it.
ROWS: Final[dict[tuple[str, str], Answer]] = {
    (_IDENTITY, "selfsubjectreviews"): self_subject_review,
    (_IDENTITY, "tokenreviews"): token_review,
    (_ACCESS, "selfsubjectaccessreviews"): self_access_review,
    (_ACCESS, "subjectaccessreviews"): access_review,
    (_ACCESS, "localsubjectaccessreviews"): local_access_review,
    (_ACCESS, "selfsubjectrulesreviews"): rules_review,
}
