"""Quotas of the registry while several push at once, and rights that no repository's name can bend."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.images.content import add
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.oci import digest as digests
from knarr.oci import manifest
from knarr.registry import passwords, sessions
from knarr.registry.access import Access
from knarr.registry.quota import Quota
from knarr.registry.service import Gates, Registry
from knarr.wire.http import Request, Response


def registry(directory: Path, gates: Gates) -> tuple[Registry, LocalContent]:
    content = LocalContent(directory)
    return Registry(content, Names(), "localhost:5000", gates), content


async def ask(
    there: Registry, method: str, target: str, body: bytes | AsyncIterator[bytes] = b"", **more: str
) -> Response:
    path, _, query = target.partition("?")
    fields = {"host": "localhost:5000", **{name.replace("_", "-"): value for name, value in more.items()}}
    return await there.handler(Request(method, path, query, tuple(fields.items()), body))


class Meeting:
    """Bodies of which each sends all but its last byte, and that once all the others are so far."""

    def __init__(self, count: int) -> None:
        self._barrier = asyncio.Barrier(count)

    async def body(self, body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body) - 1, 1 << 20):
            yield body[start : min(start + (1 << 20), len(body) - 1)]
        await self._barrier.wait()
        yield body[-1:]


async def test_pushes_at_the_same_time_share_one_quota(tmp_path: Path) -> None:
    there, content = registry(tmp_path, Gates(quota=Quota(total_bytes=5 << 19)))
    bodies = [bytes([number]) * (1 << 20) for number in range(1, 5)]
    meeting = Meeting(len(bodies))
    answers = await asyncio.gather(
        *(
            ask(there, "POST", f"/v2/web{number}/blobs/uploads/?digest={digests.of(body)}", meeting.body(body))
            for number, body in enumerate(bodies)
        )
    )
    assert {answer.status for answer in answers} <= {201, 413}
    assert sum(blob.size for blob in content.walk()) <= 5 << 19
    assert list((tmp_path / "ingest").iterdir()) == []
    for size, status in ((1 << 20, 413), (1 << 19, 201)):  # two were taken, and what is left can be used
        body = bytes(size)
        answer = await ask(there, "POST", f"/v2/web/blobs/uploads/?digest={digests.of(body)}", body)
        assert answer.status == status


async def test_manifests_count_too(tmp_path: Path) -> None:
    there, content = registry(tmp_path, Gates(quota=Quota(total_bytes=4000)))
    statuses = []
    for number in range(6):
        index = b'{"schemaVersion":2,"mediaType":"%s","manifests":[],"annotations":{"n":"%s"}}' % (
            manifest.OCI_INDEX.encode(),
            b"%d" % number * 1000,
        )
        answer = await ask(there, "PUT", f"/v2/web/manifests/{number}", index, content_type=manifest.OCI_INDEX)
        statuses.append(answer.status)
    assert statuses == [201, 201, 201, 413, 413, 413]
    assert sum(blob.size for blob in content.walk()) <= 4000  # nothing stays of what was refused


async def test_a_manifest_that_leads_to_too_much_is_not_kept(tmp_path: Path) -> None:
    there, content = registry(tmp_path, Gates(quota=Quota(repository_bytes=4000)))
    body = bytes(5000)
    layer = add(content, body)
    for number in range(3):
        artifact = {
            "schemaVersion": 2,
            "mediaType": manifest.OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.x", "digest": layer.digest, "size": layer.size},
            "layers": [],
            "annotations": {"n": str(number)},
        }
        answer = await ask(
            there,
            "PUT",
            f"/v2/web/manifests/{number}",
            json.dumps(artifact).encode(),
            content_type=manifest.OCI_MANIFEST,
        )
        assert answer.status == 413
    assert [blob.digest for blob in content.walk()] == [layer.digest]


async def test_a_repository_has_its_room_whatever_comes_to_another(tmp_path: Path) -> None:
    there, _ = registry(tmp_path, Gates(quota=Quota(total_bytes=16 << 20, repository_bytes=7 << 20)))
    bodies = [bytes([number]) * (6 << 20) for number in range(2)]
    meeting = Meeting(len(bodies))  # by when most of both is on the disk, and seen to be
    answers = await asyncio.gather(
        *(
            ask(there, "POST", f"/v2/web{number}/blobs/uploads/?digest={digests.of(body)}", meeting.body(body))
            for number, body in enumerate(bodies)
        )
    )
    assert [answer.status for answer in answers] == [201, 201]


@pytest.mark.parametrize("repository", ["web", "blobs/uploads", "web/blobs/uploads/x", "a/manifests/b", "_catalog"])
async def test_deleting_asks_for_the_right_to_delete_in_every_repository(tmp_path: Path, repository: str) -> None:
    users = {"ann": passwords.hashed("secret", rounds=4)}
    there, _ = registry(tmp_path, Gates(access=Access(users, "here", mode="token")))
    answer = await ask(there, "DELETE", f"/v2/{repository}/manifests/1")
    challenge = dict(answer.headers)["www-authenticate"]
    assert (answer.status, challenge.partition("scope=")[2]) == (401, f'"repository:{repository}:delete"')


async def test_a_host_is_named_in_any_case(tmp_path: Path) -> None:
    there, _ = registry(tmp_path, Gates(hosts=frozenset({"registry.lan"})))
    for host, status in (("Registry.LAN:5000", 200), ("LocalHost", 200), ("registry.lan.evil", 403)):
        assert (await there.handler(Request("GET", "/v2/", "", (("host", host),), b""))).status == status


async def test_too_many_open_uploads_say_when_to_come_again(tmp_path: Path) -> None:
    there, _ = registry(tmp_path, Gates())
    answers = [await ask(there, "POST", "/v2/web/blobs/uploads/") for _ in range(sessions.COUNT_MAX + 1)]
    there.close()
    assert {answer.status for answer in answers[:-1]} == {202}
    assert (answers[-1].status, dict(answers[-1].headers)["retry-after"]) == (429, "60")
