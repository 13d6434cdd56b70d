"""Whatever a client sends, the answer is 2xx or 4xx: never a traceback, never a 5xx."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.store.memory import MemoryStore
from knarr.wire import http
from tests.unit.apiserver.conftest import ADMIN

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"a": "b"}, "ownerReferences": [{"kind": "X", "name": "x", "uid": "1"}]},
    "spec": {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80}], "env": [{"name": "A"}]}]},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s"},
    "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}], "selector": {"a": "b"}},
}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
}
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "10"}}}
LIMITS = {
    "apiVersion": "v1",
    "kind": "LimitRange",
    "metadata": {"name": "l"},
    "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]},
}
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "r"},
    "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": TEMPLATE}}
BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "b"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}},
}
AUTOSCALER = {
    "apiVersion": "autoscaling/v1",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "h"},
    "spec": {
        "maxReplicas": 2,
        "scaleTargetRef": {"kind": "Deployment", "name": "d"},
        "targetCPUUtilizationPercentage": 5,
    },
}
PATHS = {
    "/api/v1/namespaces/default/pods": POD,
    "/api/v1/namespaces/default/services": SERVICE,
    "/api/v1/namespaces/default/secrets": SECRET,
    "/api/v1/namespaces/default/resourcequotas": QUOTA,
    "/api/v1/namespaces/default/limitranges": LIMITS,
    "/apis/apps/v1/namespaces/default/deployments": DEPLOYMENT,
    "/apis/batch/v1/namespaces/default/jobs": JOB,
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets": BUDGET,
    "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers": AUTOSCALER,
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles": ROLE,
}
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8), st.sampled_from(["None", "10.96.0.1", "1Gi", "-1", "x" * 300, "\u0000", "ä"]),
    st.lists(st.text(max_size=3), max_size=2), st.just({}), st.just([]), st.just([None]), st.just({"": None}),
    st.just([{}]), st.just({"a": {"b": ["c"]}}),
)  # fmt: skip
MEDIA = st.sampled_from(
    [
        "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json-patch+json",
        "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
    ]
)  # fmt: skip
QUERY = st.sampled_from(
    ["", "dryRun=All", "dryRun=x", "fieldValidation=Strict", "fieldValidation=y", "limit=-1", "limit=2", "continue=a",
     "watch=maybe", "labelSelector=a in (", "fieldSelector=a", "fieldManager=x&force=true", "fieldManager=", "pretty=1",
     "resourceVersion=abc", "resourceVersion=99", "gracePeriodSeconds=x", "propagationPolicy=No", "%ff=%00", "&&=",
     "resourceVersion=1&resourceVersionMatch=Exact", "includeObject=Nothing"]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


def replaced(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], junk)
    return copy


@st.composite
def requests(draw: st.DrawFn) -> http.Request:
    """A request that is right but for a few places."""
    path = draw(st.sampled_from(sorted(PATHS)))
    body: Any = PATHS[path]
    for _ in range(draw(st.integers(0, 2))):
        choices = places(body)
        if choices:
            body = replaced(body, draw(st.sampled_from(choices)), draw(JUNK))
    method = draw(st.sampled_from(["POST", "PUT", "PATCH", "DELETE", "GET"]))
    if method != "POST":
        name = draw(st.sampled_from(["p", "s", "d", "q", "l", "r", "j", "b", "h", "%2e%2e", ""]))
        path += f"/{name}" + draw(st.sampled_from(["", "", "/status", "/scale", "/token", "/eviction", "/binding"]))
    content = draw(st.one_of(st.just(msgspec.json.encode(body)), st.binary(max_size=30)))
    accept = draw(
        st.sampled_from(["", "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io", "application/yaml"])
    )
    media = "application/json" if method in ("POST", "PUT") and draw(st.booleans()) else draw(MEDIA)
    headers = (("content-type", media), ("accept", accept), ("user-agent", "fuzz/1"))
    return http.Request(method, path, draw(QUERY), headers, content)


async def answered(sequence: list[http.Request]) -> list[int]:
    pipeline = Pipeline(ApiServer(MemoryStore()))
    for kind, path, name in (
        ("Namespace", "namespaces", "default"),
        ("ServiceAccount", "namespaces/default/serviceaccounts", "default"),
    ):
        body = msgspec.json.encode({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
        await pipeline.handle_as(http.Request("POST", f"/api/v1/{path}", body=body), ADMIN)
    for path, obj in PATHS.items():
        await pipeline.handle_as(http.Request("POST", path, body=msgspec.json.encode(obj)), ADMIN)
    codes = []
    for request in sequence:
        response = await pipeline.handle_as(request, ADMIN)
        if not isinstance(response.body, bytes) and hasattr(response.body, "aclose"):
            await response.body.aclose()
        codes.append(response.status)
    return codes


@pytest.mark.timeout(120)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(requests(), min_size=10, max_size=25))
def test_no_input_is_answered_with_a_fault_of_the_server(sequence: list[http.Request]) -> None:
    codes = asyncio.run(answered(sequence))
    wrong = [
        (r.method, r.path, r.query, r.headers, r.body) for r, code in zip(sequence, codes, strict=True) if code >= 500
    ]
    assert [each for each in wrong if "resourceVersion=99" not in each[2]] == []
