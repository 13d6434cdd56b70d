"""Manifests: lenses on bytes, platform choice, and what is ambiguous or out of bounds."""

import json
from typing import Any

import pytest

from knarr.base.errors import BadRequest, Invalid, KnarrError, NotFound, TooLarge
from knarr.oci import manifest, platform
from knarr.oci.manifest import Index, Manifest
from knarr.oci.platform import Platform

DIGEST = "sha256:" + "a" * 64
PART = {"mediaType": manifest.OCI_LAYER_GZIP, "digest": DIGEST, "size": 3}
IMAGE: dict[str, Any] = {"schemaVersion": 2, "mediaType": manifest.OCI_MANIFEST, "config": PART, "layers": [PART]}
INDEX: dict[str, Any] = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": []}


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def entry(architecture: str, size: int, variant: str = "", os: str = "linux") -> dict[str, Any]:
    described = {"os": os, "architecture": architecture, "variant": variant}
    return {"mediaType": manifest.OCI_MANIFEST, "digest": DIGEST, "size": size, "platform": described}


def test_a_manifest_is_read_in_both_dialects() -> None:
    oci = manifest.parse(encode(IMAGE))
    docker = manifest.parse(encode({**IMAGE, "mediaType": manifest.DOCKER_MANIFEST}), manifest.DOCKER_MANIFEST)
    assert isinstance(oci, Manifest)
    assert isinstance(docker, Manifest)
    assert oci.layers == docker.layers


def test_a_manifest_without_media_type_is_what_it_looks_like() -> None:
    bare = {key: value for key, value in IMAGE.items() if key != "mediaType"}
    assert isinstance(manifest.parse(encode(bare)), Manifest)
    assert isinstance(
        manifest.parse(encode({"schemaVersion": 2, "manifests": None, "layers": [], "config": PART})), Manifest
    )
    assert isinstance(manifest.parse(encode({"schemaVersion": 2, "manifests": []})), Index)


def test_what_knarr_encodes_it_reads_back() -> None:
    parsed = manifest.parse(encode({**IMAGE, "annotations": {"a": "b"}}))
    assert manifest.parse(manifest.encode(parsed)) == parsed


@pytest.mark.parametrize(
    ("body", "served"),
    [
        (b"", ""),
        (b"[]", ""),
        (b"{", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (encode({}), ""),
        (encode({**IMAGE, "schemaVersion": 1}), ""),
        (encode({**IMAGE, "manifests": []}), ""),
        (encode({**INDEX, "layers": []}), ""),
        (encode({**INDEX, "config": PART}), manifest.OCI_INDEX),
        (encode(IMAGE), manifest.OCI_INDEX),
        (encode(INDEX), manifest.OCI_MANIFEST),
        (encode(IMAGE), manifest.DOCKER_MANIFEST),
        (encode({**IMAGE, "mediaType": "text/html"}), ""),
        (encode({"schemaVersion": 2, "layers": []}), ""),
        (encode({**IMAGE, "layers": [{**PART, "digest": "sha256:../../etc"}]}), ""),
        (encode({**IMAGE, "layers": [{**PART, "size": -1}]}), ""),
        (encode({**IMAGE, "layers": [{**PART, "size": "3"}]}), ""),
        (encode({**IMAGE, "layers": [{**PART, "size": 1e400}]}), ""),
        (encode({**IMAGE, "layers": [PART] * 257}), ""),
        (encode({**IMAGE, "subject": {**PART, "digest": "x"}}), ""),
        (encode({**INDEX, "manifests": [PART] * 1025}), ""),
    ],
)
def test_a_broken_or_ambiguous_manifest_is_refused(body: bytes, served: str) -> None:
    with pytest.raises((Invalid, BadRequest)):
        manifest.parse(body, served)


def test_more_than_four_mebibytes_are_refused_unread() -> None:
    with pytest.raises(TooLarge):
        manifest.parse(b" " * (manifest.SIZE_MAX + 1))


def test_every_prefix_of_a_manifest_is_refused_cleanly() -> None:
    body = encode(IMAGE)
    for length in range(len(body)):
        with pytest.raises(KnarrError):
            manifest.parse(body[:length])


def test_the_entry_for_this_platform_is_chosen() -> None:
    entries = [entry("arm64", 1, "v8"), entry("amd64", 2, os="windows"), entry("amd64", 3), entry("arm", 4, "v6")]
    index = manifest.parse(encode({**INDEX, "manifests": entries}))
    assert isinstance(index, Index)
    sizes = {
        text: manifest.select(index, platform.parse(text)).size for text in ("linux/amd64", "arm64", "linux/arm/v7")
    }
    assert sizes == {"linux/amd64": 3, "arm64": 1, "linux/arm/v7": 4}
    with pytest.raises(NotFound, match="linux/riscv64; the index offers linux/arm64/v8"):
        manifest.select(index, platform.parse("riscv64"))


def test_attestations_are_not_images() -> None:
    index = manifest.parse(encode({**INDEX, "manifests": [entry("unknown", 1, os="unknown"), entry("amd64", 2)]}))
    assert isinstance(index, Index)
    assert manifest.select(index, Platform(architecture="amd64")).size == 2


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/amd 64", "linux//v8"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        platform.parse(text)


def test_the_machine_has_a_platform() -> None:
    assert [str(platform.host(machine)) for machine in ("x86_64", "aarch64", "loong64")] == [
        "linux/amd64",
        "linux/arm64/v8",
        "linux/loong64",
    ]
