"""An image that a pull secret brought here is for pods that have the secret, or that a registry gives it to."""

import asyncio
import json
from pathlib import Path
from typing import Any

from knarr.base.errors import Unauthenticated
from knarr.cri.memory import MemoryImages
from knarr.cri.messages.image import AuthConfig, Image, PullImageRequest, PullImageResponse
from knarr.kinds.core_config import SECRET
from knarr.kubelet.pulled_images import SECRETS_MAX, Credential, PulledImages
from tests.unit.kubelet.harness import Node, run

ANN = Credential(AuthConfig(username="ann", password="1"), "u1/default/ann")
BOB = Credential(AuthConfig(username="bob", password="2"), "u2/default/bob")
NOBODY = Credential()
NAME = "r.example/team/app:v1"
IMAGE = Image(id="sha256:abc", repo_tags=(NAME,))


def noted(pulled: PulledImages, credential: Credential, name: str = NAME) -> None:
    pulled.begin(name)
    pulled.note(IMAGE.id, name, credential)


async def test_what_one_credential_brought_is_for_those_who_have_it(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    assert pulled.may_use(IMAGE, NAME, [NOBODY]), "nobody of us pulled it"
    noted(pulled, ANN)
    await pulled.save()
    again = PulledImages(tmp_path)
    for records in (pulled, again):
        assert records.may_use(IMAGE, NAME, [BOB, ANN])
        assert records.may_use(IMAGE, "r.example/team/app:v2", [ANN])
        assert not records.may_use(IMAGE, NAME, [BOB])
        assert not records.may_use(IMAGE, NAME, [NOBODY])
    noted(again, BOB)
    assert again.may_use(IMAGE, NAME, [BOB])
    assert again.may_use(IMAGE, NAME, [ANN])
    noted(again, NOBODY)
    assert again.may_use(IMAGE, NAME, [NOBODY])
    text = (tmp_path / "pulled-images.json").read_text()
    assert "username" not in text
    assert '"1"' not in text
    assert (tmp_path / "pulled-images.json").stat().st_mode & 0o077 == 0


def test_an_image_is_no_freer_by_another_name_or_by_its_id(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    noted(pulled, ANN, "acme/app:1")
    names = ("docker.io/acme/app:1", "index.docker.io/acme/app:2", f"acme/app@sha256:{'a' * 64}")
    for name in names:
        assert not pulled.may_use(IMAGE, name, [NOBODY]), name
        assert pulled.may_use(IMAGE, name, [ANN]), name
    for name in ("other/app:1", IMAGE.id, "abc", "a" * 64):
        assert not pulled.may_use(IMAGE, name, [ANN]), name
    noted(pulled, NOBODY, "public/app:1")
    assert pulled.may_use(IMAGE, IMAGE.id, [NOBODY])
    assert pulled.may_use(IMAGE, "abc", [NOBODY])
    assert not pulled.may_use(IMAGE, "other/app:1", [NOBODY])


def test_a_secret_that_was_changed_needs_no_registry_and_the_oldest_of_many_are_forgotten(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    noted(pulled, ANN)
    rotated = Credential(AuthConfig(username="ann", password="new"), ANN.secret)
    assert pulled.may_use(IMAGE, NAME, [rotated])
    assert pulled.may_use(IMAGE, NAME, [Credential(ANN.auth, "u3/other/copy")]), "the same words"
    noted(pulled, rotated)
    assert not pulled.may_use(IMAGE, NAME, [Credential(ANN.auth, "u3/other/copy")]), "the old words"
    for number in range(SECRETS_MAX):
        assert pulled.may_use(IMAGE, NAME, [rotated])
        noted(pulled, Credential(AuthConfig(username=f"u{number}"), f"u/n/{number}"))
    assert not pulled.may_use(IMAGE, NAME, [rotated])


async def test_what_comes_by_a_pull_that_was_not_ended_is_not_free(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    pulled.begin(NAME)
    await pulled.save()
    again = PulledImages(tmp_path)
    for records in (pulled, again):
        assert not records.may_use(IMAGE, NAME, [ANN])
        assert not records.may_use(IMAGE, IMAGE.id, [ANN])
        assert records.may_use(Image(id="sha256:d", repo_tags=("r.example/team/app:v2",)), "r.example/team/app:v2", [])
    pulled.failed(NAME)
    assert pulled.may_use(IMAGE, NAME, [NOBODY]), "it has brought nothing"
    again.begin(NAME)
    again.failed(NAME)
    assert not again.may_use(IMAGE, NAME, [NOBODY]), "the first one may have"
    noted(again, ANN)
    assert again.may_use(IMAGE, NAME, [ANN])
    assert again.may_use(Image(id="sha256:d"), NAME, [NOBODY]), "another that was there"


async def test_a_file_that_cannot_be_read_frees_nothing(tmp_path: Path) -> None:
    (tmp_path / "pulled-images.json").write_text("{")
    pulled = PulledImages(tmp_path)
    assert not pulled.may_use(IMAGE, NAME, [NOBODY])
    noted(pulled, NOBODY)
    assert pulled.may_use(IMAGE, NAME, [NOBODY])
    await pulled.save()
    assert not PulledImages(tmp_path).may_use(Image(id="sha256:d"), NAME, [NOBODY])


class Private(MemoryImages):
    """Gives its images to `ann` alone."""

    async def pull_image(self, request: PullImageRequest) -> PullImageResponse:
        if request.auth is None or request.auth.username != "ann":
            raise Unauthenticated("401 unauthorized")
        return await super().pull_image(request)


def pull_secret(name: str, user: str) -> dict[str, Any]:
    auths = {"auths": {"r.example": {"username": user, "password": "1"}}}
    text = {".dockerconfigjson": json.dumps(auths)}
    kind = "kubernetes.io/dockerconfigjson"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": text}


def test_a_pod_without_the_secret_is_refused_an_image_that_is_here(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        await node.stop()
        node.images = Private(pullable=(NAME,))
        await node.start(group)
        for name in ("ann", "bob"):
            await node.client.create(SECRET, "default", pull_secret(name, name))
        containers = [{"name": "c", "image": NAME, "imagePullPolicy": "IfNotPresent"}]

        def spec(*secrets: str) -> dict[str, Any]:
            return {"containers": [dict(containers[0])], "imagePullSecrets": [{"name": name} for name in secrets]}

        await node.create("first", spec("ann"))
        await node.reached("first", "Running")
        for name, secrets in (("second", ()), ("third", ("bob",))):
            await node.create(name, spec(*secrets))

            async def is_refused(name: str = name) -> bool:
                statuses = (await node.status(name)).get("containerStatuses", [{}])
                reason = statuses[0].get("state", {}).get("waiting", {}).get("reason", "")
                return reason in ("ErrImagePull", "ImagePullBackOff")

            await node.until(is_refused)
        await node.create("fourth", spec("ann"))
        await node.reached("fourth", "Running")
        pulls = [text for reason, text in await node.events() if reason == "Pulling"]
        assert len(pulls) == 3, "the fourth may use what the first brought"

    run(tmp_path, story)


def test_a_digest_that_is_here_is_its_once_a_secret_was_asked_for_it(tmp_path: Path) -> None:
    name = f"r.example/app@sha256:{'a' * 64}"

    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        await node.stop()
        node.images = MemoryImages(present=(name,))
        await node.start(group)
        await node.client.create(SECRET, "default", pull_secret("ann", "ann"))
        containers = [{"name": "c", "image": name, "imagePullPolicy": "Always"}]
        await node.create("first", {"containers": containers, "imagePullSecrets": [{"name": "ann"}]})
        await node.reached("first", "Running")
        await node.create("second", {"containers": [{"name": "c", "image": name, "imagePullPolicy": "Never"}]})

        async def is_refused() -> bool:
            statuses = (await node.status("second")).get("containerStatuses", [{}])
            return statuses[0].get("state", {}).get("waiting", {}).get("reason") == "ErrImageNeverPull"

        await node.until(is_refused)

    run(tmp_path, story)
