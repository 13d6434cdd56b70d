"""An image that a pull secret brought here is for pods that have the secret, or that a registry gives it to."""

import asyncio
import json
from pathlib import Path
from typing import Any

from knarr.base.errors import Unauthenticated
from knarr.cri.memory import MemoryImages
from knarr.cri.messages.image import AuthConfig, PullImageRequest, PullImageResponse
from knarr.kinds.core_config import SECRET
from knarr.kubelet.pulled_images import PulledImages
from tests.unit.kubelet.harness import Node, run

ANN, BOB = AuthConfig(username="ann", password="1"), AuthConfig(username="bob", password="2")
IMAGE, NAME = "sha256:a", "r.example/team/app:v1"


def test_what_one_credential_brought_is_for_those_who_have_it(tmp_path: Path) -> None:
    pulled = PulledImages(tmp_path)
    assert pulled.may_use(IMAGE, NAME, [None]), "nobody of us pulled it"
    pulled.note(IMAGE, NAME, ANN)
    again = PulledImages(tmp_path)
    for records in (pulled, again):
        assert records.may_use(IMAGE, NAME, [BOB, ANN])
        assert records.may_use(IMAGE, "r.example/team/app:v2", [ANN])
        assert not records.may_use(IMAGE, NAME, [BOB])
        assert not records.may_use(IMAGE, NAME, [None])
        assert records.may_use(IMAGE, "r.example/other/app:v1", [None])
    again.note(IMAGE, NAME, BOB)
    assert again.may_use(IMAGE, NAME, [BOB])
    assert again.may_use(IMAGE, NAME, [ANN])
    again.note(IMAGE, NAME, None)
    assert again.may_use(IMAGE, NAME, [None])
    text = (tmp_path / "pulled-images.json").read_text()
    assert "ann" not in text
    assert (tmp_path / "pulled-images.json").stat().st_mode & 0o077 == 0


def test_a_file_that_is_none_forgets(tmp_path: Path) -> None:
    (tmp_path / "pulled-images.json").write_text("{")
    assert PulledImages(tmp_path).may_use(IMAGE, NAME, [None])


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
