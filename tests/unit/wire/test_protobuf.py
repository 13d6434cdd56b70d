"""wire/protobuf.py: bodies as kubectl 1.33 sent them, whole, cut short and damaged."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import BadRequest, TooLarge
from knarr.kinds import registry
from knarr.wire.protobuf import Decoder

DECODER = Decoder(registry.facts("types")["types"])
DEPLOYMENT_HEX = (
    "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412ba010a1f0a0377656212001a0022002a003200380042"
    "005a0a0a0361707012037765621288010803120c0a0a0a0361707012037765621a6e0a1c0a0012001a0022002a0032003800"
    "42005a0a0a036170701203776562124e12300a056e67696e7812076e67696e783a312a00320a0a001000185022002a004200"
    "6a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a002800"
    "38001a0c0800100018002000280038001a002200"
)
BODIES: list[tuple[str, dict[str, Any]]] = [
    (
        "6b3873000a0f0a0276311209436f6e6669674d617012230a110a016312001a0022002a0032003800420012060a01611201"
        "6212060a01631201641a002200",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b", "c": "d"}},
    ),
    (
        "6b3873000a0c0a0276311206536563726574121d0a110a017312001a0022002a0032003800420012060a01611201621a001a002200",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}},
    ),
    (
        "6b3873000a200a09706f6c6963792f76311213506f6444697372757074696f6e42756467657412360a110a017012001a00"
        "22002a0032003800420012150a09080110001a0335302512080a060a01611201621a0a080018002000280030001a002200",
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "p"},
            "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
        },
    ),
    (
        "6b3873000a130a027631120d5265736f7572636551756f746112340a110a017112001a0022002a00320038004200121d0a"
        "0a0a0363707512030a01310a0f0a066d656d6f727912050a033147691a001a002200",
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "q"},
            "spec": {"hard": {"cpu": "1", "memory": "1Gi"}},
            "status": {},
        },
    ),
    (
        DEPLOYMENT_HEX,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {
                        "containers": [
                            {"name": "nginx", "image": "nginx:1", "ports": [{"containerPort": 80}], "resources": {}}
                        ]
                    },
                },
                "strategy": {},
            },
            "status": {},
        },
    ),
]


@pytest.mark.parametrize(("body", "value"), BODIES, ids=[value["kind"] for _, value in BODIES])
def test_a_body_of_kubectl_is_its_json(body: str, value: dict[str, Any]) -> None:
    assert DECODER.decode(bytes.fromhex(body)) == value


def test_inline_parts_times_and_64_bit_numbers() -> None:
    probe = bytes.fromhex("0a060a040a02636410f6ffffffffffffffff01")  # exec ["cd"]; initialDelaySeconds -10
    name = "io.k8s.api.core.v1.Probe"
    assert DECODER.decode_type(probe, name) == {"exec": {"command": ["cd"]}, "initialDelaySeconds": -10}
    meta = bytes.fromhex("420608f0ce8eae06" + "4a0608f1ce8eae06")
    meta_type = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    found = DECODER.decode_type(meta, meta_type)
    assert found["creationTimestamp"].endswith("Z")
    assert "creationTimestamp" not in DECODER.decode_type(
        b"\x42\x00", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    )


def test_a_body_cut_short_is_decoded_or_refused() -> None:
    body = bytes.fromhex(DEPLOYMENT_HEX)
    for end in range(len(body)):
        with contextlib.suppress(BadRequest):
            DECODER.decode(body[:end])


@given(st.binary(max_size=60), st.integers(0, 200))
def test_damaged_bodies_are_decoded_or_refused(noise: bytes, at: int) -> None:
    body = bytes.fromhex(DEPLOYMENT_HEX)
    try:
        DECODER.decode(body[:at] + noise + body[at + len(noise) :])
        DECODER.decode_type(noise, "io.k8s.api.core.v1.PodSpec")
    except BadRequest:
        pass


@pytest.mark.parametrize("content", [b"", b"k8s", b"{}", b"k8s\x00", b"k8s\x00\x0a\x06\x0a\x02v1\x12\x00"])
def test_what_is_no_known_kind_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest):
        DECODER.decode(content)


def test_a_nested_envelope_cannot_recurse_for_ever() -> None:
    content = b"{}"
    for _ in range(200):
        content = b"k8s\x00\x0a\x0a\x0a\x02v1\x12\x04List\x12" + _sized(b"\x12" + _sized(b"\x0a" + _sized(content)))
    with pytest.raises(BadRequest):
        DECODER.decode(content)


def _sized(content: bytes) -> bytes:
    size, head = len(content), b""
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + content


def test_a_list_of_too_many_messages_is_too_large() -> None:
    containers = b"\x12\x00" * 100_001
    raw = b"\x12" + varint(len(containers)) + containers
    with pytest.raises(TooLarge, match="more than 100000 values"):
        DECODER.decode(b"k8s\x00\x0a\x09\x0a\x02v1\x12\x03Pod\x12" + varint(len(raw)) + raw)


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14])
