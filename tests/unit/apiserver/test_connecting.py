"""Which container, why no log, whose port: the decisions of log, exec and proxy on paper."""

import re
from typing import Any

import pytest

from knarr.apiserver.status import Refusal
from knarr.apiserver.subresources import connecting, log, proxy, streams
from knarr.apiserver.subresources.links import Way
from knarr.base.errors import BadRequest
from knarr.wire import http, tls
from knarr.wire.http_client import Target


def pod(*containers: str, init: tuple[str, ...] = (), **status: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": name} for name in containers], "initContainers": [{"name": name} for name in init]}
    return {"metadata": {"name": "web"}, "spec": spec, "status": status}


def test_a_single_container_needs_no_name() -> None:
    assert connecting.container_of(pod("a"), "") == "a"
    assert connecting.container_of(pod("a", "b", init=("i",)), "i") == "i"


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        (pod("a", "b"), "", "a container name must be specified for pod web, choose one of: [a b]"),
        (
            pod("a", "b", init=("i",)),
            "",
            "a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]",
        ),
        (pod("a"), "x", "container x is not valid for pod web"),
    ],
)
def test_a_container_that_is_not_clear_is_refused_in_upstreams_words(
    found: dict[str, Any], wanted: str, message: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        connecting.container_of(found, wanted)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, "is waiting to start: ContainerCreating"),
        ({"waiting": {"reason": "ErrImagePull"}}, "is waiting to start: image can't be pulled"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, "is waiting to start: trying and failing to pull image"),
        ({"terminated": {}}, "is terminated"),
        ({}, "is waiting to start - no logs yet"),
    ],
)
def test_a_log_that_is_not_there_is_explained(state: dict[str, Any], message: str) -> None:
    found = pod("a", containerStatuses=[{"name": "a", "state": state}])
    assert log.why_no_log(found, "a") == f'container "a" in pod "web" {message}'


def test_log_options_are_validated_as_upstream_does() -> None:
    log.check_options("web", {"tailLines": "0", "follow": "true", "sinceSeconds": "1"})
    with pytest.raises(Refusal) as refused:
        log.check_options("web", {"tailLines": "-5"})
    assert (refused.value.code, str(refused.value)) == (
        422,
        'PodLogOptions "web" is invalid: tailLines: Invalid value: -5: must be greater than or equal to 0',
    )
    log.check_options("web", {"tailLines": "5", "stream": "All"})
    for query, why in (
        ({"stream": "Both"}, 'stream: Unsupported value: "Both": supported values: "All", "Stderr", "Stdout"'),
        (
            {"stream": "Stderr", "tailLines": "5"},
            "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
        ),
    ):
        with pytest.raises(Refusal, match=re.escape(why)):
            log.check_options("web", query)
    for query in ({"tailLines": "x"}, {"sinceTime": "y"}):
        with pytest.raises(BadRequest):
            log.check_options("web", query)


def test_streams_are_named_in_the_kubelets_words() -> None:
    assert streams.flags({"stdin": ["true"], "tty": ["1"]}) == [("input", "1"), ("tty", "1")]
    assert streams.flags({"stdin": [""], "stdout": ["yes"], "stderr": ["FALSE"]}) == [("input", "1"), ("output", "1")]
    for nothing in ({"tty": ["true"]}, {"stdin": ["0"], "stdout": ["False"]}):
        with pytest.raises(BadRequest):
            streams.flags(nothing)


def test_a_log_is_followed_by_the_word_alone() -> None:
    asked = {"follow": "", "previous": "0", "timestamps": "yes", "tailLines": "3", "limitBytes": ""}
    log.check_options("web", asked)
    assert log.passed(asked) == [("follow", "true"), ("timestamps", "true"), ("tailLines", "3")]


def test_proxy_names_have_scheme_name_and_port() -> None:
    assert proxy.parse("web") == proxy.Name("http", "web", "")
    assert proxy.parse("https:web:8443") == proxy.Name("https", "web", "8443")
    assert proxy.parse("web:http") == proxy.Name("http", "web", "http")
    with pytest.raises(BadRequest):
        proxy.parse("ftp:web:21")


def test_a_services_backends_are_its_ready_endpoints() -> None:
    service = {"spec": {"ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]}}
    entry = {
        "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}],
        "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": True}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
        ],
    }
    assert list(proxy.service_backends(service, [entry], "80")) == [("10.0.0.1", 8080)]
    assert list(proxy.service_backends(service, [entry], "admin")) == [("10.0.0.1", 8081)]
    assert list(proxy.service_backends(service, [entry], "")) == []


def test_a_pods_port_is_found_by_name_or_number() -> None:
    found = {"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]}}
    assert [proxy.pod_port(found, wanted) for wanted in ("", "web", "9")] == [8080, 8080, 9]
    with pytest.raises(BadRequest):
        proxy.pod_port(found, "no")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "::ffff:169.254.1.1", "0.0.0.0", "web.test"]
)
def test_a_proxy_leads_neither_to_this_machine_nor_to_a_name(address: str) -> None:
    with pytest.raises(Refusal) as refused:
        proxy.check_address(address)
    assert (refused.value.code, str(refused.value)) == (400, "address not allowed")


@pytest.mark.parametrize(
    ("address", "port", "scheme", "host"),
    [
        ("10.0.0.1", 80, "http", "10.0.0.1"),
        ("10.0.0.1", 443, "http", "10.0.0.1:443"),
        ("10.0.0.1", 443, "https", "10.0.0.1"),
        ("10.0.0.1", 80, "https", "10.0.0.1:80"),
        ("fd00::1", 8080, "http", "[fd00::1]:8080"),
    ],
)
def test_a_page_knows_its_pod_by_the_host_of_a_url(address: str, port: int, scheme: str, host: str) -> None:
    request = http.Request("GET", "/pods/web/proxy/a", "", (("host", "localhost:8001"),), b"")
    context = tls.client_context(verifies=False) if scheme == "https" else None
    found = proxy.way(request, "/a", Target(address, port, context))
    assert found == Way("/pods/web/proxy", host, "localhost:8001")
