"""The registry's handler, asked as clients ask: the workflows and error codes of the distribution specification 1.1."""

# one case is one line
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.oci import digest as digests
from knarr.oci import manifest
from knarr.oci import reference as references
from knarr.registry import sessions
from knarr.registry.service import Registry
from knarr.wire.http import Request, Response

BLOB = b"some layer"
BLOB_DIGEST = digests.of(BLOB)
ABSENT = "sha256:" + "0" * 64


class Asked:
    """A registry and a short way to ask it."""

    def __init__(self, directory: Path) -> None:
        self.content = LocalContent(directory)
        self.names = Names()
        self.registry = Registry(self.content, self.names, "localhost:5000")

    async def __call__(
        self, method: str, target: str, body: bytes | AsyncIterator[bytes] = b"", **headers: str
    ) -> Response:
        path, _, query = target.partition("?")
        fields = {"host": "localhost:5000", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.registry.handler(Request(method, path, query, tuple(fields.items()), body))

    async def push_blob(self, body: bytes = BLOB) -> str:
        answer = await self("POST", f"/v2/web/blobs/uploads/?digest={digests.of(body)}", body)
        assert answer.status == 201
        return digests.of(body)

    async def push(self, reference: str = "v1", **members: object) -> str:
        body = self.manifest(**members)
        for blob in (BLOB, b"{}"):
            await self.push_blob(blob)
        answer = await self("PUT", f"/v2/web/manifests/{reference}", body, content_type=manifest.OCI_MANIFEST)
        assert answer.status == 201, answer.body
        return header(answer, "docker-content-digest")

    def manifest(self, **members: object) -> bytes:
        described = {"digest": BLOB_DIGEST, "size": len(BLOB), "mediaType": manifest.OCI_LAYER_GZIP}
        config = {"digest": digests.of(b"{}"), "size": 2, "mediaType": manifest.OCI_CONFIG}
        image = {"schemaVersion": 2, "mediaType": manifest.OCI_MANIFEST, "config": config, "layers": [described]}
        return json.dumps({**image, **members}).encode()


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Asked]:
    asked = Asked(tmp_path)
    yield asked
    asked.registry.close()


def header(response: Response, name: str) -> str:
    return next((value for key, value in response.headers if key == name), "")


async def body_of(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


async def code(response: Response) -> tuple[int, str]:
    return response.status, json.loads(await body_of(response))["errors"][0]["code"]


async def members(response: Response) -> dict[str, object]:
    assert response.status == 200
    found = json.loads(await body_of(response))
    assert isinstance(found, dict)
    return found


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


# Pull.


async def test_the_registry_says_that_it_is_one(ask: Asked) -> None:
    for path in ("/v2/", "/v2"):
        answer = await ask("GET", path)
        assert (answer.status, header(answer, "docker-distribution-api-version")) == (200, "registry/2.0")


async def test_a_pushed_manifest_is_pulled_byte_for_byte(ask: Asked) -> None:
    digest = await ask.push()
    for reference in ("v1", digest):
        answer = await ask("GET", f"/v2/web/manifests/{reference}")
        assert (answer.status, await body_of(answer)) == (200, ask.manifest())
        assert header(answer, "docker-content-digest") == digest
        assert header(answer, "content-type") == manifest.OCI_MANIFEST
        head = await ask("HEAD", f"/v2/web/manifests/{reference}")
        assert (head.status, head.body, header(head, "content-length")) == (200, b"", str(len(ask.manifest())))


async def test_a_pushed_image_has_a_name_on_the_node_at_once(ask: Asked) -> None:
    digest = await ask.push()
    name = ask.names.find(references.parse("localhost:5000/web:v1"))
    assert name is not None
    assert (name.digest, name.origin) == (digest, "pushed")


@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        ("", 200, BLOB, ""),
        ("bytes=0-3", 206, b"some", "bytes 0-3/10"),
        ("bytes=5-", 206, b"layer", "bytes 5-9/10"),
        ("bytes=-5", 206, b"layer", "bytes 5-9/10"),
        ("bytes=-50", 200, BLOB, ""),
        ("bytes=2-99", 206, b"me layer", "bytes 2-9/10"),
        ("bytes=0-9", 200, BLOB, ""),
        ("bytes=0-1,3-4", 200, BLOB, ""),
        ("bytes=4-2", 200, BLOB, ""),
        ("bytes=-", 200, BLOB, ""),
        ("lines=1-2", 200, BLOB, ""),
    ],
)
async def test_a_blob_is_pulled_in_the_range_asked_for(
    ask: Asked, asked: str, status: int, expected: bytes, content_range: str
) -> None:
    await ask.push_blob()
    answer = await ask("GET", f"/v2/web/blobs/{BLOB_DIGEST}", range=asked)
    assert (answer.status, await body_of(answer)) == (status, expected)
    assert (header(answer, "content-range"), header(answer, "content-length")) == (content_range, str(len(expected)))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-12", "bytes=99-100", "bytes=-0"])
async def test_a_range_outside_of_the_blob_cannot_be_satisfied(ask: Asked, asked: str) -> None:
    await ask.push_blob()
    answer = await ask("GET", f"/v2/web/blobs/{BLOB_DIGEST}", range=asked)
    assert await code(answer) == (416, "RANGE_INVALID")
    assert header(answer, "content-range") == "bytes */10"


async def test_a_large_blob_is_streamed(ask: Asked) -> None:
    large = bytes(3 << 20)
    digest = await ask.push_blob(large)
    answer = await ask("GET", f"/v2/web/blobs/{digest}", range="bytes=1-")
    assert not isinstance(answer.body, bytes)
    assert await body_of(answer) == large[1:]


async def test_what_a_client_has_already_is_not_sent_again(ask: Asked) -> None:
    digest = await ask.push()
    for path, tag in ((f"blobs/{BLOB_DIGEST}", BLOB_DIGEST), ("manifests/v1", digest)):
        answer = await ask("GET", f"/v2/web/{path}", if_none_match=f'"{tag}"')
        assert (answer.status, answer.body) == (304, b"")


# Push.


async def test_a_blob_is_pushed_in_two_steps(ask: Asked) -> None:
    opened = await ask("POST", "/v2/web/blobs/uploads/")
    assert (opened.status, header(opened, "range")) == (202, "0-0")
    finished = await ask("PUT", f"{header(opened, 'location')}?digest={BLOB_DIGEST}", BLOB)
    assert (finished.status, header(finished, "location")) == (201, f"/v2/web/blobs/{BLOB_DIGEST}")
    assert (await ask("HEAD", f"/v2/web/blobs/{BLOB_DIGEST}")).status == 200


async def test_a_blob_is_pushed_in_chunks(ask: Asked) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    first = await ask("PATCH", location, chunks(b"so", b"me"), content_range="0-3", content_length="4")
    assert (first.status, header(first, "range")) == (202, "0-3")
    status = await ask("GET", location)
    assert (status.status, header(status, "range")) == (204, "0-3")
    second = await ask("PATCH", location, b" lay", content_range="4-7")
    assert header(second, "range") == "0-7"
    assert (await ask("PUT", f"{location}?digest={BLOB_DIGEST}", b"er", content_range="8-9")).status == 201
    assert ask.content.path(BLOB_DIGEST).read_bytes() == BLOB


@pytest.mark.parametrize("asked", ["1-4", "3-5", "9-12", "4-2", "x-y", "-1-3", "4"])
async def test_a_chunk_out_of_order_is_refused_and_changes_nothing(ask: Asked, asked: str) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    await ask("PATCH", location, b"some", content_range="0-3")
    answer = await ask("PATCH", location, b"xxxx", content_range=asked)
    assert await code(answer) == (416, "RANGE_INVALID")
    assert header(answer, "range") == "0-3"
    assert (await ask("PUT", f"{location}?digest={BLOB_DIGEST}", b" layer")).status == 201


async def test_a_chunk_whose_length_lies_is_refused(ask: Asked) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    answer = await ask("PATCH", location, b"some", content_range="0-9", content_length="4")
    assert await code(answer) == (400, "SIZE_INVALID")


async def test_a_wrong_digest_is_refused_and_leaves_nothing(ask: Asked) -> None:
    answer = await ask("POST", f"/v2/web/blobs/uploads/?digest={ABSENT}", BLOB)
    assert await code(answer) == (400, "DIGEST_INVALID")
    assert list(ask.content.walk()) == []
    assert list((ask.content.root / "ingest").iterdir()) == []


async def test_a_blob_that_is_here_is_mounted(ask: Asked) -> None:
    await ask.push_blob()
    mounted = await ask("POST", f"/v2/other/blobs/uploads/?mount={BLOB_DIGEST}&from=web")
    assert (mounted.status, header(mounted, "location")) == (201, f"/v2/other/blobs/{BLOB_DIGEST}")
    missing = await ask("POST", f"/v2/other/blobs/uploads/?mount={ABSENT}&from=web")
    assert missing.status == 202


async def test_an_upload_is_finished_once(ask: Asked) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    assert (await ask("PUT", f"{location}?digest={BLOB_DIGEST}", BLOB)).status == 201
    answer = await ask("PUT", f"{location}?digest={BLOB_DIGEST}", BLOB)
    assert await code(answer) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_an_upload_belongs_to_its_repository(ask: Asked) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    assert await code(await ask("GET", location.replace("/web/", "/other/"))) == (404, "BLOB_UPLOAD_UNKNOWN")


async def test_an_upload_can_be_cancelled(ask: Asked) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    await ask("PATCH", location, b"some")
    assert (await ask("DELETE", location)).status == 204
    assert await code(await ask("DELETE", location)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert list((ask.content.root / "ingest").iterdir()) == []


async def test_two_requests_cannot_write_one_upload_at_once(ask: Asked) -> None:
    location = header(await ask("POST", "/v2/web/blobs/uploads/"), "location")
    inner: list[Response] = []

    async def slow() -> AsyncIterator[bytes]:
        yield b"some"
        inner.append(await ask("PATCH", location, b"xxxx"))
        inner.append(await ask("PUT", f"{location}?digest={BLOB_DIGEST}", b""))
        inner.append(await ask("DELETE", location))
        yield b" layer"

    assert (await ask("PATCH", location, slow())).status == 202
    assert [await code(answer) for answer in inner] == [(409, "BLOB_UPLOAD_INVALID")] * 3
    assert (await ask("PUT", f"{location}?digest={BLOB_DIGEST}")).status == 201


async def test_a_manifest_needs_its_blobs_first(ask: Asked) -> None:
    answer = await ask("PUT", "/v2/web/manifests/v1", ask.manifest(), content_type=manifest.OCI_MANIFEST)
    assert await code(answer) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert len(ask.names) == 0


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        (b"{}", manifest.OCI_MANIFEST, (400, "MANIFEST_INVALID")),
        (b"not json", manifest.OCI_MANIFEST, (400, "MANIFEST_INVALID")),
        (b'{"schemaVersion":2,"manifests":[],"layers":[]}', manifest.OCI_INDEX, (400, "MANIFEST_INVALID")),
        (b'{"schemaVersion":2,"manifests":[]}', "text/html", (201, "")),
        (b" " * ((4 << 20) + 1), manifest.OCI_MANIFEST, (413, "SIZE_INVALID")),
    ],
)
async def test_a_manifest_is_judged_before_it_is_kept(
    ask: Asked, body: bytes, media_type: str, expected: tuple[int, str]
) -> None:
    answer = await ask("PUT", "/v2/web/manifests/v1", body, content_type=media_type)
    assert (answer.status, "") == expected if answer.status == 201 else await code(answer) == expected


async def test_a_manifest_under_a_wrong_digest_is_refused(ask: Asked) -> None:
    await ask.push()
    answer = await ask("PUT", f"/v2/web/manifests/{ABSENT}", ask.manifest(), content_type=manifest.OCI_MANIFEST)
    assert await code(answer) == (400, "DIGEST_INVALID")


async def test_a_size_that_lies_is_refused(ask: Asked) -> None:
    await ask.push()
    layers = [{"digest": BLOB_DIGEST, "size": 11, "mediaType": manifest.OCI_LAYER_GZIP}]
    answer = await ask("PUT", "/v2/web/manifests/v2", ask.manifest(layers=layers), content_type=manifest.OCI_MANIFEST)
    assert await code(answer) == (400, "SIZE_INVALID")


# Discovery.


async def test_tags_are_listed_in_pages(ask: Asked) -> None:
    for tag in ("v2", "v1", "latest", "v10"):
        await ask.push(tag)
    assert await members(await ask("GET", "/v2/web/tags/list")) == {
        "name": "web",
        "tags": ["latest", "v1", "v10", "v2"],
    }
    first = await ask("GET", "/v2/web/tags/list?n=2")
    assert (await members(first))["tags"] == ["latest", "v1"]
    assert header(first, "link") == '</v2/web/tags/list?n=2&last=v1>; rel="next"'
    second = await ask("GET", "/v2/web/tags/list?n=2&last=v1")
    assert ((await members(second))["tags"], header(second, "link")) == (["v10", "v2"], "")
    assert (await members(await ask("GET", "/v2/web/tags/list?n=0")))["tags"] == []
    assert (await members(await ask("GET", "/v2/web/tags/list?last=v10")))["tags"] == ["v2"]
    assert (await ask("GET", "/v2/web/tags/list?n=-1")).status == 400


async def test_the_catalog_holds_this_registrys_repositories(ask: Asked) -> None:
    digest = digests.parse(await ask.push())
    for text in ("localhost:5000/team/app", "docker.io/library/nginx"):
        ask.names.tag(references.parse(text), digest, media_type="m", size=1, origin="built")
    whole = await ask("GET", "/v2/_catalog")
    assert await body_of(whole) == b'{"repositories":["team/app","web"]}\n'
    page = await ask("GET", "/v2/_catalog?n=1")
    assert ((await members(page))["repositories"], header(page, "link")) == (
        ["team/app"],
        '</v2/_catalog?n=1&last=team/app>; rel="next"',
    )


async def test_what_is_built_on_the_node_is_at_once_pullable(ask: Asked) -> None:
    digest = digests.parse(await ask.push())
    built = references.parse("localhost:5000/built:v9")
    ask.names.tag(built, digest, media_type=manifest.OCI_MANIFEST, size=1, origin="built")
    assert (await ask("GET", "/v2/built/manifests/v9")).status == 200


async def test_referrers_are_those_with_the_subject(ask: Asked) -> None:
    subject = {"digest": await ask.push(), "size": len(ask.manifest()), "mediaType": manifest.OCI_MANIFEST}
    for kind in ("a/one", "a/two"):
        body = ask.manifest(subject=subject, artifactType=kind, annotations={"kind": kind})
        answer = await ask("PUT", f"/v2/web/manifests/{digests.of(body)}", body, content_type=manifest.OCI_MANIFEST)
        assert (answer.status, header(answer, "oci-subject")) == (201, subject["digest"])
    listed = await ask("GET", f"/v2/web/referrers/{subject['digest']}")
    assert header(listed, "content-type") == manifest.OCI_INDEX
    found = (await members(listed))["manifests"]
    assert isinstance(found, list)
    assert sorted((e["artifactType"], e["annotations"]["kind"]) for e in found) == [("a/one",) * 2, ("a/two",) * 2]
    filtered = await ask("GET", f"/v2/web/referrers/{subject['digest']}?artifactType=a/two")
    assert header(filtered, "oci-filters-applied") == "artifactType"
    assert len((await members(filtered))["manifests"]) == 1  # type: ignore[arg-type]  # JSON
    assert (await members(await ask("GET", f"/v2/web/referrers/{ABSENT}")))["manifests"] == []


async def test_the_entry_of_an_index_is_found_by_its_digest(ask: Asked) -> None:
    child = await ask.push()
    entry = {"digest": child, "size": len(ask.manifest()), "mediaType": manifest.OCI_MANIFEST}
    body = json.dumps({"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": [entry]}).encode()
    assert (await ask("PUT", "/v2/multi/manifests/v1", body, content_type=manifest.OCI_INDEX)).status == 201
    assert (await ask("GET", f"/v2/multi/manifests/{child}")).status == 200
    assert (await ask("GET", f"/v2/other/manifests/{child}")).status == 404


# Deletion.


async def test_deleting_a_tag_leaves_the_other_names(ask: Asked) -> None:
    digest = await ask.push("v1")
    await ask.push("v2")
    assert (await ask("DELETE", "/v2/web/manifests/v1")).status == 202
    assert (await ask("GET", "/v2/web/manifests/v1")).status == 404
    assert (await ask("GET", f"/v2/web/manifests/{digest}")).status == 200
    assert (await ask("DELETE", f"/v2/web/manifests/{digest}")).status == 202
    assert len(ask.names) == 0
    assert await code(await ask("DELETE", "/v2/web/manifests/v1")) == (404, "MANIFEST_UNKNOWN")
    assert (await members(await ask("GET", "/v2/web/tags/list")))["tags"] == []


async def test_a_blob_is_deleted_once_no_image_needs_it(ask: Asked) -> None:
    await ask.push("v1")
    assert await code(await ask("DELETE", f"/v2/web/blobs/{BLOB_DIGEST}")) == (405, "UNSUPPORTED")
    await ask("DELETE", "/v2/web/manifests/v1")
    assert (await ask("DELETE", f"/v2/web/blobs/{BLOB_DIGEST}")).status == 202
    assert await code(await ask("DELETE", f"/v2/web/blobs/{BLOB_DIGEST}")) == (404, "BLOB_UNKNOWN")


# What is refused.


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/v2/web/manifests/v1", (404, "MANIFEST_UNKNOWN")),
        ("GET", f"/v2/web/manifests/{ABSENT}", (404, "MANIFEST_UNKNOWN")),
        ("GET", f"/v2/web/blobs/{ABSENT}", (404, "BLOB_UNKNOWN")),
        ("GET", "/v2/web/tags/list", (404, "NAME_UNKNOWN")),
        ("GET", "/v2/UPPER/manifests/latest", (400, "NAME_INVALID")),
        ("GET", "/v2/web/../etc/manifests/latest", (400, "NAME_INVALID")),
        ("GET", "/v2/web/%2e%2e/etc/manifests/latest", (400, "NAME_INVALID")),
        ("GET", "/v2/%ff/manifests/latest", (400, "NAME_INVALID")),
        ("GET", f"/v2/{'a' * 300}/manifests/latest", (400, "NAME_INVALID")),
        ("PUT", "/v2/web/manifests/.bad", (400, "TAG_INVALID")),
        ("PUT", f"/v2/web/manifests/{'t' * 129}", (400, "TAG_INVALID")),
        ("GET", "/v2/web/manifests/sha256:short", (400, "DIGEST_INVALID")),
        ("GET", "/v2/web/blobs/sha256:..%2f..%2fetc", (404, "UNSUPPORTED")),
        ("GET", "/v2/web/blobs/passwd", (400, "DIGEST_INVALID")),
        ("POST", "/v2/web/blobs/uploads/?digest=sha256:xyz", (400, "DIGEST_INVALID")),
        ("PATCH", "/v2/web/blobs/uploads/0123", (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PUT", "/v2/web/blobs/uploads/..", (404, "BLOB_UPLOAD_UNKNOWN")),
        ("GET", "/v2/web/referrers/none", (400, "DIGEST_INVALID")),
        ("POST", "/v2/web/manifests/v1", (405, "UNSUPPORTED")),
        ("DELETE", "/v2/", (405, "UNSUPPORTED")),
        ("GET", "/v1/search", (404, "UNSUPPORTED")),
        ("GET", "/", (404, "UNSUPPORTED")),
    ],
)
async def test_what_is_not_here_or_not_allowed_has_its_code(
    ask: Asked, method: str, target: str, expected: tuple[int, str]
) -> None:
    assert await code(await ask(method, target)) == expected


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.nip.io", "localhost.evil.example:5000", "10.0.0.1:5000", "localhost:5000\n"]
)
async def test_a_rebound_name_reaches_nothing(ask: Asked, host: str) -> None:
    assert await code(await ask("GET", "/v2/", host=host)) == (403, "DENIED")


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
async def test_the_names_of_the_loopback_are_served(ask: Asked, host: str) -> None:
    assert (await ask("GET", "/v2/", host=host)).status == 200


@pytest.mark.parametrize(
    "field", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}]
)
async def test_a_page_of_another_site_changes_nothing(ask: Asked, field: dict[str, str]) -> None:
    assert await code(await ask("POST", "/v2/web/blobs/uploads/", **field)) == (403, "DENIED")


# Sessions.


def test_a_session_lives_for_an_hour_after_its_last_use(tmp_path: Path) -> None:
    now = [0.0]
    content = LocalContent(tmp_path)
    kept = sessions.Sessions(lambda: now[0])
    used, idle = kept.open("web", content), kept.open("web", content)
    now[0] = 3000.0
    assert kept.get("web", used.id) is used
    now[0] = 4000.0
    assert kept.get("web", used.id) is used
    with pytest.raises(Exception, match="not known"):
        kept.get("web", idle.id)
    assert len(list((tmp_path / "ingest").iterdir())) == 1
    kept.close_all()


def test_sessions_are_bounded(tmp_path: Path) -> None:
    kept = sessions.Sessions(count_max=2)
    content = LocalContent(tmp_path)
    for _ in range(2):
        kept.open("web", content)
    with pytest.raises(Exception, match="2 uploads are open"):
        kept.open("web", content)
    kept.close_all()
