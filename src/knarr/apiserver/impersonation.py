"""Impersonation: Impersonate-User, -Group, -Uid and -Extra-* headers, each authorised on its own."""

from urllib.parse import unquote

from knarr.apiserver import access
from knarr.apiserver.authn import AUTHENTICATED, UNAUTHENTICATED
from knarr.apiserver.context import User
from knarr.apiserver.server import ApiServer
from knarr.base.errors import BadRequest, Forbidden
from knarr.wire import http

EXTRA = "impersonate-extra-"
SERVICE_ACCOUNT = "system:serviceaccount:"


def is_asked(request: http.Request) -> bool:
    for key, _ in request.headers:  # noqa: SIM110  # every request asks, and a generator costs three times as much
        if key.startswith("impersonate-"):
            return True
    return False


def user(server: ApiServer, caller: User, request: http.Request) -> User:
    """The impersonated user. Raises Forbidden or BadRequest."""
    name = request.header("impersonate-user")
    groups = request.header_all("impersonate-group")
    uid = request.header("impersonate-uid")
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in request.headers:
        if key.startswith(EXTRA):
            field = unquote(key.removeprefix(EXTRA)).lower()
            extra[field] = (*extra.get(field, ()), value)
    if not name:
        asked = [f"group {each}" for each in groups] + [f"uid {uid}"] * bool(uid) + [f"extra {each}" for each in extra]
        raise BadRequest(f"requested {', '.join(asked) or 'impersonation'} without impersonating a user")
    _authorise_user(server, caller, name)
    for group in groups:
        _check(server, caller, access.Attributes("impersonate", resource="groups", name=group))
    if uid:
        _check(server, caller, access.Attributes("impersonate", "authentication.k8s.io", resource="uids", name=uid))
    for field, values in extra.items():
        for value in values:
            wanted = access.Attributes("impersonate", "authentication.k8s.io", "v1", "userextras", field, "", value)
            _check(server, caller, wanted)
    return User(name, _groups(name, groups), uid, extra)


def _groups(name: str, groups: list[str]) -> tuple[str, ...]:
    if name.startswith(SERVICE_ACCOUNT) and not groups:
        namespace = name.removeprefix(SERVICE_ACCOUNT).partition(":")[0]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    if name == "system:anonymous":
        return (*groups, UNAUTHENTICATED) if UNAUTHENTICATED not in groups else tuple(groups)
    return (*groups, AUTHENTICATED) if AUTHENTICATED not in groups else tuple(groups)


def _authorise_user(server: ApiServer, caller: User, name: str) -> None:
    if name.startswith(SERVICE_ACCOUNT) and name.count(":") == 3:
        namespace, account = name.removeprefix(SERVICE_ACCOUNT).split(":")
        wanted = access.Attributes("impersonate", resource="serviceaccounts", namespace=namespace, name=account)
    else:
        wanted = access.Attributes("impersonate", resource="users", name=name)
    _check(server, caller, wanted)


def _check(server: ApiServer, caller: User, wanted: access.Attributes) -> None:
    decision = server.decide(caller, wanted)
    if not decision.is_allowed:
        text = access.refusal_text(caller, wanted, decision.reason)
        raise Forbidden(f'{wanted.resource} "{wanted.name}" is forbidden: {text}')
