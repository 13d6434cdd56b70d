"""Who may do what: RBAC, impersonation, escalation, reviews, tokens."""

import base64
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from knarr.apiserver.authn import Authenticator
from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rbac
from knarr.apiserver.server import ApiServer
from knarr.apiserver.tokens import ISSUER, Tokens
from knarr.kinds import registry
from knarr.store.memory import MemoryStore
from knarr.wire import http
from tests.unit.apiserver.conftest import Asker

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PODS = "/api/v1/namespaces/default/pods"
DEV = User("dev", ("system:authenticated",))
NOW = 1_800_000_000.0


@pytest.fixture
async def ask() -> Asker:
    store = MemoryStore()
    tokens = Tokens(new_key, store, lambda: NOW)
    server = ApiServer(store, access=Rbac(store), tokens=tokens, authenticator=Authenticator(tokens.user))
    pipeline = Pipeline(server)
    await bootstrap.run(pipeline, service_address="10.96.0.1", port=6443)
    return Asker(pipeline)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def role(name: str, *rules: dict[str, Any], kind: str = "Role") -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": list(rules),
    }


def binding(name: str, role_name: str, subject: str, *, role_kind: str = "Role") -> dict[str, Any]:
    kind, _, who = subject.partition(":")
    entry: dict[str, Any] = {"kind": kind, "name": who}
    if kind == "ServiceAccount":
        entry["namespace"] = "default"
    else:
        entry["apiGroup"] = "rbac.authorization.k8s.io"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role_name},
        "subjects": [entry],
    }


READ_PODS = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}


async def test_what_no_rule_allows_is_forbidden_in_upstreams_words(ask: Asker) -> None:
    refused = await ask.as_user(DEV)("GET", PODS)
    assert (refused["code"], refused["reason"]) == (403, "Forbidden")
    assert refused["message"] == (
        'pods is forbidden: User "dev" cannot list resource "pods" in API group "" in the namespace "default"'
    )


async def test_a_binding_holds_at_once_and_ends_at_once(ask: Asker) -> None:
    await ask("POST", f"{RBAC}/namespaces/default/roles", role("r", READ_PODS))
    await ask("POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "User:dev"))
    dev = ask.as_user(DEV)
    assert (await dev("GET", PODS))["kind"] == "PodList"
    assert (await dev("GET", "/api/v1/pods"))["code"] == 403
    assert (await dev("GET", "/api/v1/namespaces/kube-system/pods"))["code"] == 403
    assert (await dev("DELETE", f"{PODS}/x"))["code"] == 403
    await ask("DELETE", f"{RBAC}/namespaces/default/rolebindings/b")
    assert (await dev("GET", PODS))["code"] == 403


async def test_aggregated_roles_give_what_their_parts_give(ask: Asker) -> None:
    await ask(
        "POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "edit", "User:dev", role_kind="ClusterRole")
    )
    dev = ask.as_user(DEV)
    assert (await dev("GET", PODS))["kind"] == "PodList"
    extra = role("more", {"verbs": ["create"], "apiGroups": [""], "resources": ["resourcequotas"]}, kind="ClusterRole")
    extra["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    assert (await dev("POST", "/api/v1/namespaces/default/resourcequotas", quota))["code"] == 403
    await ask("POST", f"{RBAC}/clusterroles", extra)
    assert (await dev("POST", "/api/v1/namespaces/default/resourcequotas", quota))["kind"] == "ResourceQuota"


async def test_nobody_grants_what_they_do_not_hold(ask: Asker) -> None:
    await ask(
        "POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "admin", "User:dev", role_kind="ClusterRole")
    )
    dev = ask.as_user(DEV)
    assert (await dev("POST", f"{RBAC}/namespaces/default/roles", role("fine", READ_PODS)))["kind"] == "Role"
    nodes = {"verbs": ["get"], "apiGroups": ["*"], "resources": ["nodes"]}
    refused = await dev("POST", f"{RBAC}/namespaces/default/roles", role("much", nodes))
    assert refused["code"] == 403
    assert refused["message"].endswith(
        "is attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:["*"], Resources:["nodes"], Verbs:["get"]}'
    )
    master = binding("m", "cluster-admin", "User:dev", role_kind="ClusterRole")
    assert (await dev("POST", f"{RBAC}/namespaces/default/rolebindings", master))["code"] == 403


async def test_impersonation_is_authorised_and_then_decides_as_the_other(ask: Asker) -> None:
    async def as_other(user: User, *headers: tuple[str, str]) -> int:
        request = http.Request("GET", PODS, headers=headers)
        return (await ask.pipeline.handle_as(request, user)).status

    assert await as_other(ask.user, ("impersonate-user", "dev")) == 403
    assert await as_other(ask.user, ("impersonate-user", "dev"), ("impersonate-group", "system:masters")) == 200
    assert await as_other(DEV, ("impersonate-user", "admin")) == 403
    assert await as_other(ask.user, ("impersonate-group", "system:masters")) == 400


async def test_access_reviews_say_what_would_be_decided(ask: Asker) -> None:
    await ask("POST", f"{RBAC}/namespaces/default/roles", role("r", READ_PODS))
    await ask("POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "User:dev"))

    async def allowed(verb: str, resource: str) -> bool:
        attributes = {"verb": verb, "resource": resource, "namespace": "default"}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool((await ask.as_user(DEV)("POST", path, body))["status"]["allowed"])

    assert await allowed("list", "pods")
    assert not await allowed("delete", "pods")
    who = await ask.as_user(DEV)(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    )
    assert who["status"]["userInfo"] == {"username": "dev", "groups": ["system:authenticated"]}


async def account_token(ask: Asker, **spec: Any) -> str:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}}
    await ask("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await ask("POST", "/api/v1/namespaces/default/serviceaccounts/sa/token", request)
    return str(answer["status"]["token"])


async def with_token(ask: Asker, token: str) -> int:
    request = http.Request("GET", PODS, headers=(("authorization", f"Bearer {token}"),))
    return (await ask.pipeline.handle(request)).status


async def test_a_token_is_its_account_until_that_is_gone(ask: Asker) -> None:
    token = await account_token(ask)
    assert await with_token(ask, token) == 403
    await ask("POST", f"{RBAC}/namespaces/default/roles", role("r", READ_PODS))
    await ask("POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "ServiceAccount:sa"))
    assert await with_token(ask, token) == 200
    await ask("DELETE", "/api/v1/namespaces/default/serviceaccounts/sa")
    assert await with_token(ask, token) == 401
    again = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}}
    await ask("POST", "/api/v1/namespaces/default/serviceaccounts", again)
    assert await with_token(ask, token) == 401  # another uid


async def test_tokens_for_others_and_forged_ones_are_refused(ask: Asker) -> None:
    assert await with_token(ask, await account_token(ask, audiences=["vault"])) == 401
    token = await account_token(ask)
    header, payload, signature = token.split(".")
    for bad in (
        token + "x",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        "x.y.z",
        f"{_part({'alg': 'none'})}.{payload}.",
        f"{_part({'alg': 'none'})}.{payload}.{signature}",
        f"{_part(_header(token) | {'kid': '../../../../dev/null'})}.{payload}.{signature}",
        *_signed_with_what_everybody_knows(ask, token),
    ):
        assert await with_token(ask, bad) == 401, bad
    other = Tokens(new_key, ask.server.store, lambda: NOW)
    forged, _ = other.sign(("default", "sa", "uid"), [ISSUER], 3600)
    assert await with_token(ask, forged) == 401
    assert signature


def _signed_with_what_everybody_knows(ask: Asker, token: str) -> list[str]:
    """The public key taken for the secret of HS256, in each of its forms: a reader that believes `alg` is fooled."""
    assert ask.server.tokens is not None
    jwks = ask.server.tokens.keys()
    payload = token.split(".")[1]
    found = []
    for secret in (jwks, json.dumps(json.loads(jwks)["keys"][0]).encode(), b""):
        signed = f"{_part(_header(token) | {'alg': 'HS256'})}.{payload}"
        found.append(f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}")
    return found


def _header(token: str) -> dict[str, Any]:
    text = token.split(".")[0]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def _part(value: Any) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


async def test_an_expired_token_is_refused() -> None:
    store, clock = MemoryStore(), [NOW]
    tokens = Tokens(new_key, store, lambda: clock[0])
    key = "/registry/serviceaccounts/default/sa"
    await store.write(key, b'{"metadata":{"name":"sa","uid":"u1"}}', expect=None)
    token, expires = tokens.sign(("default", "sa", "u1"), [ISSUER], 600)
    assert expires == NOW + 600
    assert tokens.user(token) is not None
    clock[0] = NOW + 601
    assert tokens.user(token) is None


async def test_without_credentials_only_health_and_version_answer(ask: Asker) -> None:
    async def code(path: str) -> int:
        return (await ask.pipeline.handle(http.Request("GET", path))).status

    assert [await code(path) for path in ("/livez", "/readyz", "/version")] == [200, 200, 200]
    assert [await code(path) for path in ("/api", PODS, "/nowhere", "/metrics")] == [401, 401, 401, 401]


async def test_without_credentials_no_kind_answers_and_nobody_learns_what_there_is(ask: Asker) -> None:
    """Every kind's every path, each verb; the answer is the same for what is there and what is not."""
    answers: dict[tuple[int, bytes], str] = {}
    for entry in registry.facts("kinds")["kinds"]:
        prefix = f"/apis/{entry['group']}/{entry['version']}" if entry["group"] else f"/api/{entry['version']}"
        place = f"{prefix}/namespaces/default" if entry["namespaced"] else prefix
        every = f"{place}/{entry['plural']}"
        for path in (f"{prefix}/{entry['plural']}", every, f"{every}/default", f"{every}/x"):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                response = await ask.pipeline.handle(http.Request(method, path, body=b"{}"))
                assert isinstance(response.body, bytes)
                answers[response.status, response.body] = f"{method} {path}"
    assert {status for status, _ in answers} == {401}
    assert len(answers) == 1, answers


async def test_what_a_proxy_in_front_would_say_names_nobody(ask: Asker) -> None:
    """There is none whose word counts: X-Remote-User is as good as any unknown header."""
    said = (("x-remote-user", "admin"), ("x-remote-group", "system:masters"), ("x-remote-extra-scopes", "all"))
    assert (await ask.pipeline.handle(http.Request("GET", PODS, headers=said))).status == 401
    token = await account_token(ask)
    request = http.Request("GET", PODS, headers=(("authorization", f"Bearer {token}"), *said))
    assert (await ask.pipeline.handle(request)).status == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("stream", ["exec", "attach", "portforward"])
async def test_streams_need_create_by_get_too(ask: Asker, stream: str, method: str) -> None:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods", f"pods/{stream}"]}
    await ask("POST", f"{RBAC}/namespaces/default/roles", role("r", rule))
    await ask("POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "User:dev"))
    refused = await ask.as_user(DEV)(method, f"{PODS}/p/{stream}?command=id")
    assert (refused["code"], "cannot create resource" in refused["message"]) == (403, True)


async def test_only_who_holds_everything_gathers_roles(ask: Asker) -> None:
    everything = {"clusterRoleSelectors": [{}]}
    await ask("POST", f"{RBAC}/clusterroles", role("own", READ_PODS, kind="ClusterRole"))
    write_roles = {"verbs": ["*"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}
    await ask("POST", f"{RBAC}/clusterroles", role("roles", write_roles, READ_PODS, kind="ClusterRole"))
    for name in ("own", "roles"):
        made = binding(name, name, "User:dev", role_kind="ClusterRole") | {"kind": "ClusterRoleBinding"}
        await ask("POST", f"{RBAC}/clusterrolebindings", made)
    dev, merge = ask.as_user(DEV), "application/merge-patch+json"
    allowed = {**write_roles, "verbs": ["get", "patch"]}  # not `escalate`
    await ask("PATCH", f"{RBAC}/clusterroles/roles", {"rules": [allowed, READ_PODS]}, media=merge)
    refused = await dev("PATCH", f"{RBAC}/clusterroles/own", {"aggregationRule": everything}, media=merge)
    assert refused["code"] == 403
    assert (await dev("GET", "/api/v1/namespaces/kube-system/secrets"))["code"] == 403
    gathered = {"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}}
    assert (await dev("PATCH", f"{RBAC}/clusterroles/cluster-admin", gathered, media=merge))["code"] == 403


async def test_roles_that_gather_each_other_give_what_both_gather(ask: Asker) -> None:
    for name, gathers in (("a", "b"), ("b", "a")):
        made = role(name, kind="ClusterRole")
        made["metadata"]["labels"] = {f"is-{name}": ""}
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"is-{gathers}": ""}}]}
        assert (await ask("POST", f"{RBAC}/clusterroles", made))["kind"] == "ClusterRole"
    plain = role("plain", READ_PODS, kind="ClusterRole")
    plain["metadata"]["labels"] = {"is-a": ""}
    await ask("POST", f"{RBAC}/clusterroles", plain)
    for name in ("a", "b"):
        path = f"{RBAC}/namespaces/default/rolebindings"
        await ask("POST", path, binding(name, name, f"User:{name}", role_kind="ClusterRole"))
        assert (await ask.as_user(User(name, ("system:authenticated",)))("GET", PODS))["kind"] == "PodList"


async def test_a_role_with_a_selector_that_is_none_is_refused(ask: Asker) -> None:
    made = role("x", kind="ClusterRole")
    wrong = {"matchExpressions": [{"key": "a", "operator": "Foo"}]}
    made["aggregationRule"] = {"clusterRoleSelectors": [wrong]}
    assert (await ask("POST", f"{RBAC}/clusterroles", made))["message"] == (
        'ClusterRole.rbac.authorization.k8s.io "x" is invalid: '
        'aggregationRule.clusterRoleSelectors[0].matchExpressions[0].operator: Invalid value: "Foo": '
        "not a valid selector operator"
    )


async def test_an_update_or_apply_that_creates_needs_create(ask: Asker) -> None:
    change = {"verbs": ["get", "update", "patch"], "apiGroups": [""], "resources": ["configmaps", "serviceaccounts"]}
    leases = {"verbs": ["update", "patch"], "apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    await ask("POST", f"{RBAC}/namespaces/default/roles", role("change", change, leases))
    await ask("POST", f"{RBAC}/namespaces/default/rolebindings", binding("b", "change", "User:dev"))
    dev, core = ask.as_user(DEV), "/api/v1/namespaces/default"
    path, media = f"{core}/configmaps/c", "application/apply-patch+yaml"
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    refused = await dev("PATCH", f"{path}?fieldManager=m", applied, media=media)
    assert (refused["code"], refused["message"]) == (
        403,
        'configmaps "c" is forbidden: User "dev" cannot create resource "configmaps" in API group "" '
        'in the namespace "default"',
    )
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}}
    made = await dev("PUT", "/apis/coordination.k8s.io/v1/namespaces/default/leases/l", lease)
    assert made["code"] == 403
    await ask("POST", f"{core}/configmaps", {"metadata": {"name": "c"}})
    assert (await dev("PATCH", f"{path}?fieldManager=m", applied, media=media))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "serviceaccounts/default/token"), ("GET", "pods/p/binding"), ("GET", "pods/p/eviction"),
        ("PUT", "pods/p/exec"), ("DELETE", "pods/p/status"), ("POST", "pods/p"), ("POST", "serviceaccounts/default"),
        ("POST", "../../pods"), ("DELETE", "../../pods"),
    ],
)  # fmt: skip
async def test_a_method_that_a_path_does_not_offer_does_nothing(ask: Asker, method: str, path: str) -> None:
    core = "/api/v1/namespaces/default"
    await ask("POST", f"{core}/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await ask("POST", PODS, pod)
    revision = ask.server.store.revision
    target = f"{core}/{path}".replace("/namespaces/default/../..", "")
    refused = await ask(method, f"{target}?command=x", {"metadata": {"name": "q"}, "target": {"name": "n"}})
    assert (refused["code"], refused["reason"]) == (405, "MethodNotAllowed")
    assert ask.server.store.revision == revision


async def test_a_review_that_asks_nothing_or_too_much_says_so(ask: Asker) -> None:
    path, spec = "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"resourceAttributes": {"verb": "get"}}
    answer = await ask("POST", path, {"spec": spec})
    assert answer["message"] == (
        'SubjectAccessReview.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of user or '
        "group must be specified"
    )
    both = {**spec, "user": "u", "nonResourceAttributes": {"path": "/"}}
    answer = await ask("POST", path, {"spec": both})
    assert "cannot be specified in combination with resourceAttributes" in answer["message"]
    local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
    answer = await ask("POST", local, {"spec": {"user": "u", "nonResourceAttributes": {"path": "/"}}})
    assert "disallowed on this kind of request" in answer["message"]


async def test_a_token_review_needs_a_token(ask: Asker) -> None:
    answer = await ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}})
    assert (answer["code"], answer["message"]) == (400, "token is required for TokenReview in authentication")


async def test_who_impersonates_a_group_names_a_user(ask: Asker) -> None:
    headers: http.Headers = (("impersonate-group", "g"), ("impersonate-uid", "7"))
    response = await ask.pipeline.handle_as(http.Request("GET", "/api/v1/pods", "", headers), ask.user)
    assert response.status == 400
    assert b"requested group g, uid 7 without impersonating a user" in bytes(response.body)  # type: ignore[arg-type]  # it is no stream
