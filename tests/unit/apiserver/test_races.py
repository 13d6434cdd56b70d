"""Writers of one object at the same time: nothing is lost, and only who named a resourceVersion meets a conflict."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.store.sqlite import SqliteStore
from tests.unit.apiserver.conftest import Asker

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
WRITERS = 20


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Asker]:
    store = SqliteStore(tmp_path / "db")  # its writes wait for the disk, so others come between read and write
    asker = Asker(Pipeline(ApiServer(store)))
    await asker("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}})
    await asker("POST", CONFIGMAPS, {"metadata": {"name": "c"}})
    yield asker
    await store.close()


@pytest.mark.parametrize("media", ["merge-patch", "strategic-merge-patch"])
async def test_patches_that_name_no_version_are_all_put_in(ask: Asker, media: str) -> None:
    answers = await asyncio.gather(
        *(
            ask.send("PATCH", f"{CONFIGMAPS}/c", {"data": {f"k{n}": ""}}, media=f"application/{media}+json")
            for n in range(WRITERS)
        )
    )
    assert [each.status for each in answers] == [200] * WRITERS
    assert len((await ask("GET", f"{CONFIGMAPS}/c"))["data"]) == WRITERS


async def test_of_patches_that_name_a_version_one_wins(ask: Asker) -> None:
    version = (await ask("GET", f"{CONFIGMAPS}/c"))["metadata"]["resourceVersion"]
    answers = await asyncio.gather(
        *(
            ask(
                "PATCH",
                f"{CONFIGMAPS}/c",
                {"metadata": {"resourceVersion": version}, "data": {f"k{n}": ""}},
                media="application/merge-patch+json",
            )
            for n in range(WRITERS)
        )
    )
    refused = [each["message"] for each in answers if each["kind"] == "Status"]
    assert refused == [
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    ] * (WRITERS - 1)


async def test_updates_that_name_no_version_all_pass_in_some_order(ask: Asker) -> None:
    answers = await asyncio.gather(
        *(
            ask.send("PUT", f"{CONFIGMAPS}/c", {"metadata": {"name": "c"}, "data": {f"k{n}": ""}})
            for n in range(WRITERS)
        )
    )
    assert [each.status for each in answers] == [200] * WRITERS


async def test_a_json_patch_is_tested_against_the_object_it_changes(ask: Asker) -> None:
    def counted(now: int) -> list[dict[str, str]]:
        return [
            {"op": "test", "path": "/data/n", "value": str(now)},
            {"op": "replace", "path": "/data/n", "value": str(now + 1)},
        ]

    await ask("PUT", f"{CONFIGMAPS}/c", {"metadata": {"name": "c"}, "data": {"n": "0"}})
    answers = await asyncio.gather(
        *(ask.send("PATCH", f"{CONFIGMAPS}/c", counted(0), media="application/json-patch+json") for _ in range(WRITERS))
    )
    assert sorted(each.status for each in answers) == [200] + [422] * (WRITERS - 1)
