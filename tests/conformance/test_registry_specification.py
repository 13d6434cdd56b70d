"""The OCI distribution specification 1.1, endpoint by endpoint (its table of endpoints: end-1 … end-13), over HTTP.

The order and the odd inputs are those of the specification's own conformance suite: pull, push, content discovery,
content management.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from knarr.oci import manifest
from knarr.wire.http import Request
from knarr.wire.http_client import Client, Target
from tests.conformance.registries import Served, served

NAME = "team/app"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
LAYER = os.urandom(5000)
ABSENT = "sha256:" + "a" * 64


class Answer:
    def __init__(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
        self.status = status
        self.headers = dict(headers)
        self.body = body

    @property
    def code(self) -> tuple[int, str]:
        return self.status, json.loads(self.body)["errors"][0]["code"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """One registry over one connection pool."""

    def __init__(self, there: Served, client: Client) -> None:
        self.there = there
        self._client = client

    async def __call__(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        path, _, query = target.partition("?")
        host, _, port = self.there.domain.partition(":")
        fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        response = await self._client.request(Target(host, int(port)), Request(method, path, query, fields, body))
        return Answer(response.status, response.headers, await response.read(1 << 20))

    async def blob(self, body: bytes, name: str = NAME) -> str:
        answer = await self("POST", f"/v2/{name}/blobs/uploads/?digest={digest(body)}", body)
        assert answer.status == 201
        return digest(body)

    async def image(self, tag: str, name: str = NAME, **members: Any) -> bytes:
        """Push an image with one layer under a tag."""
        for body in (CONFIG, LAYER):
            await self.blob(body, name)
        image = image_of(**members)
        answer = await self("PUT", f"/v2/{name}/manifests/{tag}", image, content_type=manifest.OCI_MANIFEST)
        assert answer.status == 201, answer.body
        return image


def digest(body: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def descriptor(body: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(body), "size": len(body)}


def image_of(**members: Any) -> bytes:
    parts = {
        "schemaVersion": 2,
        "mediaType": manifest.OCI_MANIFEST,
        "config": descriptor(CONFIG, manifest.OCI_CONFIG),
        "layers": [descriptor(LAYER, manifest.OCI_LAYER)],
    }
    return json.dumps({**parts, **members}).encode()


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Asked]:
    client = Client()
    async with served(tmp_path) as there:
        yield Asked(there, client)
    await client.close()


# Pull.


async def test_end_1_the_registry_answers(ask: Asked) -> None:
    assert (await ask("GET", "/v2/")).status == 200


async def test_end_2_blobs(ask: Asked) -> None:
    assert (await ask("GET", f"/v2/{NAME}/blobs/{ABSENT}")).code == (404, "BLOB_UNKNOWN")
    assert (await ask("HEAD", f"/v2/{NAME}/blobs/{ABSENT}")).status == 404
    await ask.blob(LAYER)
    head = await ask("HEAD", f"/v2/{NAME}/blobs/{digest(LAYER)}")
    assert (head.status, head.headers["content-length"], head.body) == (200, "5000", b"")
    assert head.headers["docker-content-digest"] == digest(LAYER)
    whole = await ask("GET", f"/v2/{NAME}/blobs/{digest(LAYER)}")
    assert (whole.status, whole.body) == (200, LAYER)


async def test_end_2_ranges(ask: Asked) -> None:
    target = f"/v2/{NAME}/blobs/{await ask.blob(LAYER)}"
    part = await ask("GET", target, range="bytes=100-199")
    assert (part.status, part.headers["content-range"], part.body) == (206, "bytes 100-199/5000", LAYER[100:200])
    assert (await ask("GET", target, range="bytes=-7")).body == LAYER[-7:]
    assert (await ask("GET", target, range="bytes=4990-")).body == LAYER[4990:]
    beyond = await ask("GET", target, range="bytes=5000-")
    assert (beyond.code, beyond.headers["content-range"]) == ((416, "RANGE_INVALID"), "bytes */5000")
    assert (await ask("GET", target, range="bytes=1-2,4-5")).body == LAYER  # RFC 9110: several may be ignored


@pytest.mark.parametrize("absent", ["none", ".INVALID_MANIFEST_NAME", ABSENT])
async def test_end_3_manifests_that_are_not_here(ask: Asked, absent: str) -> None:
    assert (await ask("GET", f"/v2/{NAME}/manifests/{absent}")).code == (404, "MANIFEST_UNKNOWN")
    assert (await ask("HEAD", f"/v2/{NAME}/manifests/{absent}")).status == 404


async def test_end_3_manifests_by_tag_and_digest(ask: Asked) -> None:
    image = await ask.image("1")
    for reference in ("1", digest(image)):
        got = await ask("GET", f"/v2/{NAME}/manifests/{reference}", accept=manifest.OCI_MANIFEST)
        assert (got.status, got.body, got.headers["content-type"]) == (200, image, manifest.OCI_MANIFEST)
        assert got.headers["docker-content-digest"] == digest(image)
        head = await ask("HEAD", f"/v2/{NAME}/manifests/{reference}")
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(image)), b"")


# Push.


async def test_end_4a_5_6_a_blob_in_two_steps(ask: Asked) -> None:
    opened = await ask("POST", f"/v2/{NAME}/blobs/uploads/")
    assert opened.status == 202
    target = opened.headers["location"]
    made = await ask("PUT", f"{target}?digest={digest(LAYER)}", LAYER, content_type="application/octet-stream")
    assert (made.status, made.headers["location"]) == (201, f"/v2/{NAME}/blobs/{digest(LAYER)}")
    assert (await ask("GET", made.headers["location"])).body == LAYER


async def test_end_4a_5_6_a_blob_streamed(ask: Asked) -> None:
    target = (await ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["location"]
    assert (await ask("PATCH", target, LAYER, content_type="application/octet-stream")).status == 202
    assert (await ask("PUT", f"{target}?digest={digest(LAYER)}")).status == 201


async def test_end_4b_a_blob_in_one_step(ask: Asked) -> None:
    await ask.blob(LAYER)
    wrong = await ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={ABSENT}", b"else")
    assert wrong.code == (400, "DIGEST_INVALID")


async def test_end_5_6_13_chunks_in_order_only(ask: Asked) -> None:
    first, second = LAYER[:3000], LAYER[3000:]
    target = (await ask("POST", f"/v2/{NAME}/blobs/uploads/", content_length="0")).headers["location"]
    early = await ask("PATCH", target, second, content_range="3000-4999")
    assert early.code == (416, "RANGE_INVALID")
    taken = await ask("PATCH", target, first, content_range="0-2999")
    assert (taken.status, taken.headers["range"]) == (202, "0-2999")
    assert (await ask("PATCH", target, first, content_range="0-2999")).status == 416
    stands = await ask("GET", target)
    assert (stands.status, stands.headers["range"], stands.headers["location"]) == (204, "0-2999", target)
    assert (await ask("PATCH", target, second, content_range="3000-4999")).status == 202
    assert (await ask("PUT", f"{target}?digest={digest(LAYER)}")).status == 201
    assert (await ask("GET", target)).code == (404, "BLOB_UPLOAD_UNKNOWN")
    assert (await ask("GET", f"/v2/{NAME}/blobs/{digest(LAYER)}")).body == LAYER


async def test_end_5_6_the_last_chunk_may_come_with_the_digest(ask: Asked) -> None:
    target = (await ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["location"]
    await ask("PATCH", target, LAYER[:10], content_range="0-9")
    done = await ask("PUT", f"{target}?digest={digest(LAYER)}", LAYER[10:], content_range="10-4999")
    assert done.status == 201


async def test_end_6_a_wrong_digest_leaves_nothing(ask: Asked) -> None:
    target = (await ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["location"]
    assert (await ask("PUT", f"{target}?digest={ABSENT}", LAYER)).code == (400, "DIGEST_INVALID")
    assert (await ask("HEAD", f"/v2/{NAME}/blobs/{digest(LAYER)}")).status == 404
    assert list(ask.there.content.walk()) == []


async def test_end_6_sha512_is_a_digest_too(ask: Asked) -> None:
    long = digest(LAYER, "sha512")
    target = (await ask("POST", f"/v2/{NAME}/blobs/uploads/")).headers["location"]
    assert (await ask("PUT", f"{target}?digest={long}", LAYER)).status == 201
    assert (await ask("GET", f"/v2/{NAME}/blobs/{long}")).body == LAYER
    await ask.blob(CONFIG)
    image = image_of(layers=[{**descriptor(LAYER, manifest.OCI_LAYER), "digest": long}])
    named = digest(image, "sha512")
    assert (await ask("PUT", f"/v2/{NAME}/manifests/{named}", image)).status == 201
    assert (await ask("GET", f"/v2/{NAME}/manifests/{named}")).body == image


async def test_end_7_what_a_manifest_may_be(ask: Asked) -> None:
    missing = await ask("PUT", f"/v2/{NAME}/manifests/1", image_of(), content_type=manifest.OCI_MANIFEST)
    assert missing.code == (404, "MANIFEST_BLOB_UNKNOWN")
    await ask.blob(CONFIG)
    bare = image_of(layers=[])
    made = await ask("PUT", f"/v2/{NAME}/manifests/bare", bare, content_type=manifest.OCI_MANIFEST)
    assert (made.status, made.headers["location"]) == (201, f"/v2/{NAME}/manifests/{digest(bare)}")
    assert (await ask("PUT", f"/v2/{NAME}/manifests/1", b"{")).code == (400, "MANIFEST_INVALID")
    assert (await ask("PUT", f"/v2/{NAME}/manifests/{ABSENT}", bare)).code == (400, "DIGEST_INVALID")
    assert (await ask("PUT", f"/v2/{NAME}/manifests/-no", bare)).status == 400
    large = image_of(layers=[], annotations={"a": "x" * (5 << 20)})
    assert (await ask("PUT", f"/v2/{NAME}/manifests/large", large)).status == 413


async def test_end_7_an_index_needs_its_manifests(ask: Asked) -> None:
    image = image_of()
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": [descriptor(image, manifest.OCI_MANIFEST)]}
    ).encode()
    assert (await ask("PUT", f"/v2/{NAME}/manifests/all", index, content_type=manifest.OCI_INDEX)).status == 404
    await ask.image(digest(image))
    assert (await ask("PUT", f"/v2/{NAME}/manifests/all", index, content_type=manifest.OCI_INDEX)).status == 201
    assert (await ask("GET", f"/v2/{NAME}/manifests/all")).headers["content-type"] == manifest.OCI_INDEX


async def test_end_11_mounting(ask: Asked) -> None:
    await ask.blob(LAYER, "other")
    mounted = await ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={digest(LAYER)}&from=other")
    assert (mounted.status, mounted.headers["location"]) == (201, f"/v2/{NAME}/blobs/{digest(LAYER)}")
    absent = await ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={ABSENT}&from=other")
    assert absent.status == 202
    assert "/blobs/uploads/" in absent.headers["location"]


async def test_two_equal_pushes_at_once_store_one_copy(ask: Asked) -> None:
    answers = await asyncio.gather(*(ask.blob(LAYER, f"repository-{number}") for number in range(8)))
    assert set(answers) == {digest(LAYER)}
    assert [blob.size for blob in ask.there.content.walk()] == [5000]


# Content discovery.


async def test_end_8_tags(ask: Asked) -> None:
    assert (await ask("GET", f"/v2/{NAME}/tags/list")).code == (404, "NAME_UNKNOWN")
    for tag in ("b", "a", "d", "c"):
        await ask.image(tag)
    assert (await ask("GET", f"/v2/{NAME}/tags/list")).json == {"name": NAME, "tags": ["a", "b", "c", "d"]}
    page = await ask("GET", f"/v2/{NAME}/tags/list?n=2")
    assert (page.json["tags"], page.headers["link"]) == (["a", "b"], f'</v2/{NAME}/tags/list?n=2&last=b>; rel="next"')
    rest = await ask("GET", f"/v2/{NAME}/tags/list?n=2&last=b")
    assert (rest.json["tags"], "link" in rest.headers) == (["c", "d"], False)
    assert (await ask("GET", f"/v2/{NAME}/tags/list?n=0")).json["tags"] == []
    assert (await ask("GET", f"/v2/{NAME}/tags/list?last=bb")).json["tags"] == ["c", "d"]


async def test_the_catalog_has_pages_too(ask: Asked) -> None:
    for name in ("b", "a/c", "d"):
        await ask.image("1", name)
    page = await ask("GET", "/v2/_catalog?n=2")
    assert (page.json["repositories"], page.headers["link"]) == (["a/c", "b"], '</v2/_catalog?n=2&last=b>; rel="next"')
    assert (await ask("GET", "/v2/_catalog?n=2&last=b")).json["repositories"] == ["d"]


async def test_end_12_referrers(ask: Asked) -> None:
    image = await ask.image("1")
    assert (await ask("GET", f"/v2/{NAME}/referrers/not-a-digest")).status == 400
    empty = await ask("GET", f"/v2/{NAME}/referrers/{ABSENT}")
    assert (empty.status, empty.json["manifests"], empty.headers["content-type"]) == (200, [], manifest.OCI_INDEX)
    subject = descriptor(image, manifest.OCI_MANIFEST)
    pushed = []
    for kind in ("application/vnd.example.signature", "application/vnd.example.sbom"):
        body = image_of(subject=subject, artifactType=kind, annotations={"kind": kind})
        target = f"/v2/{NAME}/manifests/{digest(body)}"
        made = await ask("PUT", target, body, content_type=manifest.OCI_MANIFEST)
        assert made.headers["oci-subject"] == digest(image)
        pushed.append({**descriptor(body, manifest.OCI_MANIFEST), "artifactType": kind, "annotations": {"kind": kind}})
    found = await ask("GET", f"/v2/{NAME}/referrers/{digest(image)}")
    assert sorted(found.json["manifests"], key=str) == sorted(pushed, key=str)
    sbom = await ask("GET", f"/v2/{NAME}/referrers/{digest(image)}?artifactType=application/vnd.example.sbom")
    assert (sbom.json["manifests"], sbom.headers["oci-filters-applied"]) == ([pushed[1]], "artifactType")
    await ask("DELETE", f"/v2/{NAME}/manifests/{pushed[0]['digest']}")
    left = await ask("GET", f"/v2/{NAME}/referrers/{digest(image)}")
    assert [entry["digest"] for entry in left.json["manifests"]] == [pushed[1]["digest"]]


async def test_end_12_a_subject_may_come_later_and_a_fallback_tag_is_a_tag(ask: Asked) -> None:
    """Clients of registries without referrers keep an index under the tag `sha256-HEX`; it is served as any other."""
    image = image_of()
    members = {"subject": descriptor(image, manifest.OCI_MANIFEST), "artifactType": "application/vnd.example.s"}
    signature = image_of(**members)
    await ask.image(digest(signature), **members)
    found = await ask("GET", f"/v2/{NAME}/referrers/{digest(image)}")
    assert [entry["digest"] for entry in found.json["manifests"]] == [digest(signature)]
    parts = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX}
    index = json.dumps({**parts, "manifests": [descriptor(signature, manifest.OCI_MANIFEST)]}).encode()
    target = f"/v2/{NAME}/manifests/{digest(image).replace(':', '-')}"
    assert (await ask("PUT", target, index, content_type=manifest.OCI_INDEX)).status == 201
    assert (await ask("GET", target)).body == index


# Content management.


async def test_end_9_deleting_a_tag_and_a_manifest(ask: Asked) -> None:
    image = await ask.image("1")
    await ask.image("2")
    assert (await ask("DELETE", f"/v2/{NAME}/manifests/1")).status == 202
    assert (await ask("GET", f"/v2/{NAME}/manifests/1")).status == 404
    assert (await ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["2"]
    assert (await ask("DELETE", f"/v2/{NAME}/manifests/{digest(image)}")).status == 202
    for reference in ("2", digest(image)):
        assert (await ask("GET", f"/v2/{NAME}/manifests/{reference}")).status == 404
    assert (await ask("DELETE", f"/v2/{NAME}/manifests/{digest(image)}")).code == (404, "MANIFEST_UNKNOWN")
    assert (await ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == []


async def test_end_10_deleting_a_blob(ask: Asked) -> None:
    image = await ask.image("1")
    target = f"/v2/{NAME}/blobs/{digest(LAYER)}"
    assert (await ask("DELETE", target)).code == (405, "UNSUPPORTED")  # an image needs it
    await ask("DELETE", f"/v2/{NAME}/manifests/{digest(image)}")
    assert (await ask("DELETE", target)).status == 202
    assert (await ask("GET", target)).code == (404, "BLOB_UNKNOWN")
    assert (await ask("DELETE", target)).code == (404, "BLOB_UNKNOWN")
