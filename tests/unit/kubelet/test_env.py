"""The environment of a container: order, expansion, references and what is said when one is missing."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from knarr.base.errors import Invalid
from knarr.kinds.lens.config import ConfigMap, Secret
from knarr.kinds.lens.container import ResourceRequirements
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.service import Service
from knarr.kubelet import env, expansion
from knarr.kubelet.env import Sources
from knarr.kubelet.fields import Place

CONFIG = ConfigMap(data={"color": "blue", "app.conf": "size=1"})
SECRET = Secret(data={"password": base64.b64encode(b"hunter2").decode(), "binary": base64.b64encode(b"\xff").decode()})
SOURCES = Sources({"cfg": CONFIG}, {"sec": SECRET}, (), Place("192.0.2.1", ("10.0.0.2", "fd00::2"), {"cpu": "4"}))


def pod(*variables: Any, **container: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"app": "web", "a/b": 'x"y'}},
            "spec": {
                "nodeName": "n1",
                "serviceAccountName": "robot",
                "containers": [{"name": "c", "image": "i", "env": list(variables), **container}],
            },
        },
        Pod,
    )


def result(subject: Pod, sources: Sources = SOURCES) -> dict[str, str]:
    return env.environment(subject, subject.spec.containers[0], sources)


def field(path: str) -> dict[str, Any]:
    return {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("$()", "$()"),
        ("a$(A)b$(A)", "a1b1"),
        ("$((A))", "$((A))"),
    ],
)
def test_expansion(text: str, wanted: str) -> None:
    assert expansion.expand(text, {"A": "1"}) == wanted


@given(st.text(alphabet="$()AB", max_size=20))
def test_expansion_without_dollars_changes_nothing_and_never_fails(text: str) -> None:
    expanded = expansion.expand(text, {})
    assert "$" in text or expanded == text
    assert len(expanded) <= len(text)


def test_values_come_in_order_and_see_what_was_before() -> None:
    variables = [
        {"name": "BOTH", "value": "$(color)-$(LATER)"},
        {"name": "LATER", "value": "x"},
        {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "color"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "sec", "key": "password"}}},
        {"name": "color", "value": "own"},
    ]
    found = result(pod(*variables, envFrom=[{"configMapRef": {"name": "cfg"}}]))
    assert found == {
        "BOTH": "blue-$(LATER)",
        "LATER": "x",
        "COLOR": "blue",
        "PASSWORD": "hunter2",
        "color": "own",
        "app.conf": "size=1",
    }


def test_a_prefix_is_put_before_every_key() -> None:
    assert result(pod(envFrom=[{"prefix": "ALL_", "configMapRef": {"name": "cfg"}}])) == {
        "ALL_color": "blue",
        "ALL_app.conf": "size=1",
    }


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("metadata.name", "web"),
        ("metadata.labels['a/b']", 'x"y'),
        ("metadata.labels", 'a/b="x\\"y"\napp="web"'),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "robot"),
        ("status.hostIP", "192.0.2.1"),
        ("status.podIP", "10.0.0.2"),
        ("status.podIPs", "10.0.0.2,fd00::2"),
    ],
)
def test_fields(path: str, wanted: str) -> None:
    assert result(pod(field(path)))["X"] == wanted


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.cpu"}, "1"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "200"),
        ({"resource": "requests.memory"}, str(64 << 20)),
        ({"resource": "requests.cpu", "divisor": "1m"}, "200"),
    ],
)
def test_resources_are_rounded_up_in_units_of_the_divisor(ref: dict[str, str], wanted: str) -> None:
    variable = {"name": "X", "valueFrom": {"resourceFieldRef": ref}}
    limits = {"limits": {"memory": "64Mi", "cpu": "200m"}}
    assert result(pod(variable, resources=limits))["X"] == wanted


def test_an_absent_limit_is_the_pods_own_or_what_the_node_has() -> None:
    subject = pod({"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}})
    assert result(subject)["X"] == "4"
    own = ResourceRequirements(limits={"cpu": "2"})
    assert result(replace(subject, spec=replace(subject.spec, resources=own)))["X"] == "2"


@pytest.mark.parametrize(
    ("variables", "env_from", "message"),
    [
        ([], [{"secretRef": {"name": "nope"}}], 'secret "nope" not found'),
        ([], [{"configMapRef": {"name": "nope"}}], 'configmap "nope" not found'),
        ([{"secretKeyRef": {"name": "nope", "key": "k"}}], [], 'secret "nope" not found'),
        ([{"configMapKeyRef": {"name": "cfg", "key": "k"}}], [], "couldn't find key k in ConfigMap ns/cfg"),
        ([{"secretKeyRef": {"name": "sec", "key": "k"}}], [], "couldn't find key k in Secret ns/sec"),
        ([{"fieldRef": {"fieldPath": "spec.x"}}], [], "unsupported fieldPath: spec.x"),
        ([{"secretKeyRef": {"name": "sec", "key": "binary"}}], [], "not UTF-8"),
    ],
)
def test_what_is_missing_is_named(variables: list[Any], env_from: list[Any], message: str) -> None:
    subject = pod(*({"name": "X", "valueFrom": origin} for origin in variables), envFrom=env_from)
    with pytest.raises(Invalid, match=message):
        result(subject)


def test_what_is_optional_may_be_missing() -> None:
    origin = {"configMapKeyRef": {"name": "nope", "key": "k", "optional": True}}
    env_from = [{"secretRef": {"name": "nope", "optional": True}}]
    assert result(pod({"name": "X", "valueFrom": origin}, envFrom=env_from)) == {}


def service(namespace: str, name: str, address: str = "10.96.0.5") -> Service:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    body = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": ports}}
    return msgspec.convert(body, Service)


def test_services_of_the_namespace_and_the_api_are_variables() -> None:
    services = (
        service("ns", "my-db"),
        service("other", "x"),
        service("default", "kubernetes"),
        service("ns", "h", "None"),
    )
    found = result(pod(), Sources(services=services))
    assert {name.split("_SERVICE")[0] for name in found if "_SERVICE_HOST" in name} == {"MY_DB", "KUBERNETES"}
    assert {name: found[name] for name in found if name.startswith("MY_DB")} == {
        "MY_DB_SERVICE_HOST": "10.96.0.5",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_HTTP": "80",
        "MY_DB_PORT": "tcp://10.96.0.5:80",
        "MY_DB_PORT_80_TCP": "tcp://10.96.0.5:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.96.0.5",
    }
    without = msgspec.structs.replace(pod(), spec=msgspec.structs.replace(pod().spec, enable_service_links=False))
    assert {name.split("_")[0] for name in result(without, Sources(services=services))} == {"KUBERNETES"}
