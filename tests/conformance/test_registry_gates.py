"""What may stand around the registry, met by real clients: proxies of other registries, users, tokens, TLS, quotas."""

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.base.clock import SystemClock
from knarr.base.errors import Forbidden, KnarrError, Unauthenticated
from knarr.images.content import add
from knarr.images.credentials import Credentials
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.registry import passwords
from knarr.registry.options import Options
from knarr.wire import tls
from knarr.wire.http import Request
from knarr.wire.http_client import Client, Target
from tests.conformance.registries import Gate, Served, build, open_store, served

LAYER = os.urandom(3 << 20)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


async def get(
    client: Client, there: Served, path: str, *headers: tuple[str, str], method: str = "GET"
) -> tuple[int, bytes]:
    host, _, port = there.domain.partition(":")
    response = await client.request(Target(host, int(port)), Request(method, path, "", headers))
    return response.status, await response.read(64 << 20)


@contextlib.asynccontextmanager
async def proxied(directory: Path, gate: Gate, **options: object) -> AsyncIterator[tuple[Served, Served, str]]:
    """(upstream behind the gate, a cache in front of it, the digest of the image `web:1` upstream)."""
    async with served(directory / "upstream", gate) as upstream:
        digest = build(upstream.store, f"{upstream.domain}/web:1", b"hello", LAYER)
        told = Options(proxies=(f"http://{upstream.domain}",), **options)  # type: ignore[arg-type]  # its own fields
        async with served(directory / "cache", options=told) as cache:
            yield upstream, cache, digest


def open_gate(**members: object) -> Gate:
    """A gate that gives everybody a token."""
    return Gate(password="", **members)  # type: ignore[arg-type]  # its own fields


# Proxies.


async def test_what_is_missing_is_fetched_from_upstream_and_kept(tmp_path: Path, client: Client) -> None:
    gate = open_gate()
    async with proxied(tmp_path, gate) as (upstream, cache, digest):
        for name in ("first", "second"):
            store, _, snapshots = open_store(tmp_path / name)
            image = await Puller(store, client).pull(references.parse(f"{cache.domain}/web:1"))
            assert image.digest == digest
            assert snapshots.has(image.chain_id)
        fetched = [path for method, path, _ in gate.asked if method == "GET" and "/blobs/" in path and _]
        assert len(fetched) == len(set(fetched)) == 3  # the configuration and two layers, once each
        assert {name.reference for name in cache.store.names} == {f"{upstream.domain}/web:1"}
        assert cache.store.resolve(f"{upstream.domain}/web:1").digest == digest  # runnable on the node, too


async def test_many_clients_share_one_download(tmp_path: Path, client: Client) -> None:
    gate = open_gate(slow=True)
    async with proxied(tmp_path, gate) as (upstream, cache, _digest):
        layer = upstream.store.resolve(f"{upstream.domain}/web:1").manifest.layers[1]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(get(client, cache, f"/v2/web/blobs/{layer.digest}")) for _ in range(8)]
        assert {task.result()[0] for task in asked} == {200}
        assert len({task.result()[1] for task in asked}) == 1
        assert cache.content.info(layer.digest).size == layer.size
        blobs = [path for method, path, token in gate.asked if method == "GET" and layer.digest in path and token]
        assert len(blobs) == 1


async def test_a_blob_is_read_while_it_arrives_but_its_end_only_when_verified(tmp_path: Path, client: Client) -> None:
    gate = open_gate(slow=True, spoils=True)
    async with proxied(tmp_path, gate) as (upstream, cache, _digest):
        layer = upstream.store.resolve(f"{upstream.domain}/web:1").manifest.layers[1]
        host, _, port = cache.domain.partition(":")
        response = await client.request(Target(host, int(port)), Request("GET", f"/v2/web/blobs/{layer.digest}"))
        assert response.header("content-length") == str(layer.size)
        came = 0
        with contextlib.suppress(KnarrError):  # a body that is shorter than its length says
            async for chunk in response.chunks():
                came += len(chunk)
        assert 0 < came < layer.size
        assert not cache.content.touch(layer.digest)


async def test_a_download_goes_on_when_its_first_reader_leaves(tmp_path: Path, client: Client) -> None:
    gate = open_gate(slow=True)
    async with proxied(tmp_path, gate) as (upstream, cache, _digest):
        layer = upstream.store.resolve(f"{upstream.domain}/web:1").manifest.layers[1]
        host, _, port = cache.domain.partition(":")
        first = await client.request(Target(host, int(port)), Request("GET", f"/v2/web/blobs/{layer.digest}"))
        second = asyncio.create_task(get(client, cache, f"/v2/web/blobs/{layer.digest}"))
        first.close()
        status, body = await second
        assert (status, len(body)) == (200, layer.size)


async def test_a_range_of_a_blob_that_arrives_is_served(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate()) as (upstream, cache, _digest):
        layer = upstream.store.resolve(f"{upstream.domain}/web:1").manifest.layers[1]
        whole = upstream.content.path(layer.digest).read_bytes()
        assert await get(client, cache, f"/v2/web/blobs/{layer.digest}", ("range", "bytes=5-1004")) == (
            206,
            whole[5:1005],
        )


async def test_a_tag_is_asked_about_again_after_its_time(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate(), proxy_ttl_seconds=0) as (upstream, cache, digest):
        assert (await get(client, cache, "/v2/web/manifests/1"))[0] == 200
        newer = build(upstream.store, f"{upstream.domain}/web:1", b"newer")
        assert newer != digest
        _, body = await get(client, cache, "/v2/web/manifests/1")
        assert body == upstream.content.path(newer).read_bytes()


async def test_a_tag_is_believed_for_its_time(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate()) as (upstream, cache, digest):
        assert (await get(client, cache, "/v2/web/manifests/1"))[0] == 200
        build(upstream.store, f"{upstream.domain}/web:1", b"newer")
        _, body = await get(client, cache, "/v2/web/manifests/1")
        assert body == upstream.content.path(Digest(digest)).read_bytes()


async def test_an_upstream_that_does_not_answer_is_excused(tmp_path: Path, client: Client) -> None:
    gate = open_gate()
    async with proxied(tmp_path, gate, proxy_ttl_seconds=0) as (_, cache, _digest):
        assert (await get(client, cache, "/v2/web/manifests/1"))[0] == 200
        gate.failures = 1000
        assert (await get(client, cache, "/v2/web/manifests/1"))[0] == 200
        assert (await get(client, cache, "/v2/web/manifests/2"))[0] == 503


async def test_a_tag_that_upstream_removed_is_gone(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate(), proxy_ttl_seconds=0) as (upstream, cache, _digest):
        assert (await get(client, cache, "/v2/web/manifests/1"))[0] == 200
        upstream.store.names.untag(references.parse(f"{upstream.domain}/web:1"))
        assert (await get(client, cache, "/v2/web/manifests/1"))[0] == 404
        assert len(cache.store.names) == 0


async def test_what_was_pushed_here_is_not_looked_for_upstream(tmp_path: Path, client: Client) -> None:
    gate = open_gate()
    async with proxied(tmp_path, gate) as (_, cache, _digest):
        own = build(cache.store, f"{cache.domain}/web:1", b"own")
        _, body = await get(client, cache, "/v2/web/manifests/1")
        assert body == cache.content.path(own).read_bytes()
        assert (await get(client, cache, f"/v2/web/referrers/{own}"))[0] == 200
        assert gate.asked == []


async def test_an_upstream_that_refuses_to_list_referrers_has_none(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, Gate()) as (_, cache, digest):
        status, body = await get(client, cache, f"/v2/web/referrers/{digest}")
        assert (status, json.loads(body)["manifests"]) == (200, [])


async def test_an_upstream_that_wants_credentials_gets_those_of_the_docker_configuration(
    tmp_path: Path, client: Client
) -> None:
    gate = Gate()
    async with served(tmp_path / "upstream", gate) as upstream:
        build(upstream.store, f"{upstream.domain}/web:1", b"hello")
        config = tmp_path / "config.json"
        entry = {"username": "ann", "password": "secret"}
        config.write_text(json.dumps({"auths": {upstream.domain: entry}}))
        for docker_config, status in ((str(config), 200), ("", 403)):
            told = Options(proxies=(f"http://{upstream.domain}",), docker_config=docker_config)
            async with served(tmp_path / f"cache-{status}", options=told) as cache:
                assert (await get(client, cache, "/v2/web/manifests/1"))[0] == status


async def test_a_registry_that_it_does_not_stand_for_is_not_asked(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate()) as (_, cache, _digest):
        host, _, port = cache.domain.partition(":")
        response = await client.request(Target(host, int(port)), Request("GET", "/v2/web/manifests/1", "ns=ghcr.io"))
        assert response.status == 404
        response.close()


# Users.


@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_only_users_come_in(tmp_path: Path, client: Client, auth: str) -> None:
    passwords.write(tmp_path / "users", "ann", "secret")
    here, _, _ = open_store(tmp_path / "here")
    told = Options(htpasswd=str(tmp_path / "users"), auth=auth)  # type: ignore[arg-type]  # one of the two
    async with served(tmp_path / "there", options=told) as there:
        name = f"{there.domain}/web:1"
        build(here, name, b"hello", LAYER)
        for wrong in (None, Credentials("ann", "wrong"), Credentials("bob", "secret")):
            with pytest.raises((Unauthenticated, Forbidden)):
                await Pusher(here, client).push(references.parse(name), wrong)
        right = Credentials("ann", "secret")
        digest = await Pusher(here, client).push(references.parse(name), right)
        elsewhere, _, _ = open_store(tmp_path / "elsewhere")
        with pytest.raises(Unauthenticated):
            await Puller(elsewhere, client).pull(references.parse(name))
        assert (await Puller(elsewhere, client).pull(references.parse(name), right)).digest == digest


async def test_everybody_may_pull_where_that_is_said(tmp_path: Path, client: Client) -> None:
    passwords.write(tmp_path / "users", "ann", "secret")
    for auth in ("basic", "token"):
        told = Options(htpasswd=str(tmp_path / "users"), auth=auth, anonymous_pull=True)  # type: ignore[arg-type]  # one of the two
        async with served(tmp_path / auth, options=told) as there:
            build(there.store, f"{there.domain}/web:1", b"hello")
            store, _, _ = open_store(tmp_path / f"{auth}-here")
            await Puller(store, client).pull(references.parse(f"{there.domain}/web:1"))
            build(store, f"{there.domain}/web:2", b"mine")
            with pytest.raises((Unauthenticated, Forbidden)):
                await Pusher(store, client).push(references.parse(f"{there.domain}/web:2"))
            assert (await get(client, there, "/v2/web/manifests/1", method="DELETE"))[0] == 401


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
@pytest.mark.parametrize("auth", ["basic", "token"])
async def test_skopeo_comes_in_over_tls(tmp_path: Path, auth: str) -> None:
    authority = tls.new_authority("test", SystemClock().now())
    pair = tls.issue_server(authority, "localhost", ["localhost", "127.0.0.1"], SystemClock().now(), days=2)
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    tls.write(certificates / "ca.crt", authority.certificate)
    tls.write(tmp_path / "cert.pem", pair.certificate)
    tls.write(tmp_path / "key.pem", pair.key)
    passwords.write(tmp_path / "users", "ann", "secret")
    told = Options(
        htpasswd=str(tmp_path / "users"),
        auth=auth,
        tls_certificate=str(tmp_path / "cert.pem"),
        tls_key=str(tmp_path / "key.pem"),
    )  # type: ignore[arg-type]  # one of the two
    context = tls.server_context(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with served(tmp_path / "there", options=told, tls=context) as there:
        build(there.store, f"{there.domain}/web:1", b"hello", LAYER)
        there.store.tag(f"{there.domain}/web:1", f"{there.domain}/web:2")
        remote = f"docker://{there.domain}/web"
        for credentials, code in (("ann:secret", 0), ("ann:wrong", 1)):
            flags = [f"--src-cert-dir={certificates}", f"--src-creds={credentials}"]
            assert await run("skopeo", "copy", "-q", *flags, f"{remote}:1", f"dir:{tmp_path / 'out'}") == code
        flags = [
            f"--src-cert-dir={certificates}",
            "--src-creds=ann:secret",
            f"--dest-cert-dir={certificates}",
            "--dest-creds=ann:secret",
        ]
        assert await run("skopeo", "copy", "-q", *flags, f"{remote}:1", f"docker://{there.domain}/other/web:1") == 0
        assert await run("skopeo", "delete", f"--cert-dir={certificates}", "--creds=ann:secret", f"{remote}:2") == 0
        # skopeo deletes by digest, and with it every tag of the repository that means it.
        assert {name.parsed.path for name in there.store.names} == {"other/web"}


# Quotas.


async def test_a_quota_stops_a_push_and_says_so(tmp_path: Path, client: Client) -> None:
    here, _, _ = open_store(tmp_path / "here")
    async with served(tmp_path / "there", options=Options(quota_bytes=4 << 20)) as there:
        for tag, body, fits in (("1", LAYER, True), ("2", os.urandom(3 << 20), False), ("3", b"small", True)):
            name = f"{there.domain}/web:{tag}"
            build(here, name, body)
            if fits:
                await Pusher(here, client).push(references.parse(name))
            else:
                with pytest.raises(KnarrError, match="quota exceeded"):
                    await Pusher(here, client).push(references.parse(name))
        assert sorted(name.parsed.tag for name in there.store.names) == ["1", "3"]
        left = [file.stat().st_size for file in (tmp_path / "there" / "ingest").iterdir()]
        assert sum(left) < 1 << 20  # nothing of the refused layer


async def test_what_is_fetched_from_upstream_keeps_to_the_quota(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate(), quota_bytes=4 << 20) as (upstream, cache, _):
        build(upstream.store, f"{upstream.domain}/web:2", os.urandom(2 << 20))
        here, _, _ = open_store(tmp_path / "here")
        await Puller(here, client).pull(references.parse(f"{cache.domain}/web:1"))
        with pytest.raises(KnarrError, match="quota exceeded: a blob of"):
            await Puller(here, client).pull(references.parse(f"{cache.domain}/web:2"))
        assert sum(blob.size for blob in cache.content.walk()) <= 4 << 20


async def test_layers_that_are_pulled_through_at_the_same_time_share_the_quota(tmp_path: Path, client: Client) -> None:
    async with proxied(tmp_path, open_gate(), quota_bytes=5 << 20) as (upstream, cache, _):
        layers = [add(upstream.content, os.urandom(2 << 20)).digest for _ in range(4)]
        answers = await asyncio.gather(*(get(client, cache, f"/v2/web/blobs/{layer}") for layer in layers))
        assert sorted(status for status, _ in answers) == [200, 200, 413, 413]
        assert sum(blob.size for blob in cache.content.walk()) <= 5 << 20


async def test_a_repositorys_quota_counts_shared_blobs_once(tmp_path: Path, client: Client) -> None:
    here, _, _ = open_store(tmp_path / "here")
    async with served(tmp_path / "there", options=Options(repository_quota_bytes=4 << 20)) as there:
        for path, tag, body, fits in (
            ("a", "1", LAYER, True),
            ("a", "2", LAYER, True),
            ("b", "1", os.urandom(3 << 20), True),
            ("a", "3", b"x" + LAYER, False),
        ):
            name = f"{there.domain}/{path}:{tag}"
            build(here, name, body)
            with contextlib.nullcontext() if fits else pytest.raises(KnarrError, match="quota exceeded"):
                await Pusher(here, client).push(references.parse(name))


async def test_a_mounted_blob_counts_when_its_manifest_comes(tmp_path: Path, client: Client) -> None:
    async with served(tmp_path / "there", options=Options(repository_quota_bytes=4 << 20)) as there:
        big = add(there.content, os.urandom(5 << 20))
        config = add(there.content, b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
        body = (
            '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
            f'"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config.digest}","size":{config.size}}},'
            f'"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{big.digest}","size":{big.size}}}]}}'
        )
        host, _, port = there.domain.partition(":")
        kind = (("content-type", "application/vnd.oci.image.manifest.v1+json"),)
        response = await client.request(
            Target(host, int(port)), Request("PUT", "/v2/web/manifests/1", "", kind, body.encode())
        )
        assert (response.status, b"DENIED" in await response.read(1 << 16)) == (413, True)
        assert len(there.store.names) == 0


async def run(*command: str) -> int:
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        return await child.wait()
