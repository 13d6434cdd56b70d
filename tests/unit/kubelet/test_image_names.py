"""An image whose name could be none: the pod says so and keeps saying so, as upstream's does."""

import asyncio
from pathlib import Path

import pytest

from knarr.kubelet import images
from tests.unit.kubelet.harness import Node, run


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Nginx:1", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("localhost:5000/Web", "invalid reference format: repository name (Web) must be lowercase"),
        ("nginx:a:b", "invalid reference format"),
        ("nginx:", "invalid reference format"),
        ("-x", "invalid reference format"),
        ("my app", "invalid reference format"),
    ],
)
def test_what_is_wrong_with_a_name_is_said_in_upstreams_words(name: str, why: str) -> None:
    text = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {why}'
    assert images.name_fault(name) == text


@pytest.mark.parametrize(
    "name", ["nginx", "localhost:5000/web:v1", "example.com/a@sha256:" + "b" * 64, "sha256:" + "a" * 64]
)
def test_a_name_that_may_be_an_images_has_no_fault(name: str) -> None:
    assert images.name_fault(name) == ""


def test_a_pod_whose_image_has_an_invalid_name_waits_with_the_reason(tmp_path: Path) -> None:
    async def story(node: Node, _: asyncio.TaskGroup) -> None:
        await node.create("web", {"containers": [{"name": "c", "image": "Nginx:1"}]})

        async def is_told() -> bool:
            statuses = (await node.status("web")).get("containerStatuses", [{}])
            waiting = statuses[0].get("state", {}).get("waiting", {})
            return waiting.get("reason") == "InvalidImageName" and "must be lowercase" in waiting.get("message", "")

        await node.until(is_told)

        async def is_recorded() -> bool:
            return {"InspectFailed", "Failed"} <= {reason for reason, _ in await node.events()}

        await node.until(is_recorded)

    run(tmp_path, story)
