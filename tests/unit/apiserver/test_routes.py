"""Every path means one thing: verb, resource, namespace, name, subresource."""

import pytest

from knarr.apiserver import routes
from knarr.apiserver.resources import Resources
from knarr.apiserver.routes import Route, Unknown
from knarr.apiserver.server import served_kinds

RESOURCES = Resources(served_kinds())


def matched(method: str, path: str, **query: str) -> tuple[str, ...] | str:
    found = routes.match(RESOURCES, method, path, query)
    if isinstance(found, Unknown):
        return "unknown"
    plural = found.resource.plural if found.resource else ""
    return (found.verb, plural, found.namespace, found.name, found.subresource, found.suffix)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/pods", ("list", "pods", "", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", ("list", "pods", "a", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/p", ("get", "pods", "a", "p", "", "")),
        ("HEAD", "/api/v1/namespaces/a/pods/p", ("get", "pods", "a", "p", "", "")),
        ("POST", "/api/v1/namespaces/a/pods", ("create", "pods", "a", "", "", "")),
        ("PUT", "/api/v1/namespaces/a/pods/p/status", ("update", "pods", "a", "p", "status", "")),
        ("DELETE", "/api/v1/namespaces/a/pods", ("deletecollection", "pods", "a", "", "", "")),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", ("patch", "deployments", "a", "d", "scale", "")),
        ("GET", "/api/v1/namespaces", ("list", "namespaces", "", "", "", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "namespaces", "a", "a", "", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "namespaces", "a", "a", "finalize", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods", ("watch", "pods", "a", "", "", "")),
        ("GET", "/api/v1/nodes/n/proxy/logs/x", ("get", "nodes", "", "n", "proxy", "logs/x")),
        ("GET", "/api/v1/namespaces/a/pods/p%3A80/proxy/", ("get", "pods", "a", "p:80", "proxy", "")),
        ("PUT", "/api/v1/namespaces/a/pods", ("", "pods", "a", "", "", "")),
        ("GET", "/version", ("get", "", "", "", "", "")),
        ("GET", "/api/v1", ("get", "", "", "", "", "")),
        ("GET", "/apis/apps/v1", ("get", "", "", "", "", "")),
    ],
)
def test_a_path_means(method: str, path: str, expected: tuple[str, ...]) -> None:
    assert matched(method, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/things",
        "/api/v1/pods/p",
        "/api/v1/namespaces/a/nodes",
        "/api/v1/namespaces/a/nodes/n",
        "/api/v1/namespaces/a/pods/p/nothing",
        "/api/v1/namespaces/a/pods/p/status/more",
        "/apis/apps/v9/deployments",
        "/apis/nowhere/v1/pods",
    ],
)
def test_a_path_that_nobody_serves_is_unknown(path: str) -> None:
    assert matched("GET", path) == "unknown"


@pytest.mark.parametrize("value", ["1", "true", "True", "t"])
def test_every_way_of_saying_watch_is_one(value: str) -> None:
    found = routes.match(RESOURCES, "GET", "/api/v1/pods", {"watch": value})
    assert isinstance(found, Route)
    assert found.verb == "watch"
