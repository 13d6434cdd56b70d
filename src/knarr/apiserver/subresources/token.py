"""serviceaccounts/NAME/token: TokenRequest, optionally bound to a pod, secret or node."""

from datetime import UTC, datetime

from knarr.apiserver import answers, bodies, status, tokens
from knarr.apiserver.admission import node_restriction
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base import clock
from knarr.base.errors import BadRequest, Cause, Conflict, Unavailable
from knarr.wire import http

TYPE_NAME = "io.k8s.api.authentication.v1.TokenRequest"
SECONDS_DEFAULT, SECONDS_MIN, SECONDS_MAX = 3600, 600, 1 << 32


async def answer(context: RequestContext) -> http.Response:
    request = bodies.typed(await bodies.object_body(context), TYPE_NAME)
    if request.get("kind") not in (None, "TokenRequest"):
        raise BadRequest(f"the body is not a TokenRequest but {request.get('kind')}")
    server = context.server
    if server.tokens is None:
        raise Unavailable("this server has no key to sign tokens with")
    entry = server.store.get(context.key)
    if entry is None:
        raise status.not_found("serviceaccounts", context.route.name)
    account = context.resource.decode_entry(entry)["metadata"]
    spec = dict(request.get("spec") or {})
    audiences = spec.get("audiences") or [tokens.ISSUER]
    seconds = spec.get("expirationSeconds") or SECONDS_DEFAULT
    _check_seconds(seconds)
    node_restriction.token(context, spec.get("boundObjectRef"))
    bound, node = _bound(context, spec.get("boundObjectRef"))
    token, expires = server.tokens.sign(
        (account["namespace"], account["name"], account["uid"]), audiences, seconds, bound=bound, node=node
    )
    made = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": account["name"],
            "namespace": account["namespace"],
            "creationTimestamp": clock.rfc3339(server.clock.now()),
        },
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {
            "token": token,
            "expirationTimestamp": clock.rfc3339(datetime.fromtimestamp(expires, UTC)),
        },
    }
    return answers.json_response(answers.encoded(made), 201)


def _check_seconds(seconds: int) -> None:
    field = "spec.expirationSeconds"
    if seconds < SECONDS_MIN:
        text = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
    elif seconds > SECONDS_MAX:
        text = f"Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds"
    else:
        return
    raise status.invalid("TokenRequest", "authentication.k8s.io", "", [Cause(field, "FieldValueInvalid", text)])


def _bound(context: RequestContext, ref: Json | None) -> tuple[tokens.Bound | None, tuple[str, str] | None]:
    """The bound object, which must live, and the node of a bound pod. Raises NotFound, Conflict."""
    if not ref:
        return None, None
    kind, name = ref.get("kind") or "", ref.get("name") or ""
    if kind not in tokens.BOUND:
        raise BadRequest(f"cannot bind token for serviceaccount to an object of kind {kind}")
    prefix, is_namespaced = tokens.BOUND[kind]
    store, resources = context.server.store, context.server.resources
    entry = store.get(f"{prefix}{context.route.namespace}/{name}" if is_namespaced else prefix + name)
    if entry is None:
        raise status.not_found(f"{kind.lower()}s", name)
    obj = resources.by_kind["", "v1", kind].decode_entry(entry)
    uid = obj["metadata"]["uid"]
    if ref.get("uid") and ref["uid"] != uid:
        raise Conflict(
            f'Operation cannot be fulfilled on {kind} "{name}": the UID in the bound object reference ({ref["uid"]}) '
            f"does not match the UID in record. The object might have been deleted and then recreated"
        )
    if kind == "Pod" and (obj.get("spec") or {}).get("serviceAccountName") != context.route.name:
        raise BadRequest("cannot bind token for serviceaccount to pod running with different serviceaccount name")
    return tokens.Bound(kind, name, uid), _node(
        context, (obj.get("spec") or {}).get("nodeName") if kind == "Pod" else ""
    )


def _node(context: RequestContext, name: str | None) -> tuple[str, str] | None:
    entry = context.server.store.get(f"/registry/minions/{name}") if name else None
    if entry is None or not name:
        return None
    node = context.server.resources.of("", "v1", "nodes").decode_entry(entry)
    return name, node["metadata"]["uid"]
